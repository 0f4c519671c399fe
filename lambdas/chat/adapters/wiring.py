"""The core's ports on AWS, from a function's settings."""

from datetime import timedelta

from lambdas.chat import settings
from lambdas.chat.adapters import aws
from lambdas.chat.adapters.desk import ConnectedDesk
from lambdas.chat.adapters.pushes import Pushes, Screens, installation
from lambdas.chat.adapters.session_machine import SessionMachine, WaitingRuns
from lambdas.chat.adapters.table import ChatTable
from lambdas.chat.core.rules import Limits
from lambdas.clock import SystemClock
from ringback.installation import Installation

SHOWING_SECONDS = 10
"""For how long what is shown is waited for: who shows it has to answer a page, within half a minute."""


def chats(environment: settings.Chats) -> ChatTable:
    """The chats."""
    retention = timedelta(days=environment.retention_days)
    return ChatTable(environment.chats_table_name, aws.dynamodb(), retention)


def limits(environment: settings.Chats) -> Limits:
    """How long a chat may stay in each of its phases, and how much its people may say."""
    return Limits(
        max_wait_seconds=environment.max_wait_seconds,
        idle_seconds=environment.idle_seconds,
        agent_away_seconds=environment.agent_away_seconds,
        rating_seconds=environment.rating_seconds,
        messages_per_minute=environment.messages_per_minute,
    )


def desk(environment: settings.Present) -> ConnectedDesk:
    """Who is at the desk."""
    return ConnectedDesk(environment.connections_table_name, aws.dynamodb())


def screens(environment: settings.Telling) -> Screens:
    """What people are shown."""
    return Screens(_to_show(environment))


def pushes(environment: settings.PublishEvents) -> Pushes:
    """What people are told, and shown."""
    to_tell = installation(environment.accept_function_name, aws.ringback())
    return Pushes(_to_show(environment), to_tell, timedelta(seconds=environment.message_ttl_seconds))


def waiting_runs() -> WaitingRuns:
    """The runs that wait."""
    return WaitingRuns()


def runs(environment: settings.PublishEvents) -> SessionMachine:
    """The runs, and how to start one."""
    return SessionMachine(environment.chat_session_state_machine_arn)


def clock() -> SystemClock:
    """The time."""
    return SystemClock()


def _to_show(environment: settings.Telling) -> Installation:
    return installation(environment.accept_function_name, aws.ringback(SHOWING_SECONDS))
