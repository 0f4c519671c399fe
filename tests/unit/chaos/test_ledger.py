"""The ledger of a chaos run: every fate, and every violation, from records made by hand."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.ledger import Breach, Entry, Fate, Gap, Handled, Heard, Ledger, Letter, Presence, Run, Wait, close

NOW = 1_000.0
THERE = {"ana": Presence(sound=[(0.0, NOW)])}
AWAY = {"ana": Presence()}
DEAF = {"ana": Presence(dead=[(95.0, 105.0)], breaks=[95.0, 105.0])}
PATIENCE, BACKOFF = 15.0, 40.0


def entry(kind: str = "plain", way: str = "accept", *, number: int = 1, at: float = 100.0, **more: Any) -> Entry:
    """A message to Ana that was accepted at once."""
    made = Entry(f"m-{number}", "ana", way, kind, sent_at=at, accepted_at=at + 0.1, answer="started")
    for name, value in more.items():
        setattr(made, name, value)
    made.handled = [replace(one, payload_of=one.payload_of or made.id) for one in made.handled]
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
ABORTED = Run("ABORTED", 100, 101)
EXPIRED = Run("FAILED", 100, 110, "MessageExpired", arn="run")
EXPIRY = Letter("MessageExpired", "run")
SECOND_EXPIRY = Letter("MessageExpired", "run-r1")
EXHAUSTED = Run("FAILED", 100, 110, "AttemptsExhausted", arn="run")


def short(end: float, *, letter: Letter = EXPIRY, life: float = 6) -> Entry:
    """A message with a short life, whose run found then that it had ended."""
    return entry("short", ttl_seconds=life, runs=[replace(EXPIRED, end=end)], letters=[letter])


def redriven(*, end: float, letter: Letter = SECOND_EXPIRY) -> Entry:
    """A message whose second run ended then; it was to live for 300 s from 120 on."""
    second = Run("FAILED", 120, end, "MessageExpired", arn="run-r1")
    return entry("redriven", ttl_seconds=6, runs=[EXPIRED, second], letters=[letter])


@pytest.mark.parametrize(
    ("message", "presence", "fate"),
    [
        (entry(handled=[handled()], answer="delivered"), THERE, "delivered"),
        (entry(handled=[handled()], runs=[SUCCEEDED]), THERE, "delivered"),
        (entry("cancelled", handled=[handled()], runs=[ABORTED]), THERE, "delivered"),
        (entry("ack", handled=[handled()], runs=[SUCCEEDED]), THERE, "acknowledged"),
        (entry("redriven", handled=[handled(200)], runs=[EXPIRED, Run("SUCCEEDED", 199, 200)]), THERE, "acknowledged"),
        (entry("cancelled", runs=[ABORTED]), AWAY, "cancelled"),
        (short(106.0), AWAY, "expired"),
        (short(104.0), AWAY, "expired"),  # by two clocks, a second off each
        (redriven(end=420), AWAY, "expired"),
        (entry(runs=[EXHAUSTED], letters=[Letter("AttemptsExhausted", "run")]), AWAY, "dead-lettered"),
        (entry(answer="delivered", posted=[100.0]), DEAF, "into a dead link"),
        (entry(runs=[SUCCEEDED], posted=[100.0]), DEAF, "into a dead link"),
        (entry(runs=[SUCCEEDED], posted=[100.0]), AWAY, "in doubt"),
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
        pytest.param(entry(accepted_at=None, answer=""), id="it was never answered"),
        pytest.param(entry(accepted_at=None, answer="", runs=[SUCCEEDED]), id="nor though a run carries it"),
        pytest.param(entry(runs=[Run("RUNNING", 100)]), id="its run goes on"),
        pytest.param(entry(runs=[Run("RUNNING", 100)], posted=[100.0]), id="its run goes on, posted"),
        *(pytest.param(entry(kind, runs=[ABORTED]), id=f"{kind}: stopped") for kind in ("plain", "ack", "short")),
        pytest.param(short(103.9), id="it expired before its time"),
        pytest.param(short(110, life=300), id="it expired long before its time"),
        pytest.param(short(110, letter=SECOND_EXPIRY), id="the dead letter is another run's"),
        pytest.param(short(110, letter=Letter("AttemptsExhausted", "run")), id="the dead letter says something else"),
        pytest.param(redriven(end=417), id="its second life was too short"),
        pytest.param(redriven(end=420, letter=EXPIRY), id="the dead letter is its first run's"),
        pytest.param(
            entry(
                runs=[replace(EXHAUSTED, end=500, reason="Lambda.Unknown")], letters=[Letter("Lambda.Unknown", "run")]
            ),
            id="it is a dead letter for no good reason",
        ),
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


@pytest.mark.parametrize(
    "message", [entry(answer="delivered"), entry(runs=[SUCCEEDED])], ids=["answered", "its run succeeded"]
)
@pytest.mark.parametrize("presence", [THERE, AWAY, {"ana": Presence(sound=[(0, NOW)], breaks=[100])}])
def test_what_no_connection_took_was_not_delivered_wherever_they_were(
    message: Entry, presence: dict[str, Presence]
) -> None:
    assert breaches(judged(message, presence=presence)) == ["lost"]


def test_what_part_had_which_fate_is_told_of_the_plain_ones() -> None:
    plain = [entry(number=number, handled=[handled()]) for number in range(3)]
    ledger = judged(
        *plain, *(entry(kind, posted=[100.0], answer="delivered") for kind in ("plain", "short")), presence=AWAY
    )
    assert (ledger.plain["delivered"], ledger.plain["in doubt"]) == (0.75, 0.25)
    assert judged().plain["in doubt"] == 0


@pytest.mark.parametrize(
    "presence",
    [
        pytest.param(Presence(sound=[(0, 98), (101, NOW)]), id="between two connections"),
        pytest.param(Presence(sound=[(0, 100.5), (100.9, NOW)], breaks=[100.5]), id="just before it broke"),
        pytest.param(Presence(sound=[(0, NOW)], dead=[(95, 99)]), id="beside a dead one"),
    ],
)
def test_a_post_that_may_have_been_lost_with_its_connection_is_in_doubt(presence: Presence) -> None:
    message = entry(answer="delivered", posted=[100.0])
    assert judged(message, presence={"ana": presence}).fates["plain", "accept", "in doubt"] == 1


def test_of_two_devices_a_silent_one_does_not_explain_what_the_other_missed() -> None:
    message = entry(answer="delivered", posted=[100.0])
    other = replace(DEAF["ana"], sound=[(0, NOW)])
    assert judged(message, presence={"ana": other}).fates["plain", "accept", "in doubt"] == 1
    has_just_come = replace(DEAF["ana"], sound=[(99, NOW)])
    assert judged(message, presence={"ana": has_just_come}).fates["plain", "accept", "into a dead link"] == 1


def test_a_post_to_a_connection_that_broke_long_before_is_lost() -> None:
    there = Presence(sound=[(0, 90), (91, NOW)], dead=[(85, 90)], breaks=[90, 91])
    assert breaches(judged(entry(answer="delivered", posted=[100.0]), presence={"ana": there})) == ["lost"]


def waited(why: str, start: float, end: float, **more: Any) -> Entry:
    """A message that got there after its run had waited."""
    run = Run("SUCCEEDED", 100, end, waits=(Wait(start, end, why, tried_at=start - 6),))
    return entry(runs=[run], **{"handled": [handled(end)], **more})


@pytest.mark.parametrize("why", ["NoOpenConnection", "ConnectionGone", "States.Timeout"])
def test_who_was_there_for_long_while_it_waited_is_overlooked_though_it_came_later(why: str) -> None:
    back = {"ana": Presence(sound=[(120, NOW)])}
    assert breaches(judged(waited(why, 110, 140), presence=back)) == ["lost"]
    assert judged(waited(why, 110, 134), presence=back).balances, "within patience"


def test_before_wake_has_been_told_of_a_connection_nobody_is_overlooked() -> None:
    late = {"ana": Presence(sound=[(50, 100), (120, NOW)], heard=[Heard(119, 130)])}
    assert judged(waited("NoOpenConnection", 110, 144), presence=late).balances
    assert judged(waited("NoOpenConnection", 110, 144), presence=late).stream_lags == [11]
    assert breaches(judged(waited("NoOpenConnection", 110, 146), presence=late)) == ["lost"]


def test_who_wake_was_never_told_of_is_overlooked_when_all_is_over_and_not_before() -> None:
    untold = {"ana": Presence(sound=[(50, 100), (120, NOW)], heard=[Heard(50, 51)])}
    message = [waited("NoOpenConnection", 110, 140)]
    assert breaches(close(message, untold, patience=PATIENCE, backoff=BACKOFF)) == ["lost"]
    assert close(message, untold, patience=PATIENCE, backoff=BACKOFF, is_over=False).balances


@pytest.mark.parametrize("sound", [[(120, NOW)], [(120, NOW), (139, NOW)]])
def test_what_was_not_parked_yet_is_late_and_no_more(sound: list[tuple[float, float]]) -> None:
    run = Run("SUCCEEDED", 100, 140, waits=(Wait(110, 140, "NoOpenConnection", 104, parking=True),))
    ledger = judged(entry(runs=[run], handled=[handled(140)]), presence={"ana": Presence(sound=sound)})
    assert ledger.balances
    assert 20 in ledger.late_parks


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param([(120, 138), (139, NOW)], id="by their next connection"),
        pytest.param([(120, NOW), (139, NOW)], id="by another device"),
        pytest.param([(120, 138)], id="when they had gone"),
    ],
)
def test_whatever_ends_such_a_wait_is_luck(sound: list[tuple[float, float]]) -> None:
    message = waited("NoOpenConnection", 110, 140)
    assert breaches(judged(message, presence={"ana": Presence(sound=sound)})) == ["lost"]


def test_who_was_overlooked_until_it_expired_lost_it() -> None:
    expired = replace(EXPIRED, end=300, waits=(Wait(110, 300, "NoOpenConnection", 0),))
    message = entry(ttl_seconds=100, runs=[expired], letters=[EXPIRY])
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


def test_what_was_posted_to_somebody_else_is_foreign_though_it_came_too() -> None:
    assert breaches(judged(entry(handled=[handled()], posted=[100.0], posted_elsewhere=["bo"]))) == ["foreign"]


def test_what_they_get_in_another_conversation_is_foreign() -> None:
    message = entry(handled=[handled(), handled(user="ana@43", client="ana@43.0")])
    assert breaches(judged(message)) == ["foreign"]


@pytest.mark.parametrize("payload_of", ["m-2", None])
def test_the_payload_of_another_is_foreign_under_its_own_id(payload_of: str | None) -> None:
    message = entry()
    message.handled = [handled(payload_of=payload_of)]
    assert breaches(judged(message)) == ["foreign"]


def test_what_nobody_sent_is_foreign() -> None:
    assert breaches(judged(strays=(("m-9", handled()),))) == ["foreign"]


def test_one_client_that_handles_an_id_twice_doubles_it_and_two_devices_do_not() -> None:
    assert breaches(judged(entry(handled=[handled(), handled(103)]))) == ["doubled"]
    assert judged(entry(handled=[handled(), handled(client="ana.1")])).balances


def ordered(number: int, sequence: int | None, *, nth: int, way: str = "start", **more: Any) -> Entry:
    """An ordered message that was handled with this number, as the nth. Unless told, its run has numbered it."""
    one = handled(200.0, sequence=sequence, nth=nth, late=bool(more.pop("late", False)))
    return entry("ordered", way, number=number, at=100.0 + number, handled=[one], runs=[SUCCEEDED], **more)


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


def gap(first: int, last: int, *, client: str = "ana.0", alone: bool = True) -> Gap:
    """A client of Ana gave up these numbers."""
    return Gap(150, client, first, last, "ana", alone)


def test_a_number_that_an_only_client_waited_for_in_vain_is_out_of_order() -> None:
    came = [ordered(1, 1, nth=1), ordered(2, 4, nth=2)]
    ledger = judged(*came, gaps=(gap(2, 3),))
    assert breaches(ledger) == ["out_of_order"]
    assert "numbers [2, 3]" in str(ledger.violations[0])
    came.append(ordered(3, 2, nth=3, late=True))
    assert "numbers [3]" in str(judged(*came, gaps=(gap(2, 3),)).violations[0]), "one of them came late"
    assert judged(*came, ordered(4, 3, nth=4, late=True), gaps=(gap(2, 3),)).balances, "both came late"


def test_of_two_devices_the_other_one_may_have_had_the_number() -> None:
    assert judged(ordered(1, 1, nth=1), ordered(2, 4, nth=2), gaps=(gap(2, 3, alone=False),)).balances


def test_two_messages_under_one_number_are_out_of_order() -> None:
    second = entry("ordered", number=2, runs=[SUCCEEDED], handled=[handled(client="ana.1", sequence=1)])
    twice = judged(ordered(1, 1, nth=1), second)
    assert breaches(twice) == ["out_of_order"]


def test_one_message_under_two_numbers_is_out_of_order_unless_it_was_redriven() -> None:
    came = [handled(client="ana.0", sequence=1, nth=1), handled(client="ana.1", sequence=2, nth=2)]
    assert breaches(judged(entry("ordered", handled=came, runs=[SUCCEEDED]))) == ["out_of_order"]
    assert judged(entry("ordered", handled=came, runs=[EXPIRED, replace(SUCCEEDED, start=120)])).balances


def test_what_was_accepted_before_the_next_was_sent_has_the_lower_number() -> None:
    first = ordered(1, 2, nth=2, way="accept")
    second = ordered(2, 1, nth=1, way="accept")
    assert breaches(judged(first, second)) == ["out_of_order"]
    assert breaches(judged(replace(first, answer="duplicate"), second)) == ["out_of_order"], "it was sent again"
    assert breaches(judged(first, replace(second, way="start"))) == ["out_of_order"], "a run numbers itself, later"
    assert judged(first, replace(second, sent_at=101.05)).balances, "it was sent before the first was accepted"
    assert judged(replace(first, way="start"), second).balances, "its run may number it after the second"
    assert judged(replace(first, runs=[EXPIRED, replace(SUCCEEDED, start=120)]), second).balances, (
        "it was redriven, and numbered anew"
    )


def test_lag_counts_from_sending_or_from_coming_back() -> None:
    ledger = judged(
        entry(number=1, handled=[handled(100.5)]),
        entry(number=2, handled=[handled(132)]),
        presence={"ana": Presence(sound=[(0, 120), (130, NOW)])},
    )
    assert ledger.lags_there == [0.5]
    assert ledger.lags_came_back == [2.0]


def test_until_all_is_quiet_what_goes_on_is_not_lost_but_who_is_overlooked_is() -> None:
    goes_on = entry(runs=[Run("RUNNING", 100.0)])
    forgotten = entry(runs=[Run("RUNNING", 100.0, waits=(Wait(110, 140, "NoOpenConnection", 109),))], number=2)
    told = {"ana": replace(THERE["ana"], heard=[Heard(start, start + 1) for start, _ in THERE["ana"].sound])}
    now = close([goes_on, forgotten], told, patience=PATIENCE, backoff=BACKOFF, is_over=False)
    assert [one.message_id for one in now.violations] == ["m-2"]
    assert breaches(judged(goes_on, forgotten)) == ["lost", "lost"]
