"""The stack: what there is, who may do what, and where to find it."""

import json
from collections.abc import Sequence

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.changes import ConnectionChanges
from cdk_app.delivery import Delivery
from cdk_app.encryption import Encryption
from cdk_app.endings import Endings
from cdk_app.fan_out import FanOut
from cdk_app.functions import Environment, Handler, Handlers
from cdk_app.http_api import ROUTES, HttpApi, backends
from cdk_app.logs import LogGroups
from cdk_app.monitoring import Monitoring, Watched
from cdk_app.settings import StageSettings
from cdk_app.tables import BY_CONVERSATION, Tables
from cdk_app.ways_in import WaysIn
from cdk_app.web_socket_api import WebSocketApi

# With memory comes processor time. What waits for nothing but the processor costs the same at any size, and a handshake
# waits for the authorizer. What waits for services costs less the smaller it is (`make bench-handlers` reckons).
_MEMORY_FOR_CRYPTOGRAPHY_MB = 512
_MEMORY_FOR_VALIDATION_MB = 512  # who is told what is wrong with a message waits until pydantic is imported
_MEMORY_FOR_A_WHOLE_PROCESSOR_MB = 1769  # posting to many is bound by it, and takes as long as it has less
_PONG = {"kind": "pong"}
_UNKNOWN_ACTION = {
    "kind": "error",
    "error": "UnknownAction",
    "message": "There are two actions: ack, with the id of a message, and ping.",
}


class RingbackStack(Stack):
    """Ringback, one stage of it."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: StageSettings) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Ringback: durable delivery of messages to WebSocket clients",
            termination_protection=settings.retain_data,
        )
        removal = RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY
        self.encryption = Encryption(
            self, "Encryption", customer_managed=settings.encryption == "customer_managed", removal=removal
        )
        log_groups = LogGroups(retention_days=settings.log_retention_days, encryption=self.encryption, removal=removal)
        self.tables = Tables(
            self, "Tables", encryption=self.encryption, removal=removal, protected=settings.retain_data
        )
        self.api = WebSocketApi(self, "WebSocket", settings=settings, log_groups=log_groups)

        handlers = Handlers(self, settings=settings, log_groups=log_groups)
        make = handlers.make
        connections: Environment = {"CONNECTIONS_TABLE_NAME": self.tables.connections.table_name}
        callbacks: Environment = {"CALLBACKS_TABLE_NAME": self.tables.callbacks.table_name}
        sequences: Environment = {"SEQUENCES_TABLE_NAME": self.tables.sequences.table_name}
        life: Environment = {"DEFAULT_TTL_SECONDS": settings.default_ttl_seconds}
        messages: Environment = {**sequences, **life}

        # What Step Functions calls, and the machine that calls it.
        self.resolve_connections = make("tasks.resolve_connections", environment={**connections, **messages})
        self.post_to_connections = make("tasks.post_to_connections", environment={**connections, **messages})
        self.post_and_await_acknowledgement = make(
            "tasks.post_and_await_acknowledgement", environment={**connections, **callbacks, **messages}
        )
        self.wait_for_reconnect = make("tasks.wait_for_reconnect", environment={**connections, **callbacks, **messages})
        tasks = (
            self.resolve_connections,
            self.post_to_connections,
            self.post_and_await_acknowledgement,
            self.wait_for_reconnect,
        )
        self.delivery = Delivery(
            self,
            "Delivery",
            tasks={task.node.id: task for task in tasks},
            parameters={
                "MaxAttempts": settings.max_attempts,
                "BackoffBaseSeconds": settings.backoff_base_seconds,
                "BackoffCapSeconds": settings.backoff_cap_seconds,
                "LookAgainSeconds": settings.look_again_seconds,
                "DefaultTtlSeconds": settings.default_ttl_seconds,
                "DefaultAckTimeoutSeconds": settings.default_ack_timeout_seconds,
            },
            log_groups=log_groups,
            encryption=self.encryption,
            removal=removal,
        )

        self.plan_fan_out = make(
            "tasks.plan_fan_out",
            environment={
                **connections,
                **life,
                "TOKENS_NAME_CONVERSATIONS": settings.token.contexts_claim is not None,
            },
            timeout=Duration.seconds(60),
        )
        self.post_to_audience = make(
            "tasks.post_to_audience",
            environment={**connections, **life},
            timeout=Duration.seconds(120),
            memory_mb=_MEMORY_FOR_A_WHOLE_PROCESSOR_MB,
        )
        self.hand_over_to_deliveries = make(
            "tasks.hand_over_to_deliveries",
            environment={
                **connections,
                **life,
                "DELIVERY_STATE_MACHINE_ARN": self.delivery.state_machine.state_machine_arn,
            },
            timeout=Duration.minutes(6),  # it starts deliveries for five at most, some a second
        )
        self.fan_out = FanOut(
            self,
            "FanOut",
            tasks={
                task.node.id: task for task in (self.plan_fan_out, self.post_to_audience, self.hand_over_to_deliveries)
            },
            log_groups=log_groups,
            encryption=self.encryption,
            removal=removal,
        )

        # What API Gateway calls. Longer than boto3 tries to reach a table, so that a handshake still gets its 503;
        # shorter than a connection is young (`lambdas.core.model`), so that a handshake has ended by then.
        longest_try = Duration.seconds(10)
        self.authorizer = make(
            "routes.authorizer",
            environment=_authorizer_environment(settings),
            timeout=Duration.seconds(10),
            memory_mb=_MEMORY_FOR_CRYPTOGRAPHY_MB,
        )
        self.connect = make(
            "routes.connect",
            environment={
                **connections,
                "CONNECTION_TTL_MINUTES": settings.connection_ttl_minutes,
                "MAX_CONNECTIONS_PER_USER": settings.max_connections_per_user,
                "CONNECTION_LIMIT_POLICY": settings.connection_limit_policy,
                "MANAGEMENT_ENDPOINT": self.api.management_endpoint,
            },
            timeout=longest_try,
        )
        self.disconnect = make("routes.disconnect", environment=connections, timeout=longest_try)
        self.acknowledge = make("routes.acknowledge", environment={**connections, **callbacks}, timeout=longest_try)
        self.api.authorize(self.authorizer, connect=self.connect)
        self.api.route("$disconnect", self.disconnect)
        self.api.route("ack", self.acknowledge)
        self.api.answer("ping", "Ping", _PONG)
        self.api.answer("$default", "UnknownAction", _UNKNOWN_ACTION)

        # What streams and queues call.
        self.wake = make("triggers.wake", environment=callbacks, timeout=Duration.seconds(60))
        ConnectionChanges(self, "Reconnects", connections=self.tables.connections, kinds=("INSERT",), handler=self.wake)
        ingest_timeout = Duration.seconds(30)
        self.ways_in = WaysIn(
            self, "WaysIn", handler_timeout=ingest_timeout, encryption=self.encryption, removal=removal
        )
        intake: Environment = {
            **connections,
            **sequences,
            "DELIVERY_STATE_MACHINE_ARN": self.delivery.state_machine.state_machine_arn,
            "EVERY_MESSAGE_IS_A_RUN": settings.every_message_is_a_run,
        }
        self.ingest = make(
            "triggers.ingest",
            environment={
                **intake,
                "INGEST_QUEUE_URL": self.ways_in.queue.queue_url,
                "INGEST_DEAD_LETTER_QUEUE_URL": self.ways_in.dead_letter_queue.queue_url,
            },
            timeout=ingest_timeout,
        )
        self.ways_in.feed(self.ingest, max_concurrency=settings.ingest_max_concurrency)
        self.presence = self._make_presence(handlers) if settings.tells_presence else None
        self.ended = make(
            "triggers.ended",
            environment={**intake, **life, "DEAD_LETTER_QUEUE_URL": self.delivery.dead_letter_queue.queue_url},
        )

        # What backends and their state machines call.
        self.http_api = make(
            "routes.http_api",
            environment={**intake, "FAN_OUT_STATE_MACHINE_ARN": self.fan_out.state_machine.state_machine_arn},
            timeout=Duration.seconds(28),  # API Gateway waits 30, and then answers without a word
            memory_mb=_MEMORY_FOR_VALIDATION_MB,
        )
        self.http = HttpApi(
            self,
            "Http",
            description="Ringback: backends send messages here, and ask what became of them",
            routes=ROUTES,
            access=backends(settings.http_api),
            handler=self.http_api,
            settings=settings,
            log_groups=log_groups,
        )
        self.accept = make("calls.accept", environment=intake)
        self.post_once = make(
            "calls.post_once",
            environment={
                "MANAGEMENT_ENDPOINT": self.api.management_endpoint,
                "ALLOWED_ENDPOINTS": settings.allowed_endpoints,
            },
        )

        self.endings = Endings(
            self,
            "Endings",
            state_machine=self.delivery.state_machine,
            ended=self.ended,
            encryption=self.encryption,
            removal=removal,
        )

        self._grant(secret_arn=settings.token.secret_arn, allowed_endpoints=settings.allowed_endpoints)
        self._output()
        if not settings.is_local:  # nobody is called there, and MiniStack has no metric math
            self._watch(handlers.made, settings)

    def _make_presence(self, handlers: Handlers) -> Handler:
        """What tells on the stage's bus who comes and who goes."""
        presence = handlers.make(
            "triggers.presence",
            environment={"MESSAGE_BUS_NAME": self.ways_in.bus.event_bus_name},
            timeout=Duration.seconds(60),
        )
        ConnectionChanges(
            self,
            "ComingAndGoing",
            connections=self.tables.connections,
            kinds=("INSERT", "REMOVE"),
            handler=presence,
        )
        return presence

    def _grant(self, *, secret_arn: str | None, allowed_endpoints: Sequence[str]) -> None:
        """Who may do what. Everybody may also write logs and traces; what triggers a function is granted with it."""
        connections, callbacks = self.tables.connections.table_arn, self.tables.callbacks.table_arn

        if secret_arn:
            self.authorizer.allow("secretsmanager:GetSecretValue", on=secret_arn)

        self.connect.allow("dynamodb:PutItem", "dynamodb:Query", "dynamodb:DeleteItem", on=connections)
        self.api.allow_posting(self.connect)  # the word before it closes one
        self.api.allow_closing(self.connect)
        self.disconnect.allow("dynamodb:DeleteItem", on=connections)
        self.acknowledge.allow("dynamodb:UpdateItem", on=connections)
        self.acknowledge.allow(
            "dynamodb:Query", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", on=callbacks
        )

        # What finds a connection whose token has ended also closes it.
        for closing in (self.resolve_connections, self.post_to_connections, self.post_and_await_acknowledgement):
            self.api.allow_closing(closing)
        self.resolve_connections.allow("dynamodb:Query", "dynamodb:DeleteItem", on=connections)
        self.post_to_connections.allow("dynamodb:DeleteItem", on=connections)
        self.api.allow_posting(self.post_to_connections)
        self.post_and_await_acknowledgement.allow("dynamodb:DeleteItem", on=connections)
        self.post_and_await_acknowledgement.allow("dynamodb:PutItem", "dynamodb:DeleteItem", on=callbacks)
        self.api.allow_posting(self.post_and_await_acknowledgement)
        self.wait_for_reconnect.allow("dynamodb:Query", "dynamodb:UpdateItem", on=connections)
        self.wait_for_reconnect.allow("dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:DeleteItem", on=callbacks)
        for numbering in (
            self.resolve_connections,
            self.post_to_connections,
            self.post_and_await_acknowledgement,
            self.wait_for_reconnect,
        ):
            self._allow_numbering(numbering)

        for reading in (self.plan_fan_out, self.post_to_audience, self.hand_over_to_deliveries):
            reading.allow("dynamodb:Query", on=f"{connections}/index/{BY_CONVERSATION}")
        self.post_to_audience.allow("dynamodb:Query", "dynamodb:DeleteItem", on=connections)
        self.api.allow_posting(self.post_to_audience)
        self.api.allow_closing(self.post_to_audience)
        self.hand_over_to_deliveries.allow("dynamodb:Query", on=connections)
        self.hand_over_to_deliveries.allow("states:StartExecution", on=self.delivery.state_machine.state_machine_arn)
        self.delivery.allow_describing(self.hand_over_to_deliveries)

        self.wake.allow("dynamodb:Query", "dynamodb:DeleteItem", on=callbacks)
        for taking in (self.ingest, self.http_api, self.accept, self.ended):
            self._allow_intake(taking)
        self.ingest.allow("sqs:SendMessage", on=self.ways_in.dead_letter_queue.queue_arn)
        self.ended.allow("sqs:SendMessage", on=self.delivery.dead_letter_queue.queue_arn)
        if self.presence:
            self.presence.allow("events:PutEvents", on=self.ways_in.bus.event_bus_arn)
        self.api.allow_posting(self.post_once)
        for endpoint in allowed_endpoints:
            self.api.allow_posting_elsewhere(self.post_once, endpoint)
        self.delivery.allow_tracking(self.http_api)
        self.fan_out.allow_starting(self.http_api)

        # A policy of its own: in the role's, Wait For Reconnect would wait for the machine, and the machine for it.
        iam.Policy(
            self,
            "CompleteCallbacks",
            roles=[self.wait_for_reconnect.role, self.wake.role, self.acknowledge.role],
            statements=[
                iam.PolicyStatement(
                    actions=["states:SendTaskSuccess"], resources=[self.delivery.state_machine.state_machine_arn]
                )
            ],
        )

        for handler in (
            self.connect,
            self.disconnect,
            self.acknowledge,
            self.resolve_connections,
            self.post_to_connections,
            self.post_and_await_acknowledgement,
            self.wait_for_reconnect,
            self.wake,
            self.http_api,
            self.accept,
            self.ended,
            self.plan_fan_out,
            self.post_to_audience,
            self.hand_over_to_deliveries,
            *([self.presence] if self.presence else []),
        ):
            self.encryption.allow_writing(handler.role)

    def _allow_intake(self, handler: Handler) -> None:
        """What every way in needs: to find connections, to post and to clean up, to number, to start a run."""
        handler.allow("dynamodb:Query", "dynamodb:DeleteItem", on=self.tables.connections.table_arn)
        self.api.allow_posting(handler)
        self.api.allow_closing(handler)
        self._allow_numbering(handler)
        handler.allow("states:StartExecution", on=self.delivery.state_machine.state_machine_arn)
        self.delivery.allow_describing(handler)

    def _allow_numbering(self, handler: Handler) -> None:
        handler.allow(
            "dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", on=self.tables.sequences.table_arn
        )

    def _watch(self, functions: Sequence[Handler], settings: StageSettings) -> None:
        self.monitoring = Monitoring(
            self,
            "Monitoring",
            watched=Watched(
                delivery=self.delivery,
                fan_out=self.fan_out,
                endings=self.endings,
                ways_in=self.ways_in,
                api=self.api,
                functions=functions,
                waited_for=(
                    self.authorizer,
                    self.connect,
                    self.acknowledge,
                    self.resolve_connections,
                    self.post_to_connections,
                    self.post_and_await_acknowledgement,
                    self.wait_for_reconnect,
                    self.http_api,
                    self.accept,
                    self.post_once,
                ),
                posting=(
                    self.post_to_connections,
                    self.post_and_await_acknowledgement,
                    self.ingest,
                    self.http_api,
                    self.accept,
                    self.ended,
                    self.post_to_audience,
                ),
                authorizer=self.authorizer,
                connect=self.connect,
                disconnect=self.disconnect,
                wait_for_reconnect=self.wait_for_reconnect,
                wake=self.wake,
                ended=self.ended,
                presence=self.presence,
            ),
            alarm_topic_arn=settings.alarm_topic_arn,
            oldest_wait_alarm_seconds=settings.oldest_wait_alarm_seconds,
            longest_wait_seconds=max(settings.backoff_cap_seconds, settings.look_again_seconds),
        )

    def _output(self) -> None:
        for name, value in {
            "WebSocketUrl": self.api.url,
            "DeliveryStateMachineArn": self.delivery.state_machine.state_machine_arn,
            "FanOutStateMachineArn": self.fan_out.state_machine.state_machine_arn,
            "AudienceBucketName": self.fan_out.audiences.bucket_name,
            "MessageTopicArn": self.ways_in.topic.topic_arn,
            "MessageBusName": self.ways_in.bus.event_bus_name,
            "IngestQueueUrl": self.ways_in.queue.queue_url,
            "DeadLetterQueueUrl": self.delivery.dead_letter_queue.queue_url,
            "IngestDeadLetterQueueUrl": self.ways_in.dead_letter_queue.queue_url,
            "ConnectionsTableName": self.tables.connections.table_name,
            "CallbacksTableName": self.tables.callbacks.table_name,
            "SequencesTableName": self.tables.sequences.table_name,
            "HttpApiUrl": self.http.url,
            "AcceptFunctionName": self.accept.function.function_name,
            "PostOnceFunctionName": self.post_once.function.function_name,
            "ManagementEndpoint": self.api.management_endpoint,
            "DisconnectFunctionName": self.disconnect.function.function_name,
        }.items():
            CfnOutput(self, name, value=value)


def _authorizer_environment(settings: StageSettings) -> Environment:
    token = settings.token
    return {
        "TOKEN_ALGORITHMS": token.algorithms,
        "TOKEN_ISSUER": token.issuer,
        "TOKEN_AUDIENCE": token.audience,
        "TOKEN_JWKS_URL": token.jwks_url,
        "TOKEN_JWKS": json.dumps(token.jwks, separators=(",", ":")) if token.jwks else None,
        "TOKEN_SECRET_ARN": token.secret_arn,
        "TOKEN_COOKIE_NAME": token.cookie_name,
        "TOKEN_REQUIRED_SCOPE": token.required_scope,
        "TOKEN_CONTEXTS_CLAIM": token.contexts_claim,
        "TOKEN_ATTRIBUTE_CLAIMS": token.attribute_claims,
        "ALLOWED_ORIGINS": settings.allowed_origins,
        "ALLOWED_NETWORKS": settings.allowed_networks,
        "GENERATE_CONTEXT_ID": settings.generate_context_id,
    }
