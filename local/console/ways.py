"""All the ways in, as a backend takes them: what the page composes goes through one of these."""

import json
import urllib.error
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from local.backend import Backend
from local.installation import Installation
from local.tokens import Keys
from ringback import aws, fan_out, runs
from ringback.envelope import Envelope
from ringback.errors import InvalidMessage, RingbackError, Unavailable
from ringback.names import execution_name, identity, run_arn
from ringback.publisher import Publisher, make_envelope

Json = dict[str, Any]

EVENT_SOURCE = "ringback.console"
EVENT_TYPE = "ringback.message"
_MAX_ATTRIBUTES = 10  # SNS's own, where it hands messages on to SQS as they are


class RefusedByApi(RingbackError):
    """The HTTP API has answered with a problem; ``status`` is its status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Ways:
    """The ways into one installation. Threads may share it."""

    def __init__(self, installation: Installation, keys: Keys) -> None:
        self._installation = installation
        self._keys = keys
        self._sdk = installation.sdk
        self._publisher = Publisher(self._sdk)
        self._ways: Mapping[str, Callable[[Json], Json]] = {
            "accept": self._accept,
            "topic": self._topic,
            "bus": self._bus,
            "http": self._http,
            "run": self._run,
            "fanOut": self._fan_out,
            "postOnce": self._post_once,
        }
        # boto3 makes a client for one thread at a time: before there are several.
        self._topic_client, self._bus_client = self._sdk.clients.other("sns"), self._sdk.clients.other("events")

    def send(self, way: Any, message: Any) -> Json:
        """Send a message (or a fan-out, or what postOnce takes) one way; answers what that way answers.

        Raises:
            InvalidMessage: it is none, or there is no such way.
            RingbackError: it could not be handed over.
        """
        if not isinstance(way, str) or way not in self._ways:
            raise InvalidMessage(f"way: give one of {', '.join(self._ways)}")
        if not isinstance(message, dict):
            raise InvalidMessage("message: give an object")
        return {"way": way, "answer": self._ways[way](message)}

    def cancel(self, message_id: str) -> Json:
        """Take a message back; answers its state.

        Raises:
            RingbackError
        """
        return self._publisher.cancel(message_id).to_json()

    def _accept(self, message: Json) -> Json:
        (result,) = self._publisher.publish_each([make_envelope(message)])
        return _present(id=result.id, status=result.status, executionArn=result.execution_arn, detail=result.detail)

    def _topic(self, message: Json) -> Json:
        envelope = make_envelope(message)
        body, attributes = _as_attributes(envelope)
        with aws.translated("sns"):
            answer = self._topic_client.publish(
                TopicArn=self._sdk.output("MessageTopicArn"),
                Message=body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()
                },
            )
        return {"id": envelope.id, "status": "published", "messageId": answer["MessageId"]}

    def _bus(self, message: Json) -> Json:
        envelope = make_envelope(message)
        with aws.translated("events"):
            (entry,) = self._bus_client.put_events(
                Entries=[
                    {
                        "EventBusName": self._sdk.output("MessageBusName"),
                        "Source": EVENT_SOURCE,
                        "DetailType": EVENT_TYPE,
                        "Detail": _text(_json(envelope)),
                    }
                ]
            )["Entries"]
        if "EventId" not in entry:
            raise Unavailable(f"the bus did not take it: {entry.get('ErrorCode')}; try again")
        return {"id": envelope.id, "status": "published", "messageId": entry["EventId"]}

    def _http(self, message: Json) -> Json:
        try:
            answer = Backend.of(self._installation, self._keys).send(message)
        except (urllib.error.URLError, TimeoutError):
            raise Unavailable("the HTTP API does not answer") from None
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RefusedByApi(answer.status, str(answer.body.get("detail") or answer.body))
        return {**answer.body, "httpStatus": answer.status}

    def _run(self, message: Json) -> Json:
        return self._start(self._sdk.delivery_state_machine_arn, _json(make_envelope(message)))

    def _fan_out(self, message: Json) -> Json:
        given = {**message, "id": str(uuid.uuid4())} if message.get("id") is None else message
        try:
            fan_out.parse(given)
        except ValidationError as error:
            raise InvalidMessage(fan_out.describe(error)) from None
        return self._start(self._sdk.output("FanOutStateMachineArn"), given)

    def _start(self, machine: str, given: Json) -> Json:
        client, name = self._sdk.clients.stepfunctions, execution_name(given["id"])
        arn = run_arn(machine, name)
        known = {"id": given["id"], "executionArn": arn}
        with aws.translated("stepfunctions"):
            try:
                client.start_execution(stateMachineArn=machine, name=name, input=_text(given))
            except ClientError as error:
                if aws.code(error) != "ExecutionAlreadyExists":
                    raise
                there = runs.describe(client, arn)
                if there is not None and identity(there.message) == identity(given):
                    return {**known, "status": "duplicate"}
                return {**known, "status": "conflict", "detail": "the id belongs to another one: give it its own"}
        return {**known, "status": "started"}

    def _post_once(self, message: Json) -> Json:
        with aws.translated("lambda"):
            answer = self._sdk.clients.functions.invoke(
                FunctionName=self._sdk.output("PostOnceFunctionName"), Payload=_text(message).encode()
            )
            body = json.loads(answer["Payload"].read())
        if answer.get("FunctionError"):
            if body.get("errorType") == "InvalidMessage":
                raise InvalidMessage(str(body["errorMessage"]))
            raise Unavailable("postOnce failed; its log says why")
        return dict(body)


def _json(envelope: Envelope) -> Json:
    return envelope.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _as_attributes(envelope: Envelope) -> tuple[str, dict[str, str]]:
    """The body and the attributes of a message on the topic; of one that does not go into attributes, all in the body.

    A text travels as it is, everything else as JSON.
    """
    whole = _json(envelope)
    rest = {name: value for name, value in whole.items() if name not in {"recipient", "payload"}}
    payload = envelope.payload
    attributes = {
        **{name: str(value) for name, value in whole["recipient"].items()},
        **{name: value if isinstance(value, str) else json.dumps(value) for name, value in rest.items()},
    }
    if isinstance(payload, str):
        attributes["contentType"] = "text/plain"
    if "retry" in rest or len(attributes) > _MAX_ATTRIBUTES or payload == "":
        return _text(whole), {}
    return payload if isinstance(payload, str) else _text(payload), attributes


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise InvalidMessage("it holds a number that JSON cannot carry") from None


def _present(**values: Any) -> Json:
    return {name: value for name, value in values.items() if value is not None}
