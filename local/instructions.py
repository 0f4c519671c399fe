"""What `make up` prints: where everything is, and commands to copy."""

import json
import shlex
from collections.abc import Mapping

from local import settings
from local.installation import Installation

_USER, _CONTEXT, _CONTEXT_ID = "ana", "chat", "42"
_CHAT_PEOPLE = {"customer": ("ana", "chat", "support"), "agent": ("bo", "desk", "chat")}


def instructions(installation: Installation) -> str:
    """Text for a terminal. The commands run as they stand, from the project's folder."""
    console = f"\nConsole                 {installation.console_url}/" if installation.console_url else ""
    return f"""{console}
Endpoint                {installation.endpoint}
WebSocket               {installation.websocket_url}
Delivery state machine  {installation.delivery_state_machine_arn}
Fan-out state machine   {installation.fan_out_state_machine_arn}
Function that accepts   {installation.accept_function_name}
HTTP API                {installation.http_api_url}
Message topic           {installation.message_topic_arn}
Message bus             {installation.message_bus_name}
Dead letter queue       {installation.dead_letter_queue_url}
… of ingest             {installation.ingest_dead_letter_queue_url}
Chat's API              {installation.chat_api_url}
Chat's state machine    {installation.chat_session_state_machine_arn}

The command that a backend uses, for example to see whether all is well:

{settings.TOOLS / "ringback"} doctor --local

A client. The token can also travel as a subprotocol (-s bearer -s TOKEN), as browsers need it:

{client_command(installation)}

A message, over HTTP:

{post_command(installation)}

A message, as a run of its own:

{start_execution_command(installation)}

A message through the topic:

{publish_command(installation)}

What could not be delivered, and what the topic brought that is no message:

{dead_letters_command(installation, installation.dead_letter_queue_url)}

{dead_letters_command(installation, installation.ingest_dead_letter_queue_url)}

The way a run took (its ARN is what start-execution answers):

{history_command(installation)}

A chat. The customer hears what happens, and starts one, whose id is the answer's:

{chat_client_command(installation, "customer")}

{chat_call_command(installation, "customer", "/chats", {"subject": "A question"})}

The agent is at the desk for as long as they hear, accepts the chat (put its id for ID), and answers:

{chat_client_command(installation, "agent")}

{chat_call_command(installation, "agent", "/chats/ID/accept")}

{chat_call_command(installation, "agent", "/chats/ID/messages", {"text": "Hello"})}

A long job with a progress bar, in a page of its own (from another terminal, in this folder):

make example-progress
"""


def client_command(installation: Installation) -> str:
    """wscat, a stock client, run by the node in the virtualenv."""
    return _wscat(installation, _CONTEXT_ID)


def chat_client_command(installation: Installation, role: str) -> str:
    """The same, where customers are told of their chats, or agents of theirs and of the queue."""
    user, context, context_id = _CHAT_PEOPLE[role]
    return _wscat(installation, context_id, context=context, token=f"--user {user} --contexts {context}/{context_id}")


def chat_call_command(
    installation: Installation, role: str, path: str, body: Mapping[str, object] | None = None
) -> str:
    """A POST to the chat's API, whose tokens are others."""
    user, _, _ = _CHAT_PEOPLE[role]
    token = f"$({installation.token_command} --user {user} --chat {role})"
    return " \\\n".join(
        [
            f"curl {shlex.quote(installation.chat_api_url + path)}",
            f'  -H "Authorization: Bearer {token}" -H "Content-Type: application/json"',
            f"  -d {shlex.quote(json.dumps(body or {}))}",
        ]
    )


def _wscat(
    installation: Installation, context_id: str, *, context: str = _CONTEXT, token: str = f"--user {_USER}"
) -> str:
    url = f"{installation.websocket_url}?context={context}&contextId={context_id}"
    token = f"$({installation.token_command} {token})"
    return f'PATH="{settings.TOOLS}:$PATH" npx --yes wscat -c {shlex.quote(url)} -H "Authorization: Bearer {token}"'


def post_command(installation: Installation) -> str:
    token = f"$({installation.token_command} --backend)"
    return " \\\n".join(
        [
            f"curl {shlex.quote(installation.http_api_url + '/messages')}",
            f'  -H "Authorization: Bearer {token}" -H "Content-Type: application/json"',
            f"  -d {shlex.quote(json.dumps(_envelope('Hello over HTTP')))}",
        ]
    )


def start_execution_command(installation: Installation) -> str:
    envelope = _envelope("Hello from a run")
    return _aws(
        installation,
        "stepfunctions start-execution",
        **{"state-machine-arn": installation.delivery_state_machine_arn, "input": json.dumps(envelope)},
    )


def publish_command(installation: Installation) -> str:
    attributes = {"user": _USER, "context": _CONTEXT, "contextId": _CONTEXT_ID}
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    return _aws(
        installation,
        "sns publish",
        **{
            "topic-arn": installation.message_topic_arn,
            "message": json.dumps({"text": "Hello from the topic"}),
            "message-attributes": json.dumps(typed),
        },
    )


def dead_letters_command(installation: Installation, queue_url: str) -> str:
    return _aws(
        installation,
        "sqs receive-message",
        **{"queue-url": queue_url, "max-number-of-messages": "10", "message-attribute-names": "All"},
    )


def history_command(installation: Installation) -> str:
    return _aws(installation, "stepfunctions get-execution-history", **{"execution-arn": "ARN", "output": "table"})


def _envelope(text: str) -> dict[str, object]:
    return {"recipient": {"user": _USER, "context": _CONTEXT, "contextId": _CONTEXT_ID}, "payload": {"text": text}}


def _aws(installation: Installation, operation: str, **options: str) -> str:
    """An AWS CLI command that cannot reach the real AWS, whatever profile the person uses."""
    credentials = f"AWS_ACCESS_KEY_ID={settings.ACCESS_KEY_ID} AWS_SECRET_ACCESS_KEY={settings.SECRET_ACCESS_KEY}"
    lines = [
        f"{credentials} aws {operation} --endpoint-url {installation.endpoint} --region {settings.REGION}",
        *(f"  --{name} {shlex.quote(value)}" for name, value in options.items()),
    ]
    return " \\\n".join(lines)
