"""The connections by conversation: what holds for the fake holds for the index."""

import pytest

from lambdas.adapters.conversations import ConversationIndex
from lambdas.adapters.tables import ConnectionTable
from lambdas.core.errors import StoreUnavailable
from lambdas.core.ports import ConnectionStore, Conversations, Page
from ringback.plain_fan_out import Conversation
from tests.builders import connection, recipient
from tests.fakes import FakeConnections, FakeConversations

HERE = Conversation(context="chat", context_id="42")
# In the order of their bytes: "ana!" is somebody else than "ana".
USERS = ["ana", "ana!", "ana2", "ben", "zoe", "~"]

Stores = tuple[ConnectionStore, Conversations]


@pytest.fixture(params=["fake", "index"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "fake":
        connections = FakeConnections()
        return connections, FakeConversations(connections=connections)
    name = request.getfixturevalue("indexed_table")
    return ConnectionTable(name), ConversationIndex(name)


def fill(connections: ConnectionStore, tabs: int = 1) -> None:
    for user in USERS:
        for tab in range(tabs):
            made = connection(f"{user}-{tab}", recipient(user))
            connections.put(made._replace(in_conversation=True, attributes={"plan": "gold", "nickname": ""}))


def test_a_row_has_what_the_token_said_and_comes_back_as_it_was(stores: Stores) -> None:
    connections, conversations = stores
    inside = connection("in")._replace(in_conversation=True, attributes={"plan": "gold", "https://x/y": "ü"})
    connections.put(inside)
    connections.put(connection("out"))

    assert sorted(connections.of_user("ana"), key=lambda row: row.connection_id) == [inside, connection("out")]
    (page,) = conversations.pages(HERE, size=10)
    assert conversations.of_page(HERE, page) == [inside]


def test_another_conversation_is_another(stores: Stores) -> None:
    connections, conversations = stores
    for place in (recipient(context_id="4"), recipient(context_id="421"), recipient(context="chat2")):
        connections.put(connection("x", place)._replace(in_conversation=True))

    assert list(conversations.pages(HERE, size=10)) == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 18, 19])
def test_the_pages_hold_every_connection_once_and_nobody_is_in_two(stores: Stores, size: int) -> None:
    connections, conversations = stores
    fill(connections, tabs=3)

    pages = list(conversations.pages(HERE, size=size))

    rows = [conversations.of_page(HERE, page) for page in pages]
    ids = [row.connection_id for page in rows for row in page]
    assert sorted(ids) == sorted(f"{user}-{tab}" for user in USERS for tab in range(3))
    users = [{row.recipient.user for row in page} for page in rows]
    assert sum(map(len, users)) == len(USERS)
    assert all(0 < page.connections <= size for page in pages)
    assert (pages[0].after, pages[-1].up_to) == (None, None), "who comes meanwhile is in one of them"


def test_who_comes_between_two_pages_is_met(stores: Stores) -> None:
    connections, conversations = stores
    fill(connections)
    pages = list(conversations.pages(HERE, size=2))
    for newcomer in ("a", "anb", "zz"):
        connections.put(connection(newcomer, recipient(newcomer))._replace(in_conversation=True))

    met = {row.recipient.user for page in pages for row in conversations.of_page(HERE, page)}

    assert met == {*USERS, "a", "anb", "zz"}


def test_a_page_that_is_longer_than_one_answer_is_read_to_its_end(indexed_table: str) -> None:
    table, index = ConnectionTable(indexed_table), ConversationIndex(indexed_table)
    for number in range(30):
        made = connection(f"c{number}", recipient(f"u{number:02}"))
        table.put(made._replace(in_conversation=True, attributes={"big": "x" * 50_000}))

    page = Page(None, None, 30)

    assert len(index.of_page(HERE, page)) == 30


def test_an_index_that_is_not_there(cloud: None) -> None:
    with pytest.raises(StoreUnavailable, match=r"^Query: ResourceNotFoundException$"):
        list(ConversationIndex("Nowhere").pages(HERE, size=1))
