"""The limit of connections per user, with real clients."""

from cdk_app.settings import StageSettings
from local.demo.stage import Stage, envelope

EVICTED = {"kind": "close", "reason": "evicted", "reconnect": False}


def test_the_oldest_connection_is_told_not_to_come_back_and_closed(stage: Stage, user: str) -> None:
    limit = StageSettings.model_fields["max_connections_per_user"].default
    oldest, *others = [stage.client(user, context_id=str(number)) for number in range(limit + 1)]
    with stage.connected(oldest, *others[:-1]):
        assert oldest.is_open
        with stage.connected(others[-1]):
            stage.until(lambda: not oldest.is_open or None, "the end of the oldest connection")

            stage.await_rows(oldest, user, 0)
            (answer,) = stage.accept(envelope(user, "still there?", context_id=others[0].context_id))

            assert answer["status"] == "delivered"
            assert all(client.is_open for client in others)
    assert [frame.body for frame in oldest.frames] == [EVICTED]
    assert not any(EVICTED in [frame.body for frame in client.frames] for client in others)
