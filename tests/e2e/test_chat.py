"""The live chat as it is deployed: real sockets, a real gateway, real runs."""

import threading
import uuid
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from local.backend import Answer
from local.demo.stage import Stage
from local.runs import Run, Runs
from tests.e2e.chatting import CHAT, Person, await_empty_queue, texts, together

ROUNDS = 100
MESSAGES_A_SIDE = 50


@pytest.fixture(autouse=True)
def quiet(stage: Stage) -> None:
    await_empty_queue(stage)


@pytest.fixture(scope="module")
def runs(stage: Stage) -> Runs:
    return Runs(stage.installation.clients.stepfunctions, stage.installation.chat_session_state_machine_arn)


def phases(run: Run) -> list[str]:
    """The states that a run was in, but for the one that only chooses."""
    return [state for state in run.states if state != "Which Phase?"]


def accept_at_once(chat_id: str, agents: tuple[Person, Person]) -> tuple[Person, Person, Answer]:
    """Have both accept; answers the winner, the other, and what the other was answered."""
    start = threading.Barrier(2)
    answers: dict[str, Answer] = {}

    def accept(agent: Person) -> None:
        start.wait()
        answers[agent.name] = agent.do(chat_id, "accept")

    threads = [threading.Thread(target=accept, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(answer.status for answer in answers.values()) == {200: 1, 409: 1}, answers
    winner, other = sorted(agents, key=lambda agent: answers[agent.name].status)
    assert answers[winner.name].body["agent"] == winner.name
    return winner, other, answers[other.name]


def problem(answer: Answer) -> tuple[int, str]:
    return answer.status, str(answer.body["type"]).removeprefix("urn:ringback:problem:chat:")


def test_a_whole_chat_in_23_steps_and_nobody_polls(stage: Stage, runs: Runs) -> None:
    ana, dan = (Person.at(stage, kind, role="customer") for kind in ("ana", "dan"))
    one, two = (Person.at(stage, kind, role="agent") for kind in ("one", "two"))
    everybody = (ana, dan, one, two)
    try:
        # 1. A customer connects.
        ana.client.connect()

        # 2. Two agents connect to the desk, and see that nobody waits.
        one.client.connect()
        two.client.connect()
        for agent in (one, two):
            agent.await_queue()

        # 3. The customer starts a chat.
        answer = ana.call("POST", "/chats", {"subject": "my order"})
        assert (answer.status, answer.body["status"]) == (201, "WAITING")
        chat = str(answer.body["id"])
        ana.await_told(chat, "waiting", subject="my order")

        # 4. The customer is told their position.
        assert ana.await_position(chat, 1)["waiting"] == 1

        # 5. The agents see the queue.
        for agent in (one, two):
            agent.await_queue(chat)

        # 6. A second customer starts a chat, and is second.
        dan.client.connect()
        second_chat = dan.start()
        dan.await_position(second_chat, 2)
        for agent in (one, two):
            agent.await_queue(chat, second_chat)

        # 7. Both agents accept at once: one has it, the other is told that they were late.
        agent, other, refusal = accept_at_once(chat, (one, two))
        assert problem(refusal) == (409, "already-accepted")

        # 8. The customer is told who has it.
        assert ana.await_told(chat, "accepted")["agent"] == agent.name
        agent.await_told(chat, "accepted")

        # 9. The second customer moves up.
        dan.await_position(second_chat, 1)

        # 10. The queue is shorter.
        for each in (one, two):
            each.await_queue(second_chat)
        assert dan.do(second_chat, "end").status == 200

        # 11. The customer writes, and the agent gets it.
        first_id = f"first-{uuid.uuid4()}"
        sent = ana.say(chat, "Where is it?", id=first_id)
        assert sent.status == 201
        agent.await_text(chat, "Where is it?")

        # 12. The agent types, and the customer sees that.
        typing = agent.do(chat, "typing")
        assert (typing.status, typing.body) == (202, {"told": True})
        ana.await_shown("typing", lambda shown: shown["chatId"] == chat and shown["by"]["user"] == agent.name)

        # 13. The agent answers.
        assert agent.say(chat, "I am looking.").status == 201
        assert ana.await_text(chat, "I am looking.")["seconds"] >= 0

        # 14. The customer's connection drops, and the agent writes twice.
        ana.client.drop()
        stage.await_rows(ana.client, ana.name, 0)
        assert agent.say(chat, "It is on its way.").status == 201
        assert agent.say(chat, "It comes tomorrow.").status == 201

        # 15. The customer returns, and gets both in order.
        ana.client.connect()
        ana.await_text(chat, "It comes tomorrow.")
        assert texts(ana.told(chat))[-2:] == ["It is on its way.", "It comes tomorrow."]

        # 16. A message that is sent again is the one that was sent.
        again = ana.say(chat, "Where is it?", id=first_id)
        assert (again.status, again.body) == (200, sent.body)

        # 17. The agent transfers the chat, and everybody is told.
        assert agent.do(chat, "transfer", agent=other.name).status == 200
        for each in (ana, agent, other):
            each.await_told(chat, "transferred", agent=other.name)

        # 18. The agent who had it may not write any more.
        assert problem(agent.say(chat, "One more thing.")) == (403, "not-your-chat")

        # 19. The one who has it writes.
        assert other.say(chat, "I have taken over.").status == 201
        for each in (ana, other):  # what is on its way to who drops is sent again half a minute later
            each.await_text(chat, "I have taken over.")

        # 20. That agent drops, and returns; the customer is told of both.
        other.client.drop()
        assert ana.await_told(chat, "agent_away")["seconds"] == CHAT["agent_away_seconds"]
        runs.await_state(runs.arn_of(chat), "Agent Away")  # people may be told before
        other.client.connect()
        ana.await_told(chat, "agent_back")
        other.await_told(chat, "agent_back")
        runs.await_state(runs.arn_of(chat), "Active")

        # 21. The agent ends it; both are told, and nothing more is said.
        over = other.do(chat, "end")
        assert (over.status, over.body["status"]) == (200, "ENDED")
        for each in (ana, other):
            ending = each.await_told(chat, "ended", reason="agent", canBeRated=True)
            assert ending["at"] == over.body["endedAt"]
        assert problem(ana.say(chat, "Wait!")) == (409, "chat-has-ended")

        # 22. The customer rates it, once; the agent is told.
        assert ana.do(chat, "rating", rating=5, feedback="quick").status == 200
        assert problem(ana.do(chat, "rating", rating=1)) == (409, "already-rated")
        for each in (ana, other):
            each.await_told(chat, "rated", rating=5, feedback="quick")

        # 23. What can be read is what was told, and the chat's run shows the way it took.
        assert not [call for each in everybody for call in each.called if call[0] == "GET"], "somebody polled"
        told = ana.told(chat)
        assert [event["number"] for event in told] == list(range(1, len(told) + 1))
        assert_reads_are_what_was_told(chat, told, ana, other)
        third_chat = dan.start()
        shown = other.await_queue(third_chat)
        assert other.call("GET", "/chats/waiting").body == {"waiting": shown["waiting"], "active": []}
        assert dan.call("GET", f"/chats/{third_chat}").body == shown["waiting"][0]
        run = runs.await_end(runs.arn_of(chat))
        assert (run.status, run.output) == (
            "SUCCEEDED",
            {"chatId": chat, "endReason": "agent", "rating": 5, "agent": other.name},
        )
        assert phases(run) == ["Waiting", "Active", "Agent Away", "Active", "Rating", "Closed"]
        assert dan.do(third_chat, "end").status == 200
    finally:
        for each in everybody:
            each.client.close()


def assert_reads_are_what_was_told(chat_id: str, told: list[dict[str, Any]], customer: Person, agent: Person) -> None:
    chats = [person.call("GET", f"/chats/{chat_id}").body for person in (customer, agent)]
    assert chats[0] == chats[1]
    chat, ended = chats[0], next(event for event in told if event["type"] == "chat.ended")
    assert (chat["status"], chat["version"], chat["agent"]) == ("ENDED", len(told), agent.name)
    assert (chat["endedAt"], chat["endReason"]) == (ended["at"], ended["reason"])
    assert (chat["rating"], chat["feedback"]) == (told[-1]["rating"], told[-1]["feedback"])
    for person in (customer, agent):
        first = person.call("GET", f"/chats/{chat_id}/messages?limit=5").body
        rest = person.call("GET", f"/chats/{chat_id}/messages?after=5").body
        assert (first["more"], rest["more"]) == (True, False)
        assert first["messages"] + rest["messages"] == told
    transcript = customer.call("GET", f"/chats/{chat_id}/transcript?format=json").body
    assert transcript == {"chat": chat, "events": told, "complete": True}


def test_two_agents_accept_at_once_a_hundred_times_and_one_wins(stage: Stage) -> None:
    agents = Person.at(stage, "one", role="agent"), Person.at(stage, "two", role="agent")
    customers = [Person.at(stage, "customer", role="customer") for _ in range(ROUNDS)]
    won: dict[str, tuple[Person, str]] = {}
    with together(*agents, *customers):
        for agent in agents:
            agent.await_queue()
        for customer in customers:
            chat = customer.start()
            winner, _, refusal = accept_at_once(chat, agents)
            assert problem(refusal) == (409, "already-accepted")
            assert customer.do(chat, "end").status == 200
            won[chat] = customer, winner.name
        for chat, (customer, winner_name) in won.items():
            customer.await_told(chat, "ended", seconds=180)
            accepted = [event["agent"] for event in customer.told(chat) if event["type"] == "chat.accepted"]
            assert accepted == [winner_name]
        for agent in agents:
            theirs = {chat for chat, (_, winner_name) in won.items() if winner_name == agent.name}
            for chat in theirs:
                agent.await_told(chat, "ended", seconds=180)
            assert not [chat for chat in won.keys() - theirs if agent.told(chat)], "told of another agent's chat"
    assert len(won) == ROUNDS


def test_a_customer_drops_in_the_middle_and_both_sides_are_complete_and_in_order(stage: Stage) -> None:
    ana, bo = Person.at(stage, "ana", role="customer"), Person.at(stage, "bo", role="agent")
    said = {person.name: [f"{person.name} {number}" for number in range(MESSAGES_A_SIDE)] for person in (ana, bo)}

    def answered(person: Person, chat: str, text: str) -> Answer | None:
        answer = person.say(chat, text, id=text.replace(" ", "-"))
        return None if answer.status == 503 else answer

    def talk(person: Person, chat: str) -> None:
        for text in said[person.name]:
            answer = stage.until(partial(answered, person, chat, text), f"another answer than 503 to {text}")
            assert answer.status in {200, 201}, answer

    with together(ana, bo):
        bo.await_queue()
        chat = ana.start()
        assert bo.do(chat, "accept").status == 200
        talkers = [threading.Thread(target=talk, args=(person, chat)) for person in (ana, bo)]
        for talker in talkers:
            talker.start()
        for heard in (10, 30, 60):
            ana.await_texts(chat, heard, seconds=180)
            ana.client.drop()
            bo.await_texts(chat, heard + 6, seconds=180)  # something is said meanwhile
            ana.client.connect()
        for talker in talkers:
            talker.join()
        assert bo.do(chat, "end").status == 200
        for person in (ana, bo):
            person.await_told(chat, "ended", seconds=180)

    told = ana.told(chat)
    assert [event["number"] for event in told] == list(range(1, 2 * MESSAGES_A_SIDE + 4))
    assert bo.told(chat) == told[1:], "the agent is told from the acceptance on"
    for person in (ana, bo):
        by_them = [event for event in told if event["type"] == "chat.message" and event["by"]["user"] == person.name]
        assert texts(by_them) == said[person.name]
    assert [event["type"] for event in told][:2] == ["chat.waiting", "chat.accepted"]


# What time does, by the machine


@dataclass(frozen=True)
class LeftAlone:
    """Chats in which nobody does anything any more, and what came of that."""

    nobody_came: tuple[str, Run]
    nobody_spoke: tuple[str, Run]
    agent_gone: tuple[str, Run]
    told: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def left_alone(stage: Stage, runs: Runs) -> LeftAlone:
    """All at the same time: it is the time that takes long."""
    await_empty_queue(stage)
    waits, silent, left = (Person.at(stage, "customer", role="customer") for _ in range(3))
    stays, goes = (Person.at(stage, "agent", role="agent") for _ in range(2))
    with together(waits, silent, left, stays, goes):
        for agent in (stays, goes):
            agent.await_queue()
        chats = {person.name: person.start() for person in (silent, left)}
        assert stays.do(chats[silent.name], "accept").status == 200
        assert goes.do(chats[left.name], "accept").status == 200
        left.await_told(chats[left.name], "accepted")
        chats[waits.name] = waits.start()
        runs.await_state(runs.arn_of(chats[left.name]), "Active")
        goes.client.drop()

        left.await_told(chats[left.name], "requeued")
        stays.await_queue(chats[left.name], chats[waits.name])
        gone = runs.await_state(runs.arn_of(chats[left.name]), "Waiting")
        assert left.do(chats[left.name], "end").status == 200
        for person in (waits, silent):
            person.await_told(chats[person.name], "ended", seconds=120)
        return LeftAlone(
            nobody_came=(chats[waits.name], runs.await_end(runs.arn_of(chats[waits.name]))),
            nobody_spoke=(chats[silent.name], runs.await_state(runs.arn_of(chats[silent.name]), "Rating")),
            agent_gone=(chats[left.name], gone),
            told={chats[person.name]: person.told(chats[person.name]) for person in (waits, silent, left)},
        )


def test_the_machine_ends_the_wait_of_whom_nobody_accepts(left_alone: LeftAlone) -> None:
    chat, run = left_alone.nobody_came

    assert phases(run) == ["Waiting", "Abandon", "Abandoned"]
    assert (run.status, run.output) == ("SUCCEEDED", {"chatId": chat, "endReason": "max_wait"})
    ended = left_alone.told[chat][-1]
    assert (ended["type"], ended["reason"], ended["canBeRated"]) == ("chat.ended", "max_wait", False)
    assert ended["seconds"] >= CHAT["max_wait_seconds"]
    assert "by" not in ended


def test_the_machine_ends_a_chat_in_which_nobody_speaks(left_alone: LeftAlone) -> None:
    chat, run = left_alone.nobody_spoke

    assert phases(run) == ["Waiting", "Active", "End If Idle", "Rating"]
    ended = left_alone.told[chat][-1]
    assert (ended["type"], ended["reason"], ended["canBeRated"]) == ("chat.ended", "idle", True)
    assert ended["seconds"] >= CHAT["idle_seconds"]
    assert "by" not in ended


def test_the_machine_sends_a_chat_back_whose_agent_stays_away(left_alone: LeftAlone) -> None:
    chat, run = left_alone.agent_gone

    assert phases(run) == ["Waiting", "Active", "Agent Away", "Return To Queue", "Waiting"]
    kinds = [event["type"] for event in left_alone.told[chat]]
    assert kinds[:4] == ["chat.waiting", "chat.accepted", "chat.agent_away", "chat.requeued"]
    requeued = left_alone.told[chat][3]
    assert requeued["reason"] == "agent_away"
    assert "by" not in requeued
