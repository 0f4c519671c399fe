"""The ledger of a chaos run: every fate, and every violation, from records made by hand."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.ledger import Breach, Entry, Fate, Gap, Handled, Ledger, Presence, Run, Wait, close

NOW = 1_000.0
THERE = {"ana": Presence(sound=[(0.0, NOW)])}
AWAY = {"ana": Presence()}
PATIENCE, BACKOFF = 15.0, 40.0


def entry(kind: str = "plain", way: str = "accept", *, number: int = 1, at: float = 100.0, **more: Any) -> Entry:
    """A message to Ana that was accepted at once."""
    made = Entry(f"m-{number}", "ana", way, kind, sent_at=at, accepted_at=at + 0.1, answer="started")
    for name, value in more.items():
        setattr(made, name, value)
    return made


def handled(at: float = 101.0, client: str = "ana.0", user: str = "ana", **more: object) -> Handled:
    """A client handled it."""
    return replace(Handled(at, client, user), **more)  # type: ignore[arg-type]


def judged(
    *entries: Entry,
    presence: dict[str, Presence] = THERE,
    gaps: tuple[Gap, ...] = (),
    strays: tuple[tuple[str, Handled], ...] = (),
) -> Ledger:
    """The ledger of these."""
    return close(entries, presence, patience=PATIENCE, backoff=BACKOFF, gaps=gaps, strays=strays)


def breaches(ledger: Ledger) -> list[Breach]:
    """What was violated."""
    return [one.breach for one in ledger.violations]


SUCCEEDED = Run("SUCCEEDED", 100, 101)
EXPIRED = Run("FAILED", 100, 110, "MessageExpired")


@pytest.mark.parametrize(
    ("message", "presence", "fate"),
    [
        (entry(handled=[handled()], answer="delivered"), THERE, "delivered"),
        (entry(handled=[handled()], runs=[SUCCEEDED]), THERE, "delivered"),
        (entry("cancelled", handled=[handled()], runs=[Run("ABORTED", 100, 101)]), THERE, "delivered"),
        (entry("ack", handled=[handled()], runs=[SUCCEEDED]), THERE, "acknowledged"),
        (entry("redriven", handled=[handled(200)], runs=[EXPIRED, Run("SUCCEEDED", 199, 200)]), THERE, "acknowledged"),
        (entry("cancelled", runs=[Run("ABORTED", 100, 101)]), AWAY, "cancelled"),
        (entry("short", runs=[EXPIRED], letters=["MessageExpired"]), AWAY, "expired"),
        (entry(runs=[Run("FAILED", 100, 110, "Lambda.Unknown")], letters=["x"]), AWAY, "dead-lettered"),
        (entry(accepted_at=None, answer=""), THERE, "unanswered"),
        (entry(answer="delivered", posted=[100.0]), AWAY, "into a dead link"),
        (entry(runs=[SUCCEEDED]), AWAY, "into a dead link"),
    ],
)
def test_a_message_has_a_fate(message: Entry, presence: dict[str, Presence], fate: Fate) -> None:
    ledger = judged(message, presence=presence)
    assert ledger.balances
    assert dict(ledger.fates) == {(message.kind, message.way, fate): 1}


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(entry(way="sns", answer="published"), id="nothing came of it"),
        pytest.param(entry(runs=[Run("RUNNING", 100)]), id="its run goes on"),
        pytest.param(entry("ack", runs=[Run("RUNNING", 100)], handled=[handled()]), id="its run goes on, handled"),
        pytest.param(entry(runs=[EXPIRED]), id="it has no dead letter"),
        pytest.param(entry(runs=[Run("TIMED_OUT", 100, 200)]), id="it timed out without a letter"),
        pytest.param(entry("ack", runs=[SUCCEEDED]), id="acknowledged, and nobody handled it"),
        pytest.param(entry("ack", posted=[101.0], answer="delivered"), id="posted is not acknowledged"),
        pytest.param(entry(answer="delivered", posted=[100.0]), id="a sound connection took it"),
        pytest.param(entry(answer="delivered"), id="said to be delivered, to a sound connection"),
        pytest.param(entry(answer="conflict"), id="its id is said to be another's"),
        pytest.param(entry(answer="invalid"), id="it is said to be none"),
        pytest.param(
            entry("redriven", runs=[EXPIRED, Run("FAILED", 120, 130, "MessageExpired")]), id="redriven into nothing"
        ),
    ],
)
def test_a_message_without_a_fate_is_lost(message: Entry) -> None:
    ledger = judged(message)
    assert set(breaches(ledger)) == {"lost"}
    assert ledger.fates[message.kind, message.way, "lost"] == 1
    assert ledger.count("lost") == 1


def test_what_is_not_answered_may_have_any_fate_but_not_reach_others() -> None:
    assert judged(entry(accepted_at=None, answer="", runs=[Run("RUNNING", 100)])).balances
    assert not judged(entry(accepted_at=None, handled=[handled(user="bo", client="bo.0")])).balances
    assert not judged(entry(accepted_at=None, handled=[handled(), handled(102)])).balances


@pytest.mark.parametrize(
    "presence",
    [
        pytest.param(Presence(sound=[(0, 98), (101, NOW)]), id="between two connections"),
        pytest.param(Presence(sound=[(0, 100.5), (100.9, NOW)], breaks=[100.5]), id="just before it broke"),
        pytest.param(Presence(sound=[(0, NOW)], dead=[(95, 99)]), id="beside a dead one"),
    ],
)
def test_a_post_may_be_lost_with_its_connection(presence: Presence) -> None:
    message = entry(answer="delivered", posted=[100.0])
    assert judged(message, presence={"ana": presence}).fates["plain", "accept", "into a dead link"] == 1


def test_a_post_to_a_connection_that_broke_long_before_is_lost() -> None:
    there = Presence(sound=[(0, 90), (91, NOW)], dead=[(85, 90)], breaks=[90, 91])
    assert breaches(judged(entry(answer="delivered", posted=[100.0]), presence={"ana": there})) == ["lost"]


def waited(why: str, start: float, end: float, *, woken: bool = False, **more: Any) -> Entry:
    """A message that got there after its run had waited."""
    run = Run("SUCCEEDED", 100, end, waits=(Wait(start, end, why, tried_at=start - 6, woken=woken),))
    return entry(runs=[run], **{"handled": [handled(end)], **more})


@pytest.mark.parametrize("why", ["NoOpenConnection", "ConnectionGone", "States.Timeout"])
def test_who_was_there_for_long_while_it_waited_is_overlooked_though_it_came_later(why: str) -> None:
    back = {"ana": Presence(sound=[(120, NOW)])}
    assert breaches(judged(waited(why, 110, 140), presence=back)) == ["lost"]
    assert judged(waited(why, 110, 134), presence=back).balances, "within patience"


def test_a_wake_by_the_very_connection_that_was_there_is_late_and_no_more() -> None:
    back = {"ana": Presence(sound=[(50, 100), (120, NOW)])}
    ledger = judged(waited("NoOpenConnection", 110, 140, woken=True), presence=back)
    assert ledger.balances
    assert ledger.late_wakes == [20]


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param([(120, 138), (139, NOW)], id="by their next connection"),
        pytest.param([(120, NOW), (139, NOW)], id="by another device"),
        pytest.param([(120, 138)], id="when they had gone"),
    ],
)
def test_a_wake_by_anything_else_is_luck(sound: list[tuple[float, float]]) -> None:
    message = waited("NoOpenConnection", 110, 140, woken=True)
    assert breaches(judged(message, presence={"ana": Presence(sound=sound)})) == ["lost"]


def test_who_was_overlooked_until_it_expired_lost_it() -> None:
    expired = replace(EXPIRED, end=300, waits=(Wait(110, 300, "NoOpenConnection", 0),))
    message = entry(runs=[expired], letters=["MessageExpired"])
    assert breaches(judged(message, presence={"ana": Presence(sound=[(120, NOW)])})) == ["lost"]
    assert judged(message, presence={"ana": Presence(sound=[(0, 105), (290, NOW)])}).balances


def test_short_times_between_breaks_are_not_added_up() -> None:
    flickers = Presence(sound=[(start, start + 9.0) for start in range(100, 200, 10)])
    assert judged(waited("NoOpenConnection", 100, 200), presence={"ana": flickers}).balances


def test_a_connection_that_was_posted_to_and_did_not_acknowledge_is_waited_out() -> None:
    assert judged(waited("States.Timeout", 110, 150), presence={"ana": Presence(sound=[(50, NOW)])}).balances


def test_who_has_it_already_is_not_overlooked() -> None:
    there = {"ana": Presence(sound=[(120, NOW)])}
    assert judged(waited("States.Timeout", 110, 150, handled=[handled(105)]), presence=there).balances


def test_a_failure_of_the_platform_is_waited_out_for_longer() -> None:
    assert judged(waited("PostThrottled", 110, 160)).balances
    assert breaches(judged(waited("PostThrottled", 110, 170))) == ["lost"]


def test_what_is_for_somebody_else_is_foreign() -> None:
    message = entry(handled=[handled(), handled(user="bo", client="bo.0")])
    assert breaches(judged(message)) == ["foreign"]


def test_what_nobody_sent_is_foreign() -> None:
    assert breaches(judged(strays=(("m-9", handled()),))) == ["foreign"]


def test_one_client_that_handles_an_id_twice_doubles_it_and_two_devices_do_not() -> None:
    assert breaches(judged(entry(handled=[handled(), handled(103)]))) == ["doubled"]
    assert judged(entry(handled=[handled(), handled(client="ana.1")])).balances


def ordered(number: int, sequence: int | None, *, nth: int, at: float | None = None, **more: Any) -> Entry:
    """An ordered message that was handled with this number, as the nth."""
    one = handled(200.0, sequence=sequence, nth=nth, late=bool(more.pop("late", False)))
    sent = 100.0 + number if at is None else at
    return entry("ordered", number=number, at=sent, handled=[one], runs=[SUCCEEDED], **more)


def test_ordered_messages_that_are_handled_by_their_numbers_are_in_order() -> None:
    assert judged(ordered(1, 1, nth=1), ordered(2, 2, nth=2), ordered(3, 7, nth=3)).balances


def test_a_lower_number_after_a_higher_is_out_of_order_though_at_the_same_moment() -> None:
    assert breaches(judged(ordered(1, 1, nth=2), ordered(2, 2, nth=1))) == ["out_of_order"]


def test_an_ordered_message_without_a_number_is_out_of_order() -> None:
    assert breaches(judged(ordered(1, None, nth=1))) == ["out_of_order"]


def test_late_is_in_order_only_where_the_client_gave_up_the_number_or_began_above_it() -> None:
    late = [ordered(1, 4, nth=1), ordered(2, 6, nth=2), ordered(3, 5, nth=3, late=True)]
    assert breaches(judged(*late)) == ["out_of_order"]
    assert judged(*late, gaps=(Gap(150, "ana.0", 5, 5),)).balances
    assert not judged(*late, gaps=(Gap(150, "ana.1", 5, 5),)).balances, "another client gave it up"
    assert judged(ordered(1, 4, nth=1), ordered(2, 3, nth=2, late=True)).balances


def test_two_messages_under_one_number_are_out_of_order() -> None:
    twice = judged(ordered(1, 1, nth=1), replace(ordered(2, 1, nth=2), handled=[handled(client="ana.1", sequence=1)]))
    assert breaches(twice) == ["out_of_order"]


def test_one_message_under_two_numbers_is_out_of_order_unless_it_was_redriven() -> None:
    came = [handled(client="ana.0", sequence=1, nth=1), handled(client="ana.1", sequence=2, nth=2)]
    assert breaches(judged(entry("ordered", handled=came, runs=[SUCCEEDED]))) == ["out_of_order"]
    assert judged(entry("ordered", handled=came, runs=[EXPIRED, replace(SUCCEEDED, start=120)])).balances


def test_what_was_accepted_before_the_next_was_sent_has_the_lower_number() -> None:
    first = ordered(1, 2, nth=2, answered_at_once=True)
    second = ordered(2, 1, nth=1, answered_at_once=True)
    assert breaches(judged(first, second)) == ["out_of_order"]
    assert judged(replace(first, answered_at_once=False), second).balances, "it was sent again"
    assert judged(first, replace(second, sent_at=101.05)).balances, "it was sent before the first was accepted"
    assert judged(replace(first, way="start"), second).balances, "a run numbers itself"


def test_lag_counts_from_sending_or_from_coming_back() -> None:
    ledger = judged(
        entry(number=1, handled=[handled(100.5)]),
        entry(number=2, handled=[handled(132)]),
        presence={"ana": Presence(sound=[(0, 120), (130, NOW)])},
    )
    assert ledger.lags_there == [0.5]
    assert ledger.lags_came_back == [2.0]
