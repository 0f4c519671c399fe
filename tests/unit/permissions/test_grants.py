"""Taking one permission out of a policy, and telling which call one covers."""

from typing import Any

import pytest

from tests.permissions import grants
from tests.permissions.calls import Call
from tests.permissions.grants import Permission, without
from tests.permissions.tables import REFUSED_BY_OUR_CORRECTION, find

READ = Permission("Reader", "dynamodb:Query", "arn:table/One", "reader")
DOCUMENT: dict[str, Any] = {
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["dynamodb:Query", "dynamodb:GetItem"],
            "Resource": ["arn:table/One", "arn:table/Two"],
        },
    ]
}


def pairs(document: Any) -> set[tuple[str, str]]:
    return {(each["Action"], each["Resource"]) for each in document["Statement"] if each["Effect"] == "Allow"}


def test_what_is_taken_out_is_one_action_on_one_resource() -> None:
    assert pairs(without(DOCUMENT, READ)) == {
        ("dynamodb:GetItem", "arn:table/One"),
        ("dynamodb:GetItem", "arn:table/Two"),
        ("dynamodb:Query", "arn:table/Two"),
    }


def test_a_policy_with_nothing_left_in_it_allows_nothing() -> None:
    only = {"Statement": [{"Effect": "Allow", "Action": "dynamodb:Query", "Resource": "arn:table/One"}]}
    left = without(only, READ)
    assert left["Statement"]
    assert pairs(left) == set()


def test_a_permission_covers_the_calls_of_its_role_on_what_its_pattern_matches() -> None:
    post = Permission("Poster", "execute-api:ManageConnections", "arn:api/v1/POST/@connections/*", "poster")
    call = Call("poster", "execute-api:ManageConnections", "arn:api/v1/POST/@connections/abc=", allowed=True)
    assert post.covers(call)
    assert not post.covers(call._replace(role="other"))
    assert not post.covers(call._replace(resource="arn:api/v1/DELETE/@connections/abc="))
    assert not post.covers(call._replace(action="execute-api:Invoke"))


def test_once_more_taken_out_nothing_is_still_nothing() -> None:
    only = {"Statement": [{"Effect": "Allow", "Action": "dynamodb:Query", "Resource": "arn:table/One"}]}
    assert list(grants.pairs(without(only, READ))) == []
    assert pairs(without(without(only, READ), READ)) == set()


@pytest.mark.parametrize(
    "more",
    [
        {"Effect": "Deny"},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"NotAction": "dynamodb:Query"},
        {"NotResource": "arn:table/One"},
    ],
)
def test_what_is_more_than_an_action_on_a_resource_is_not_passed_over(more: dict[str, Any]) -> None:
    statement = {"Effect": "Allow", "Action": "dynamodb:Query", "Resource": "arn:table/One"}
    with pytest.raises(AssertionError):
        list(grants.pairs({"Statement": [{**statement, **more}]}))


def test_a_table_excuses_no_more_than_it_names() -> None:
    table = {"machines xray:Get": "", "sqs:Purge": "", "FanOut states:Stop": "", "WebSocket/LogRole": ""}
    assert find(table, "Chat/ChatSession", "xray:Get") == "machines xray:Get"
    assert find(table, "Wake", "xray:Get") is None
    assert find(table, "Wake", "sqs:Purge") == "sqs:Purge"
    assert find(table, "FanOut", "states:Stop") == "FanOut states:Stop"
    assert find(table, "Delivery", "states:Stop") is None
    assert find(table, "WebSocket/LogRole", "logs:Put") == "WebSocket/LogRole"
    assert find(REFUSED_BY_OUR_CORRECTION, "Wake", "xray:PutTraceSegments")
    assert not find(REFUSED_BY_OUR_CORRECTION, "Delivery", "xray:PutTraceSegments")
