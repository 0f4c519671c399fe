"""Step Functions' Map."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import now_iso  # type: ignore[import-untyped]
from ministack.services import stepfunctions  # type: ignore[import-untyped]

from local.corrections.places import Json, replace

_EVALUATED_HERE = ("ItemReader", "Items", "ItemSelector", "ItemBatcher", "Output", "Assign")
_NUMBERS = ("MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage")


def _states_within_a_map() -> None:
    """The states that a Map goes through for an item.

    AWS writes their entering and leaving into the history of the run (of the child, in a Distributed Map), which is
    what it bills; and the context of a child is its own. MiniStack writes down their tasks alone, and shows a child
    the context of its parent.
    """

    def make(_upstream: object) -> Callable[..., Any]:
        def run(states: Json, start_at: str, data: Any, execution: Json, ctx: Json) -> Any:
            if "mapRunArn" in execution:
                ctx["Execution"] = {
                    "Id": execution["executionArn"],
                    "Input": data,
                    "Name": execution["name"],
                    "StartTime": execution["startDate"],
                }
            name: str | None = start_at
            data = copy.deepcopy(data)
            while name:
                state = states[name]
                ctx["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
                _add(execution, state, "Entered", name, input=data)
                left = name
                data, name = _execute(state, data, execution, ctx)
                _add(execution, state, "Exited", left, output=data)
            return data

        return run

    replace(stepfunctions, "_run_sub_machine", make)


def _execute(state: Json, data: Any, execution: Json, ctx: Json) -> tuple[Any, str | None]:
    kind = state["Type"]
    if kind == "Succeed":
        return stepfunctions._apply_output_path(state, stepfunctions._apply_input_path(state, data, ctx), ctx), None
    if kind == "Fail":
        raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, data, ctx))
    execute = getattr(stepfunctions, f"_execute_{kind.lower()}")
    own = (execution,) if kind in {"Task", "Parallel", "Map"} else ()
    result: tuple[Any, str | None] = execute(state, data, *own, ctx)
    return result


def _add(execution: Json, state: Json, what: str, name: str, **data: Any) -> None:
    details = {"name": name, **{key: json.dumps(value) for key, value in data.items()}}
    stepfunctions._add_event(execution, f"{state['Type']}State{what}", {f"state{what}EventDetails": details})


def _outputs_of_succeed() -> None:
    """Output of a Succeed state, in JSONata. MiniStack hands its input on."""

    def make(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def apply(state: Json, data: Any, ctx: Json | None = None) -> Any:
            if state.get("Type") == "Succeed" and stepfunctions._state_query_language(state, ctx) == "JSONata":
                return stepfunctions._apply_jsonata_output(state, data, ctx, default=data)
            return upstream(state, data, ctx)

        return apply

    replace(stepfunctions, "_apply_output_path", make)


def _distributed_maps() -> None:
    """A Distributed Map in JSONata, with Items or ItemReader, ItemSelector, ItemBatcher, Output and Assign.

    MiniStack reads the JSONPath fields only, and has no ItemBatcher in either language.
    Here the children's inputs are made, and MiniStack runs a Map over them. (Its counts are of batches, then.)
    """

    def make(upstream: Callable[..., Any]) -> Callable[..., Any]:
        def run(state: Json, raw_input: Any, effective: Any, iterator: Json, execution: Json, ctx: Json) -> Any:
            if stepfunctions._state_query_language(state, ctx) != "JSONata":
                return upstream(state, raw_input, effective, iterator, execution, ctx)

            def evaluate(template: Any, context: Json = ctx) -> Any:
                return stepfunctions._apply_jsonata_template(template, raw_input, context)

            items = _items(state, evaluate, raw_input, ctx)
            if "ItemSelector" in state:
                places = ({"Map": {"Item": {"Index": i, "Value": item}}} for i, item in enumerate(items))
                items = [evaluate(state["ItemSelector"], ctx | place) for place in places]
            if "ItemBatcher" in state:
                items = list(_batches(items, evaluate(state["ItemBatcher"])))
            plain = {name: value for name, value in state.items() if name not in _EVALUATED_HERE}
            plain |= {name: evaluate(state[name]) for name in _NUMBERS if name in state}
            results, following = upstream(plain, raw_input, items, iterator, execution, ctx)
            output = stepfunctions._apply_jsonata_output(state, raw_input, ctx, result=results, default=results)
            stepfunctions._apply_state_assign(state, raw_input, ctx, result=results)
            return output, following

        return run

    replace(stepfunctions, "_run_distributed_map", make)


def _items(state: Json, evaluate: Callable[[Any], Any], raw_input: Any, ctx: Json) -> list[Any]:
    if "ItemReader" not in state:
        items = evaluate(state["Items"]) if "Items" in state else raw_input
    else:
        try:
            items = stepfunctions._read_map_items(evaluate(state["ItemReader"]), raw_input, ctx)
        except ValueError as error:
            raise stepfunctions._ExecutionError("States.ItemReaderFailed", str(error)) from error
    return items if isinstance(items, list) else [items]


def _batches(items: list[Any], batcher: Json) -> Iterator[Json]:
    most_items = int(batcher.get("MaxItemsPerBatch", len(items) or 1))
    most_bytes = int(batcher.get("MaxInputBytesPerBatch", 256 * 1024))
    shared = {"BatchInput": batcher["BatchInput"]} if "BatchInput" in batcher else {}
    batch: list[Any] = []
    for item in items:
        if batch and (len(batch) == most_items or len(json.dumps([*batch, item]).encode()) > most_bytes):
            yield {**shared, "Items": batch}
            batch = []
        batch = [*batch, item]
    if batch:
        yield {**shared, "Items": batch}


CORRECTIONS = (_states_within_a_map, _outputs_of_succeed, _distributed_maps)
