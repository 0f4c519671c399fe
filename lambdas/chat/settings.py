"""The environment of the chat's functions, as typed models; `lambdas.settings.load` reads them."""

from lambdas.settings import Settings


class Chats(Settings):
    """Where the chats are, how long a row is kept, and what limits there are to a chat."""

    chats_table_name: str
    retention_days: int
    max_wait_seconds: int
    idle_seconds: int
    agent_away_seconds: int
    rating_seconds: int
    messages_per_minute: int


class Present(Chats):
    """And where Ringback's connections are: whether an agent is at the desk."""

    connections_table_name: str


class Telling(Chats):
    """And what takes Ringback's messages."""

    accept_function_name: str


class AwaitChange(Chats):
    """As for all."""


class SettleOverdue(Present):
    """And whether the agent is there."""


class NoticePresence(Present, Telling):
    """And both of these."""


class PublishEvents(Telling):
    """And how long a message lives, and which machine's runs are the chats'."""

    message_ttl_seconds: int
    chat_session_state_machine_arn: str


class ChatApi(Present, Telling):
    """And which claim makes somebody an agent."""

    role_claim: str
    agent_role: str
