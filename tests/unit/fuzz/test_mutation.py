"""What the fuzzer makes of events."""

import json
from random import Random

from tests.builders import envelope, queue_record
from tests.fuzz.mutation import SECRET, batch_of, mutated, mutated_json


def chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - so that a seed says all


def test_a_seed_says_all_and_the_event_stays_as_it_is() -> None:
    event = {"message": envelope(payload=SECRET)}
    before = json.dumps(event)

    some = [json.dumps(mutated(event, chance(seed))) for seed in range(200)]

    assert some == [json.dumps(mutated(event, chance(seed))) for seed in range(200)]
    assert json.dumps(event) == before
    assert len(set(some)) > 150


def test_only_what_is_below_the_places_is_changed() -> None:
    event = {"Records": [queue_record("{}", "q-1"), queue_record("[]", "q-2")]}
    for seed in range(200):
        changed = mutated(event, chance(seed), [("Records", None, "body")])
        for record, other in zip(changed["Records"], event["Records"], strict=True):
            assert {**record, "body": ""} | dict.fromkeys(record.keys() - other.keys()) == {
                **other,
                "body": "",
                **dict.fromkeys(record.keys() - other.keys()),
            }


def test_what_is_secret_goes_to_no_other_field() -> None:
    event = {"id": "m-1", "correlationId": "c-1", "payload": {"text": SECRET}}
    for seed in range(500):
        changed = mutated(event, chance(seed), [("id",), ("correlationId",)])
        assert SECRET not in json.dumps({**changed, "payload": None})


def test_json_within_a_text_is_changed_inside() -> None:
    texts = [mutated_json('{"id": "m-1", "payload": [1, 2]}', chance(seed)) for seed in range(100)]
    assert sum(text.startswith("{") for text in texts) > 50
    assert len(set(texts)) > 60


def test_batches_are_of_any_size_and_order() -> None:
    sizes = {len(batch_of([1, 2, 3], chance(seed))) for seed in range(100)}
    assert sizes == set(range(11))
