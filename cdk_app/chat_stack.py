"""The chat's stack: an application on top of Ringback, which uses of it what any backend can."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_app.chat.api import ROUTES
from cdk_app.chat.events import ChatEvents, ChatPresence
from cdk_app.chat.monitoring import ChatMonitoring
from cdk_app.chat.session import ChatSession
from cdk_app.encryption import Encryption
from cdk_app.functions import Environment, Handler, Handlers
from cdk_app.http_api import Access, HttpApi, tokens
from cdk_app.logs import LogGroups
from cdk_app.ringback_stack import RingbackStack
from cdk_app.settings import ChatSettings, StageSettings
from cdk_app.tables import make_table

_MEMORY_FOR_VALIDATION_MB = 512  # who is told what is wrong with a request waits until pydantic is imported


class ChatStack(Stack):
    """The chat of one stage.

    Of Ringback's stack it has the function that accepts messages, the table of connections (to read) and the bus.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        ringback: RingbackStack,
        settings: StageSettings,
        chat: ChatSettings,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Ringback: live chat, with a queue, agents and ratings",
            termination_protection=settings.retain_data,
        )
        self._ringback = ringback
        removal = RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY
        self.encryption = Encryption(
            self, "Encryption", customer_managed=settings.encryption == "customer_managed", removal=removal
        )
        log_groups = LogGroups(retention_days=settings.log_retention_days, encryption=self.encryption, removal=removal)
        # A new row of a chat's log is what people are told. No index: `lambdas.chat.adapters.table` says why.
        self.chats = make_table(
            self,
            "Chats",
            partition_key="collection",
            sort_key="item",
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            encryption=self.encryption,
            removal=removal,
            protected=settings.retain_data,
        )

        handlers = Handlers(self, settings=settings, log_groups=log_groups)
        chats: Environment = {
            "CHATS_TABLE_NAME": self.chats.table_name,
            "RETENTION_DAYS": chat.retention_days,
            "MAX_WAIT_SECONDS": chat.max_wait_seconds,
            "IDLE_SECONDS": chat.idle_seconds,
            "AGENT_AWAY_SECONDS": chat.agent_away_seconds,
            "RATING_SECONDS": chat.rating_seconds,
            "MESSAGES_PER_MINUTE": chat.messages_per_minute,
        }
        present: Environment = {"CONNECTIONS_TABLE_NAME": ringback.tables.connections.table_name}
        telling: Environment = {"ACCEPT_FUNCTION_NAME": ringback.accept.function.function_name}

        # What Step Functions calls, and the machine that calls it.
        self.await_change = handlers.make("chat.tasks.await_change", environment=chats)
        self.settle_overdue = handlers.make("chat.tasks.settle_overdue", environment={**chats, **present})
        self.session = ChatSession(
            self,
            "ChatSession",
            tasks={task.node.id: task for task in (self.await_change, self.settle_overdue)},
            log_groups=log_groups,
            encryption=self.encryption,
        )

        # What the table's stream and Ringback's bus call.
        self.publish_events = handlers.make(
            "chat.triggers.publish_events",
            environment={
                **chats,
                **telling,
                "MESSAGE_TTL_SECONDS": chat.message_ttl_seconds,
                "CHAT_SESSION_STATE_MACHINE_ARN": self.session.state_machine.state_machine_arn,
            },
            timeout=Duration.minutes(10),  # it hands over a hundred messages, and for long again what was not taken
        )
        self.events = ChatEvents(
            self,
            "ChatEvents",
            table=self.chats,
            handler=self.publish_events,
            encryption=self.encryption,
            removal=removal,
        )
        self.notice_presence = handlers.make(
            "chat.triggers.notice_presence",
            environment={**chats, **present, **telling},
            timeout=Duration.seconds(60),  # an agent may have many chats
        )
        self.presence = ChatPresence(
            self,
            "ChatPresence",
            bus_name=ringback.ways_in.bus.event_bus_name,
            handler=self.notice_presence,
            encryption=self.encryption,
            removal=removal,
        )

        # What pages call.
        self.chat_api = handlers.make(
            "chat.routes.chat_api",
            environment={
                **chats,
                **present,
                **telling,
                "ROLE_CLAIM": chat.role_claim,
                "AGENT_ROLE": chat.agent_role,
            },
            timeout=Duration.seconds(28),  # API Gateway waits 30, and then answers without a word
            memory_mb=_MEMORY_FOR_VALIDATION_MB,
        )
        self.http = HttpApi(
            self,
            "Http",
            description="Ringback's chat: pages of customers and agents call it",
            routes=ROUTES,
            access=Access(tokens(chat.issuer, chat.audience), pages=settings.allowed_origins or ("*",)),
            handler=self.chat_api,
            settings=settings,
            log_groups=log_groups,
        )

        self._grant()
        for name, value in {
            "ChatApiUrl": self.http.url,
            "ChatsTableName": self.chats.table_name,
            "ChatSessionStateMachineArn": self.session.state_machine.state_machine_arn,
        }.items():
            CfnOutput(self, name, value=value)
        if not settings.is_local:  # nobody is called there, and MiniStack has no metric math
            self.monitoring = ChatMonitoring(
                self,
                "Monitoring",
                machine=self.session.state_machine,
                publish_events=self.publish_events,
                events=self.events,
                presence=self.presence,
                functions=handlers.made,
                alarm_topic_arn=settings.alarm_topic_arn,
            )

    def _grant(self) -> None:
        """Who may do what. Everybody may also write logs and traces; what triggers a function is granted with it."""
        chats = self.chats.table_arn
        self.chat_api.allow("dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem", on=chats)
        self.await_change.allow("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", on=chats)
        self.settle_overdue.allow("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem", on=chats)
        self.publish_events.allow("dynamodb:GetItem", "dynamodb:Query", "dynamodb:DeleteItem", on=chats)
        self.publish_events.allow("states:StartExecution", on=self.session.state_machine.state_machine_arn)
        self.notice_presence.allow(
            "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem", on=chats
        )
        self.session.allow_completing([self.await_change, self.publish_events])

        for reading in (self.chat_api, self.settle_overdue, self.notice_presence):
            self._allow_reading_connections(reading)
        for telling in (self.chat_api, self.publish_events, self.notice_presence):
            telling.allow("lambda:InvokeFunction", on=self._ringback.accept.function.function_arn)
        for handler in (
            self.chat_api,
            self.await_change,
            self.settle_overdue,
            self.publish_events,
            self.notice_presence,
        ):
            self.encryption.allow_writing(handler.role)

    def _allow_reading_connections(self, handler: Handler) -> None:
        handler.allow("dynamodb:Query", on=self._ringback.tables.connections.table_arn)
        self._ringback.encryption.allow_reading(handler.role)
