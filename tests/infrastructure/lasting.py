"""What must outlive a deployment, because it is held on to from outside of the stack: by runs, by clients, by backends.

CloudFormation replaces what has another logical id, and some things when a property of theirs changes. A run that waits
holds the ARNs of its functions and of its machine, and the URL of its queue; a row that is left behind in a replaced
table is lost; a client and a backend have been told an address.
"""

from collections.abc import Iterable
from pathlib import Path

from tests.infrastructure.synthesis import Json, synthesize, synthesize_chat

# By type: the properties whose change makes CloudFormation replace it.
LASTING: dict[str, tuple[str, ...]] = {
    "AWS::ApiGatewayV2::Api": ("ProtocolType",),
    "AWS::ApiGatewayV2::Stage": ("StageName",),
    "AWS::DynamoDB::Table": ("KeySchema", "TableName"),
    "AWS::Events::EventBus": ("Name",),
    "AWS::Lambda::Function": ("FunctionName", "PackageType"),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::SNS::Topic": ("FifoTopic", "TopicName"),
    "AWS::SQS::Queue": ("FifoQueue", "QueueName"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", "StateMachineType"),
}


def of(template: Json) -> dict[str, Json]:
    """The resources of a template that have to last, by logical id: their types and those properties."""
    return {
        logical_id: {
            "Type": resource["Type"],
            **{
                name: value
                for name in LASTING[resource["Type"]]
                if (value := resource.get("Properties", {}).get(name)) is not None
            },
        }
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] in LASTING
    }


def of_stages(*, stacks: Iterable[Json], chats: Iterable[Json]) -> dict[str, dict[str, Json]]:
    """Those of several stages' templates together: of Ringback's own stacks, and of the chats'."""
    named = {"Ringback": stacks, "Chat": chats}
    return {
        name: {key: value for template in templates for key, value in of(template).items()}
        for name, templates in named.items()
    }


def of_all_stages(directory: Path) -> dict[str, dict[str, Json]]:
    """Those of a stage as it comes, of one with every setting, and of a chat."""
    return of_stages(
        stacks=[synthesize(name, directory / name).json for name in ("dev", "everything")],
        chats=[synthesize_chat("chat", directory / "chat").json],
    )
