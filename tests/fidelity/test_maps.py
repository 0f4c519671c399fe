"""Step Functions: Map, inline and distributed, as a fan-out uses them."""

from typing import Any

from botocore.exceptions import ClientError

from tests.fidelity.clouds import Cloud
from tests.fidelity.marks import differs

READER = {
    "Resource": "arn:aws:states:::s3:getObject",
    "ReaderConfig": {"InputType": "JSONL"},
    "Arguments": {"Bucket": "{% $states.input.bucket %}", "Key": "{% $states.input.key %}"},
}
USERS = [{"user": name} for name in ("ana", "ben", "ü")]


def inline(states: dict[str, Any], **fields: Any) -> dict[str, Any]:
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": next(iter(states)), "States": states}
    return {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 2, "End": True, **fields}


def distributed(states: dict[str, Any], **fields: Any) -> dict[str, Any]:
    state = inline(states, Label="List", ItemReader=READER, ToleratedFailurePercentage=100, **fields)
    state["ItemProcessor"]["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    return state


def of_list(cloud: Cloud, state: dict[str, Any], *, key: str = "users.jsonl", **others: Any) -> Any:
    bucket = cloud.bucket()
    cloud.stored(bucket, "users.jsonl", USERS)
    return cloud.start(cloud.machine({"Each": state, **others}), {"bucket": bucket, "key": key})


def test_items_are_selected_and_results_come_in_their_order(cloud: Cloud) -> None:
    double = {"Double": {"Type": "Pass", "Output": "{% $states.input.n * 2 %}", "End": True}}
    selector = {"n": "{% $states.context.Map.Item.Value + $states.input.more %}"}
    state = inline(double, Items="{% $states.input.numbers %}", ItemSelector=selector)

    run = cloud.start(cloud.machine({"Each": state}), {"numbers": [1, 2, 3, 4], "more": 10})

    assert run.end() == ("SUCCEEDED", [22, 24, 26, 28])


def test_item_that_fails_fails_the_map_with_its_error(cloud: Cloud) -> None:
    states = {"Post": cloud.task({"raise": "{% $states.input.error %}"})}
    state = inline(states, Items=[{"error": "InvalidMessage"}])

    assert cloud.run({"Each": state}).end() == ("FAILED", "InvalidMessage")


def test_states_within_a_map_are_in_the_history(cloud: Cloud) -> None:
    run = cloud.run({"Each": inline({"Show": {"Type": "Pass", "End": True}}, Items=[1, 2])})
    run.end()

    kinds = [event["type"] for event in run.history()]
    assert (kinds.count("PassStateEntered"), kinds.count("PassStateExited")) == (2, 2)


@differs("moto", "distributed-maps", raises=(AssertionError, ClientError))
def test_list_is_read_by_lines_and_cut_into_batches_with_an_input_of_their_own(cloud: Cloud) -> None:
    show = {"input": "{% $states.input %}", "own": "{% $states.context.Execution.Input %}"}
    batcher = {"MaxItemsPerBatch": 2, "BatchInput": {"of": "{% $states.context.Execution.Input.key %}"}}
    state = distributed({"Show": {"Type": "Pass", "Output": show, "End": True}}, ItemBatcher=batcher)

    status, output = of_list(cloud, state).end()

    batches = [{"BatchInput": {"of": "users.jsonl"}, "Items": USERS[:2]}]
    batches += [{"BatchInput": {"of": "users.jsonl"}, "Items": USERS[2:]}]
    assert (status, output) == ("SUCCEEDED", [{"input": batch, "own": batch} for batch in batches])


@differs("moto", "distributed-maps", raises=(AssertionError, ClientError))
def test_batch_that_fails_leaves_the_others_alone_and_a_place_in_the_results(cloud: Cloud) -> None:
    condition = "{% $states.input.Items[0].user = 'ana' %}"
    choice = {"Type": "Choice", "Choices": [{"Condition": condition, "Next": "Broken"}], "Default": "Fine"}
    states = {
        "Which?": choice,
        "Broken": {"Type": "Fail", "Error": "StoreUnavailable"},
        "Fine": {"Type": "Pass", "Output": {"people": 1}, "End": True},
    }
    output = "{% [$map($states.result, function($part) { $exists($part.people) ? $part.people : -1 })] %}"
    state = distributed(states, ItemBatcher={"MaxItemsPerBatch": 2}, Output=output)

    assert of_list(cloud, state).end() == ("SUCCEEDED", [-1, 1])


@differs("moto", "distributed-maps", raises=(AssertionError, ClientError))
def test_list_that_cannot_be_read_is_an_error_to_catch(cloud: Cloud) -> None:
    catch = [{"ErrorEquals": ["States.ItemReaderFailed"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}]
    state = distributed({"Show": {"Type": "Pass", "End": True}}, Catch=catch)

    status, output = of_list(cloud, state, key="nothing.jsonl", Caught={"Type": "Pass", "End": True}).end()

    assert (status, output["Error"], bool(output["Cause"])) == ("SUCCEEDED", "States.ItemReaderFailed", True)
