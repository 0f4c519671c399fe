"""Lambda: answers, failures, and environments that live on."""

import json

from tests.fidelity.clouds import Cloud
from tests.fidelity.marks import not_in

pytestmark = not_in("moto", "its functions run in Docker")

COUNTS = """
    import os

    calls = []

    class InvalidMessage(Exception):
        pass

    def handler(event, context):
        calls.append(event)
        if event == "raise":
            raise InvalidMessage('no "recipient"')
        if event == "die":
            os._exit(1)
        return {"calls": len(calls), "left": context.get_remaining_time_in_millis()}
"""


def test_function_that_raises_is_an_answer_with_its_class(cloud: Cloud) -> None:
    answer = cloud.invoke(cloud.function(COUNTS), "raise")

    assert (answer.status, answer.error) == (200, "Unhandled")
    assert (answer.payload["errorType"], answer.payload["errorMessage"]) == ("InvalidMessage", 'no "recipient"')


def test_module_is_loaded_once_and_lives_on_after_an_exception(cloud: Cloud) -> None:
    function = cloud.function(COUNTS + "\n    # of its own\n")
    cloud.invoke(function)
    cloud.invoke(function, "raise")

    assert cloud.invoke(function).payload["calls"] == 3


def test_environment_that_died_is_replaced(cloud: Cloud) -> None:
    function = cloud.function(COUNTS + "\n    # that dies\n")
    cloud.invoke(function)

    assert cloud.invoke(function, "die").error == "Unhandled"
    assert cloud.invoke(function).payload["calls"] == 1


def test_function_knows_how_long_it_has(cloud: Cloud) -> None:
    left = cloud.invoke(cloud.function(COUNTS, timeout_seconds=7)).payload["left"]

    assert 0 < left <= 7000


def test_call_that_nobody_waits_for_is_tried_twice_more_and_then_goes_to_its_destination(cloud: Cloud) -> None:
    letters = cloud.queue()
    function = cloud.function(COUNTS + "\n    # with a destination\n")
    cloud.client("lambda").put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=2,
        DestinationConfig={"OnFailure": {"Destination": cloud.queue_arn(letters)}},
    )

    cloud.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps("raise"))

    letter = cloud.told(letters, seconds=5 * cloud.patience_seconds)
    assert letter["requestPayload"] == "raise"
    assert letter["requestContext"]["condition"] == "RetriesExhausted"
    assert letter["requestContext"]["approximateInvokeCount"] == 3
    assert letter["responsePayload"]["errorType"] == "InvalidMessage"
