"""Both baselines as one stack, beside Ringback's: they read its table of connections."""

from pathlib import Path

from aws_cdk import CfnOutput, Duration, IgnoreMode, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

FOLDER = Path(__file__).parent
MACHINE = FOLDER / "polling" / "machine.asl.json"

_NOT_CODE = [
    "*",
    "!/benchmarks/",
    "!/benchmarks/__init__.py",
    "!/benchmarks/baselines/",
    "!/benchmarks/baselines/**/",
    "!/benchmarks/baselines/**/*.py",
    "__pycache__/",
]
# Like Ringback's, so that they do not differ in what nobody compares.
_MEMORY_MB = 256


class Baselines(Stack):
    """(a) a topic and a function; (b) a topic and a state machine that polls."""

    def __init__(
        self, scope: Construct, construct_id: str, *, connections_table_name: str, management_endpoint: str
    ) -> None:
        super().__init__(scope, construct_id)
        self._connections = dynamodb.Table.from_table_name(self, "Connections", connections_table_name)
        self._posting = {
            "CONNECTIONS_TABLE_NAME": connections_table_name,
            "MANAGEMENT_ENDPOINT": management_endpoint,
        }
        outputs = {**self._sns_lambda(), **self._polling()}
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)

    def _sns_lambda(self) -> dict[str, str]:
        """Lambda itself tries twice more, and then puts the message into a queue."""
        lost = sqs.Queue(self, "SnsLambdaDeadLetters", retention_period=Duration.days(14))
        post = self._function("SnsLambdaPost", "sns_lambda.handler", self._posting)
        self._let_post(post)
        post.configure_async_invoke(retry_attempts=2, on_failure=destinations.SqsDestination(lost))
        topic = sns.Topic(self, "SnsLambdaTopic")
        topic.add_subscription(subscriptions.LambdaSubscription(post))
        return {
            "SnsLambdaTopicArn": topic.topic_arn,
            "SnsLambdaPostFunctionName": post.function_name,
            "SnsLambdaDeadLetterQueueUrl": lost.queue_url,
        }

    def _polling(self) -> dict[str, str]:
        """One run carries one message, and looks until it is delivered or has expired."""
        lost = sqs.Queue(self, "PollingDeadLetters", retention_period=Duration.days(14))
        post = self._function("PollingPost", "polling.post", self._posting)
        self._let_post(post)
        machine = sfn.StateMachine(
            self,
            "PollingMachine",
            definition_body=sfn.DefinitionBody.from_string(MACHINE.read_text("utf-8")),
            definition_substitutions={"PostFunctionArn": post.function_arn, "DeadLetterQueueUrl": lost.queue_url},
        )
        post.grant_invoke(machine)
        lost.grant_send_messages(machine)
        start = self._function("PollingStart", "polling.start", {"STATE_MACHINE_ARN": machine.state_machine_arn})
        machine.grant_start_execution(start)
        topic = sns.Topic(self, "PollingTopic")
        topic.add_subscription(subscriptions.LambdaSubscription(start))
        return {
            "PollingTopicArn": topic.topic_arn,
            "PollingStartFunctionName": start.function_name,
            "PollingPostFunctionName": post.function_name,
            "PollingStateMachineArn": machine.state_machine_arn,
            "PollingDeadLetterQueueUrl": lost.queue_url,
        }

    def _function(self, name: str, module: str, environment: dict[str, str]) -> lambda_.Function:
        return lambda_.Function(
            self,
            name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"benchmarks.baselines.{module}.handler",
            code=lambda_.Code.from_asset(str(FOLDER.parent.parent), exclude=_NOT_CODE, ignore_mode=IgnoreMode.GIT),
            environment=environment,
            timeout=Duration.seconds(30),
            memory_size=_MEMORY_MB,
        )

    def _let_post(self, function: lambda_.Function) -> None:
        self._connections.grant(function, "dynamodb:Query", "dynamodb:DeleteItem")
        function.add_to_role_policy(iam.PolicyStatement(actions=["execute-api:ManageConnections"], resources=["*"]))
