"""Each correction of MiniStack, with it and without it.

`matters` runs the same observation on both. The corrected one must see what AWS would show; the other must not: once
it does, MiniStack does the right thing by itself and the correction is to be removed. What the local cloud does as AWS
without a correction is held to it in tests/fidelity.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError
from websockets.typing import Subprotocol

from local import corrections, settings
from local.corrections import places
from tests.integration.local.laboratory import Laboratory, Matters, WebSocketApi

RAISES = """
    class InvalidMessage(Exception):
        pass

    def handler(event, context):
        raise InvalidMessage("no recipient")
"""
ACCEPTS = """
    def handler(event, context):
        return {"statusCode": 200}
"""
SAYS_WHO = """
    def handler(event, context):
        return {"statusCode": 200, "body": event["requestContext"]["connectionId"]}
"""


def invoking(function: str) -> dict[str, Any]:
    return {
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function, "Payload": "{% $states.input %}"},
    }


def awaiting_token(function: str) -> dict[str, Any]:
    return {
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Arguments": {"FunctionName": function, "Payload": {"token": "{% $states.context.Task.Token %}"}},
    }


def test_raising_handler_is_reported_with_its_class(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        kind, error = laboratory.invoke(laboratory.function(RAISES))
        return (
            kind,
            error["errorType"],
            error["errorMessage"],
            [line.strip().splitlines()[-1].strip() for line in error.get("stackTrace", [])],
        )

    matters(observe, ("Unhandled", "InvalidMessage", "no recipient", ['raise InvalidMessage("no recipient")']))


def test_raising_handler_fails_a_run_with_its_class(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        outcome = laboratory.run(invoking(laboratory.function(RAISES)))
        return outcome["status"], outcome["error"], sorted(json.loads(outcome["cause"]))

    matters(observe, ("FAILED", "InvalidMessage", ["errorMessage", "errorType", "requestId", "stackTrace"]))


def test_raising_handler_leaves_its_traceback_in_the_log(corrected: Laboratory) -> None:
    function = corrected.function(RAISES)
    corrected.invoke(function)

    assert "[ERROR] InvalidMessage: no recipient\nTraceback" in corrected.log(function)


def test_raising_handler_keeps_its_environment(matters: Matters) -> None:
    source = """
        calls = 0

        def handler(event, context):
            global calls
            calls += 1
            if event == "raise":
                raise ValueError
            return calls
    """

    def observe(laboratory: Laboratory) -> object:
        function = laboratory.function(source)
        laboratory.invoke(function, "raise")
        return laboratory.invoke(function)

    matters(observe, (None, 2))


@pytest.mark.parametrize("end", ["os._exit(1)", "time.sleep(60)"])
def test_environment_that_died_is_replaced(corrected: Laboratory, end: str) -> None:
    function = corrected.function(
        f"""
        import os, time

        def handler(event, context):
            if event == "die":
                {end}
            return "alive"
        """,
        timeout_seconds=1,
    )

    assert corrected.invoke(function, "die")[0] == "Unhandled"
    assert corrected.invoke(function) == (None, "alive")


def test_silent_handler_is_answered_at_once(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        function = laboratory.function(ACCEPTS)

        def seconds() -> float:
            start = time.monotonic()
            laboratory.invoke(function)
            return time.monotonic() - start

        return "fast" if min(seconds() for _ in range(10)) < 0.045 else "slow"

    matters(observe, "fast")


def test_code_is_unpacked_once(matters: Matters) -> None:
    source = """
        import os

        def handler(event, context):
            return os.path.realpath(__file__)
    """

    def observe(laboratory: Laboratory) -> object:
        places = {laboratory.invoke(laboratory.function(source))[1] for _ in range(2)}
        return len(places)

    matters(observe, 1)


def test_callers_wait_for_one_of_a_few_workers(matters: Matters) -> None:
    source = """
        import os, time

        def handler(event, context):
            time.sleep(0.3)
            return os.getpid()
    """
    callers = settings.WORKERS_PER_FUNCTION * 3

    def observe(laboratory: Laboratory) -> object:
        function = laboratory.function(source)
        with ThreadPoolExecutor(callers) as pool:
            answers = list(pool.map(lambda _: laboratory.invoke(function), range(callers)))
        assert all(kind is None for kind, _ in answers)
        processes = {pid for _, pid in answers}
        return "few" if len(processes) <= settings.WORKERS_PER_FUNCTION else "many"

    matters(observe, "few")


@pytest.mark.parametrize(
    ("query_language", "timeout"),
    [
        ("JSONata", {"TimeoutSeconds": "{% $states.input.seconds %}"}),
        ("JSONPath", {"TimeoutSecondsPath": "$.seconds"}),
    ],
)
def test_computed_timeout_ends_the_wait(matters: Matters, query_language: str, timeout: dict[str, str]) -> None:
    def observe(laboratory: Laboratory) -> object:
        function = laboratory.function(ACCEPTS)
        laboratory.invoke(function)  # a cold start would count
        state = awaiting_token(function)
        if query_language == "JSONPath":
            arguments = state.pop("Arguments")
            state["Parameters"] = arguments | {"Payload": {"token.$": "$$.Task.Token"}}
        execution = laboratory.start(laboratory.machine(state | timeout, query_language=query_language), {"seconds": 1})
        outcome = laboratory.outcome(execution, patience_seconds=3)
        return outcome["status"], outcome.get("error")

    matters(observe, ("FAILED", "States.Timeout"))


@pytest.mark.parametrize("seconds", [0, 1.5, "soon"])
def test_timeout_must_be_a_positive_integer(corrected: Laboratory, seconds: object) -> None:
    state = awaiting_token(corrected.function(ACCEPTS)) | {"TimeoutSeconds": "{% $states.input.seconds %}"}

    assert corrected.run(state, {"seconds": seconds})["error"] == "States.QueryEvaluationError"


def test_raising_function_fails_a_callback_task_at_once(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        state = awaiting_token(laboratory.function(RAISES))
        return laboratory.run(state | {"TimeoutSeconds": 2})["error"]

    matters(observe, "InvalidMessage")


def test_task_token_completed_before_the_function_raises_counts(corrected: Laboratory) -> None:
    function = corrected.function(
        """
        import boto3

        def handler(event, context):
            boto3.client("stepfunctions").send_task_success(taskToken=event["token"], output='"done"')
            raise ValueError
        """
    )

    assert corrected.run(awaiting_token(function))["output"] == '"done"'


def test_websocket_routes_are_logged_like_other_invocations(matters: Matters) -> None:
    source = """
        def handler(event, context):
            print("somebody connects")
            return {"statusCode": 200}
    """

    def observe(laboratory: Laboratory) -> object:
        function = laboratory.function(source)
        with laboratory.websocket_api(connect=function).connect():
            pass
        return laboratory.log(function).count("somebody connects")

    matters(observe, 1)


def test_crash_on_a_message_shows_the_client_no_exception(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        api = laboratory.websocket_api(connect=laboratory.function(ACCEPTS), default=laboratory.function(RAISES))
        with api.connect() as client:
            client.send("{}")
            answer = client.recv(timeout=5)
        return str(answer).startswith("{") and json.loads(answer)["message"]

    matters(observe, "Internal server error")


def test_chosen_subprotocol_is_answered(matters: Matters) -> None:
    source = """
        def handler(event, context):
            return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "bearer"}}
    """

    def observe(laboratory: Laboratory) -> object:
        api = laboratory.websocket_api(connect=laboratory.function(source))
        with api.connect(Subprotocol("bearer"), Subprotocol("a.b.c")) as client:
            return client.subprotocol

    matters(observe, "bearer")


@pytest.mark.parametrize(
    ("source", "status"),
    [("def handler(event, context): return {'statusCode': 503}", 503), (RAISES, 502)],
)
def test_refusing_connect_gives_the_handshake_its_status(matters: Matters, source: str, status: int) -> None:
    matters(lambda laboratory: laboratory.websocket_api(connect=laboratory.function(source)).refusal(), status)


def test_unauthorized_from_the_authorizer_is_401(matters: Matters) -> None:
    source = """
        def handler(event, context):
            raise Exception("Unauthorized")
    """

    def observe(laboratory: Laboratory) -> object:
        api = laboratory.websocket_api(connect=laboratory.function(ACCEPTS), authorizer=laboratory.function(source))
        return api.refusal()

    matters(observe, 401)


def test_closed_socket_is_gone_at_once(matters: Matters) -> None:
    def observe(laboratory: Laboratory) -> object:
        api = laboratory.websocket_api(default=laboratory.function(SAYS_WHO))
        with api.connect() as client:
            client.send("{}")
            connection_id = str(client.recv(timeout=5))
            assert api.post(connection_id, b"one for each, to make their half second begin now") == 200
            client.recv(timeout=5)
        return api.post(connection_id, b"to nobody")

    matters(observe, 410)


def test_answer_to_a_message_needs_a_route_response(matters: Matters) -> None:
    source = """
        def handler(event, context):
            return {"statusCode": 200, "body": event["requestContext"]["routeKey"]}
    """

    def observe(laboratory: Laboratory) -> object:
        api = laboratory.websocket_api()
        function = laboratory.function(source)
        api.route("tell", function)
        api.route("ask", function, answers=True)
        with api.connect() as client:
            client.send('{"action": "tell"}')
            client.send('{"action": "ask"}')
            return client.recv(timeout=5)

    matters(observe, "ask")


def test_template_may_answer_a_route_without_a_function(matters: Matters) -> None:
    template = {
        "Resources": {
            "Api": resource(
                "Api", Name="api", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
            ),
            "Stage": resource("Stage", ApiId={"Ref": "Api"}, StageName="test"),
            "Integration": resource(
                "Integration",
                ApiId={"Ref": "Api"},
                IntegrationType="MOCK",
                RequestTemplates={"200": '{"statusCode": 200}'},
                TemplateSelectionExpression="200",
            ),
            "Route": resource(
                "Route",
                ApiId={"Ref": "Api"},
                RouteKey="ping",
                RouteResponseSelectionExpression="$default",
                Target={"Fn::Sub": "integrations/${Integration}"},
            ),
            "IntegrationResponse": resource(
                "IntegrationResponse",
                ApiId={"Ref": "Api"},
                IntegrationId={"Ref": "Integration"},
                IntegrationResponseKey="$default",
                ResponseTemplates={"200": '{"kind": "pong"}'},
            ),
            "RouteResponse": resource(
                "RouteResponse", ApiId={"Ref": "Api"}, RouteId={"Ref": "Route"}, RouteResponseKey="$default"
            ),
        },
        "Outputs": {"Api": {"Value": {"Ref": "Api"}}},
    }

    def observe(laboratory: Laboratory) -> object:
        try:
            stack = laboratory.create_stack(template)
        except ClientError as error:
            return str(error)
        with WebSocketApi(laboratory, stack["Outputs"][0]["OutputValue"]).connect() as client:
            client.send('{"action": "ping"}')
            return client.recv(timeout=5)

    matters(observe, '{"kind": "pong"}')


def test_template_may_have_an_alarm_on_an_expression(matters: Matters) -> None:
    metric = {"Metric": {"Namespace": "Ringback", "MetricName": "DeadLettered"}, "Period": 60, "Stat": "Sum"}
    alarm = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
            "Threshold": 0,
            "Metrics": [
                {"Id": "twice", "Expression": "one * 2"},
                {"Id": "one", "MetricStat": metric, "ReturnData": False},
            ],
        },
    }

    def observe(laboratory: Laboratory) -> object:
        return laboratory.create_stack({"Resources": {"Alarm": alarm}})["StackStatus"]

    matters(observe, "CREATE_COMPLETE")


def resource(kind: str, **properties: object) -> dict[str, object]:
    return {"Type": f"AWS::ApiGatewayV2::{kind}", "Properties": properties}


def test_message_may_have_128_kilobytes(corrected: Laboratory) -> None:
    assert post_of(corrected, 128 * 1024) == 200


def test_larger_message_is_413(matters: Matters) -> None:
    matters(lambda laboratory: post_of(laboratory, 128 * 1024 + 1), 413)


def post_of(laboratory: Laboratory, length: int) -> int:
    api = laboratory.websocket_api(default=laboratory.function(SAYS_WHO))
    with api.connect() as client:
        client.send("{}")
        return api.post(str(client.recv(timeout=5)), b"x" * length)


SIGNED = (
    "AWS4-HMAC-SHA256 Credential=local/20301231/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=00"
)


@pytest.mark.parametrize("authorization", ["Bearer a.b.c", SIGNED.replace("execute-api", "sqs")])
def test_request_needs_a_signature_where_the_route_asks_for_one(matters: Matters, authorization: str) -> None:
    def observe(laboratory: Laboratory) -> object:
        api = laboratory.http_api(laboratory.function(ACCEPTS))
        api.route("GET /messages", AuthorizationType="AWS_IAM")
        return [api.status("GET", "/messages", header) for header in (None, authorization, SIGNED)]

    matters(observe, [403, 403, 200])


def test_place_that_is_gone_is_an_error() -> None:
    with pytest.raises(corrections.CorrectionError, match=r"somewhere\.something is gone"):
        places.replace(ModuleType("somewhere"), "something", lambda upstream: upstream)


def test_another_ministack_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MINISTACK_VERSION", "1.0.0")

    with pytest.raises(corrections.CorrectionError, match=r"for MiniStack 1\.0\.0, not for"):
        corrections.apply()
