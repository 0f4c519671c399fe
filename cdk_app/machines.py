"""The state machines, every one made the same way."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from cdk_app import findings
from cdk_app.encryption import Encryption
from cdk_app.functions import Handler
from cdk_app.logs import LogGroups


def make_machine(
    scope: Construct,
    *,
    definition: Path,
    tasks: Mapping[str, Handler],
    substitutions: Mapping[str, str] | None = None,
    log_groups: LogGroups,
    encryption: Encryption,
) -> tuple[sfn.StateMachine, iam.Role]:
    """Make one, as `StateMachine` in this scope, with its role and its log. It may call its functions.

    Args:
        scope: what it belongs to.
        definition: the file with it, in Amazon States Language.
        tasks: the functions that the states call; the definition has `${<name>FunctionArn}` for each.
        substitutions: what else the definition has placeholders for.
        log_groups: make its log.
        encryption: of the log, and of what the machine may write.
    """
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
    functions = {name: task.function.function_arn for name, task in tasks.items()}
    machine = sfn.StateMachine(
        scope,
        "StateMachine",
        state_machine_type=sfn.StateMachineType.STANDARD,
        definition_body=sfn.DefinitionBody.from_string(definition.read_text("utf-8")),
        definition_substitutions={
            **{f"{name}FunctionArn": arn for name, arn in functions.items()},
            **(substitutions or {}),
        },
        role=role,
        logs=sfn.LogOptions(destination=log_groups.make(scope), level=sfn.LogLevel.ERROR, include_execution_data=False),
        tracing_enabled=True,
    )
    role.add_to_principal_policy(
        iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=list(functions.values()))
    )
    encryption.allow_writing(role)
    findings.accept(
        role,
        "IAM5[Resource::*]",
        because="X-Ray and the delivery of logs to CloudWatch know no resources; what the states do is exact.",
    )
    findings.accept(
        machine,
        "SF1",
        because="Errors only, without execution data: the others would put payloads and task tokens into logs.",
    )
    return machine, role
