"""One WebSocket API for all its cases: its functions tell a queue what they were given, and do what the query says."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from websockets.sync.client import ClientConnection

from tests.fidelity.clouds import Cloud, WebSocketApi

# `do` in the query says what goes wrong; `at` where the API's connections are managed.
_SOURCE = """
    import json
    import boto3

    queue = boto3.client("sqs")

    def handler(event, context):
        told, query = event["requestContext"], event.get("queryStringParameters") or {{}}
        do, posted = query.get("do"), None
        if told["eventType"] == "CONNECT" and "methodArn" not in event and do == "post":
            management = boto3.client("apigatewaymanagementapi", endpoint_url=query["at"])
            try:
                management.post_to_connection(ConnectionId=told["connectionId"], Data=b"too early")
                posted = 200
            except Exception as error:
                posted = error.response["ResponseMetadata"]["HTTPStatusCode"]
        queue.send_message(QueueUrl="{queue}", MessageBody=json.dumps({{"event": event, "posted": posted}}))
        if "methodArn" in event:
            if do == "raise Unauthorized":
                raise Exception("Unauthorized")
            if do == "break the authorizer":
                raise ValueError("broken")
            effect = "Deny" if do == "deny" else "Allow"
            statement = {{"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}}
            policy = {{"Version": "2012-10-17", "Statement": [statement]}}
            grant = {{"context": "chat", "contextId": "42"}}
            return {{"principalId": "ana", "policyDocument": policy, "context": grant}}
        if told["eventType"] == "CONNECT":
            if do == "break":
                raise ValueError("broken")
            if do in ("429", "503"):
                return {{"statusCode": int(do)}}
            offered = {{name.lower(): value for name, value in event["headers"].items()}}
            chosen = {{"Sec-WebSocket-Protocol": "bearer"}} if "sec-websocket-protocol" in offered else {{}}
            return {{"statusCode": 200, "headers": chosen}}
        return {{"statusCode": 200, "body": f"{{told['routeKey']}} {{told['connectionId']}}"}}
"""
_ROUTES = ("$connect", "$disconnect", "$default", "ask", "tell")
_ANSWERS = ("$default", "ask")


@dataclass
class Gateway:
    """The API, and what its functions were given."""

    cloud: Cloud
    api: WebSocketApi
    queue: str
    _told: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, cloud: Cloud) -> "Gateway":
        """The one that all cases share."""
        made: Gateway = cloud.once("gateway", lambda: cls._make(cloud))
        return made

    @classmethod
    def _make(cls, cloud: Cloud) -> "Gateway":
        queue = cloud.queue()
        function = cloud.function(_SOURCE.format(queue=queue))
        api = cloud.websocket_api(dict.fromkeys(_ROUTES, function), authorizer=function, answers=_ANSWERS)
        return cls(cloud, api.await_deployment(), queue)

    @contextlib.contextmanager
    def connect(self, *subprotocols: str, **query: str) -> Iterator[tuple[ClientConnection, str]]:
        """A client, and the id of its connection."""
        mark = uuid4().hex
        with self.api.connect(*subprotocols, mark=mark, **query) as client:
            event = self.event("CONNECT", lambda event: (event.get("queryStringParameters") or {}).get("mark") == mark)
            yield client, str(event["requestContext"]["connectionId"])

    def event(self, kind: str, fits: Any = lambda event: True, *, authorizer: bool = False) -> dict[str, Any]:
        """The first event of this kind that fits, as the function was given it."""
        event: dict[str, Any] = self.what_came(kind, fits, authorizer=authorizer)["event"]
        return event

    def what_came(self, kind: str, fits: Any, *, authorizer: bool = False) -> dict[str, Any]:
        """The same with what the function noted beside it."""
        while True:
            for told in self._told:
                event = told["event"]
                right = event["requestContext"]["eventType"] == kind and ("methodArn" in event) == authorizer
                if right and fits(event):
                    return told
            self._told.append(self.cloud.told(self.queue))

    def answer(self, client: ClientConnection) -> str:
        """The next frame, which is text."""
        return str(client.recv(timeout=self.cloud.patience_seconds))

    def answer_json(self, client: ClientConnection) -> Any:
        """The next frame, which is JSON."""
        return json.loads(self.answer(client))


def of_connection(connection_id: str) -> Any:
    """Whether an event is of this connection."""
    return lambda event: event["requestContext"]["connectionId"] == connection_id
