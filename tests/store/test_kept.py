"""What is about to be sent is kept under the claim, for whoever has to send it again."""

from __future__ import annotations

from forwarder.store import Store
from forwarder.testing import alert
from tests.kit.store import LEASE, NOW, claim, enqueue, failed, settle

PAYLOAD = {"id": "msg_1", "text": "ünïcode and \U0001f6a8", "number": 0.1, "nothing": None}


def test_what_is_kept_outlives_the_worker(store: Store) -> None:
    """A worker that is gone leaves what it was sending, as it was; the one before it may keep nothing more."""
    enqueue(store, alert(), "secops")
    first = claim(store)
    assert first.kept is None
    assert store.outbox.keep(first, PAYLOAD)
    store.outbox.reclaim_expired(now=NOW + 2 * LEASE, due_at={}, all_claims=False)
    second = claim(store, now=NOW + 2 * LEASE)
    assert second.kept == PAYLOAD
    assert list(second.kept or ()) == list(PAYLOAD)
    assert not store.outbox.keep(first, {"id": "msg_2"})
    settle(store, second, failed(), now=NOW + 2 * LEASE)
    assert claim(store, now=NOW + 1_000_000).kept == PAYLOAD


def test_what_is_kept_and_cannot_be_read_is_none(store: Store) -> None:
    """A payload that is damaged is made anew, and keeps nothing from being claimed."""
    enqueue(store, alert(), "secops")
    assert store.outbox.keep(claim(store), PAYLOAD)
    store.engine.write(lambda connection: connection.execute("UPDATE deliveries SET payload = ?", (b"damaged",)))
    store.outbox.reclaim_expired(now=NOW, due_at={}, all_claims=True)
    assert claim(store).kept is None
