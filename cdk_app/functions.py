"""The functions, every one made the same way."""

import json
from collections.abc import Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app import assets, bundles, findings
from cdk_app.logs import LogGroups
from cdk_app.settings import SettingsError, StageSettings

RUNTIME = lambda_.Runtime.PYTHON_3_13
METRICS_NAMESPACE = "Ringback"

_LARGEST_ENVIRONMENT_BYTES = 4096  # a quota of Lambda that cannot be raised

Environment = Mapping[str, str | int | bool | tuple[str, ...] | None]


class Handler(Construct):
    """One function, with a role and a log group of its own. Its role may write logs and traces, and nothing else."""

    def __init__(
        self,
        scope: Construct,
        module: str,
        *,
        code: lambda_.Code,
        layer: lambda_.ILayerVersion,
        architecture: lambda_.Architecture,
        log_groups: LogGroups,
        environment: Mapping[str, str],
        timeout: Duration,
        memory_mb: int,
    ) -> None:
        super().__init__(scope, construct_id(module))
        self.service = service_name(module)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group = log_groups.make(self)
        log_group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            handler=f"lambdas.{module}.handler",
            runtime=RUNTIME,
            architecture=architecture,
            code=code,
            layers=[layer],
            environment=dict(environment),
            timeout=timeout,
            memory_size=memory_mb,
            role=self.role,
            log_group=log_group,
            tracing=lambda_.Tracing.ACTIVE,
        )
        self.timeout = timeout
        findings.accept(
            self.role,
            "IAM5[Resource::*]",
            because="X-Ray's write actions know no resources; every other statement of this role names its own.",
        )
        findings.accept(
            self.function,
            "L1",
            because="The dependency layer is built for, and tested on, exactly this version of Python.",
        )

    def allow(self, *actions: str, on: str) -> None:
        """Let the function do exactly this, on exactly this."""
        self.role.add_to_principal_policy(iam.PolicyStatement(actions=list(actions), resources=[on]))


class Handlers:
    """Makes the functions of one stack: one asset, one layer, one set of common variables."""

    def __init__(self, scope: Construct, *, settings: StageSettings, log_groups: LogGroups) -> None:
        self._scope = scope
        self._log_groups = log_groups
        self.made: list[Handler] = []
        target = bundles.host() if settings.is_local else bundles.AWS
        self._architecture = assets.architecture(target)
        self._code = assets.function_code(target)
        self._layer = lambda_.LayerVersion(
            scope,
            "Dependencies",
            description=f"{Stack.of(scope).stack_name}: what the functions import ({target.name})",
            code=assets.layer_code(target),
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[self._architecture],
        )
        self._common: Environment = {
            "LOG_LEVEL": settings.log_level,
            "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
            "STACK_NAME": Stack.of(scope).stack_name,
        }

    def make(
        self, module: str, *, environment: Environment, timeout: Duration | None = None, memory_mb: int = 256
    ) -> Handler:
        """Make the function of a module in `lambdas/`, such as `tasks.wait_for_reconnect`.

        Args:
            module: its name below `lambdas`.
            environment: the fields of its settings, in capitals; None is left out.
            timeout: 30 seconds unless told.
            memory_mb: it buys processor time as well.

        Raises:
            SettingsError: the environment is larger than Lambda takes it.
        """
        variables = {**self._common, "POWERTOOLS_SERVICE_NAME": service_name(module), **environment}
        texts = {name: _text(value) for name, value in variables.items() if value not in (None, "", ())}
        _require_room(module, texts)
        handler = Handler(
            self._scope,
            module,
            code=self._code,
            layer=self._layer,
            architecture=self._architecture,
            log_groups=self._log_groups,
            environment=texts,
            timeout=timeout or Duration.seconds(30),
            memory_mb=memory_mb,
        )
        self.made.append(handler)
        return handler


def service_name(module: str) -> str:
    """What logs, metrics and traces call it: `post_to_connections` for `tasks.post_to_connections`."""
    return module.rpartition(".")[2]


def construct_id(module: str) -> str:
    """`PostToConnections` for `tasks.post_to_connections`."""
    return "".join(word.capitalize() for word in service_name(module).split("_"))


def _require_room(module: str, environment: Mapping[str, str]) -> None:
    # As Lambda measures it: all of it as JSON, in which every quote of a key set takes two bytes.
    size = len(json.dumps(environment, separators=(",", ":")))
    if size > _LARGEST_ENVIRONMENT_BYTES:
        largest = sorted(environment.items(), key=lambda variable: len(variable[1]), reverse=True)[:3]
        raise SettingsError(
            f"The settings of {module} are too large: together they take {size} bytes of its environment, and Lambda "
            f"has {_LARGEST_ENVIRONMENT_BYTES}. The largest are "
            f"{', '.join(f'{name} ({len(value)})' for name, value in largest)}."
            + (" Keys need no room with token.jwks_url." if "TOKEN_JWKS" in environment else "")
        )


def _text(value: str | int | bool | tuple[str, ...] | None) -> str:  # noqa: FBT001 - any value of a variable
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return ",".join(value)
        case _:
            return str(value)
