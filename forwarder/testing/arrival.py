"""What becomes of an alert where nothing goes wrong: what is written of it, and that it arrives once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from forwarder.alert import Alert
from forwarder.connector import Connector, Delivered, Failed, Origin, ProcessMemory, Receipt, Retry
from forwarder.testing.samples import (
    TICKET,
    Unreadable,
    delivery,
    follow_ups,
    hostile_alerts,
    new_delivery,
    numbers,
    odd_alerts,
)
from forwarder.testing.suite import Suite
from forwarder.testing.target import TERMINAL, Target, connector_class, send


class Arrival(Suite):
    """An alert, its changes and its withdrawal, on a good day."""

    def test_a_config_says_its_type_and_describes_each_key(self, target: Target[Any]) -> None:
        """The config's model is named by the entry point, and every key has a sentence for the schema."""
        keys = connector_class(target.kind).Config.model_json_schema()["properties"]
        assert keys["type"]["const"] == target.kind
        assert [key for key, of in keys.items() if key != "type" and not of.get("description")] == []

    def test_rendering_is_pure(self, target: Target[Any], stand_in: Any, connector: Connector[Any]) -> None:
        """The same delivery gives the same JSON, twice and on another connector, without a request or a secret."""
        seen = len(target.service(stand_in).requests)
        first = new_delivery(links=(TICKET,))
        receipt = Receipt(remote_id="C0SECOPS:1700000000.000100", url="https://example.com/1")
        with closing(target.connect(stand_in)) as another:
            for one in [first, *follow_ups(first, receipt), *follow_ups(first, None)]:
                payload = connector.render(one)
                assert json.loads(json.dumps(payload)) == payload == connector.render(one) == another.render(one)
                assert not any(secret in json.dumps(payload) for secret in target.secrets(stand_in))
                assert connector.preview(payload).strip()
        assert len(target.service(stand_in).requests) == seen

    def test_hostile_and_odd_alerts_arrive(self, target: Target[Any], stand_in: Any, connector: Connector[Any]) -> None:
        """No text, type or size of a field keeps an alert from its destination, nor reaches a terminal as a command."""
        for one in (*hostile_alerts(), *odd_alerts()):
            number = next(numbers)
            sent = new_delivery(alert=Alert.parse({**one.raw, "id": f"{one.id[:200]}-{number}"}))
            payload = connector.render(sent)
            assert json.loads(json.dumps(payload)) == payload
            assert isinstance(connector.deliver(sent, payload), Delivered), str(one)[:300]
            preview = connector.preview(payload)
            assert preview.strip()
            assert not any(char in preview for char in TERMINAL)
        assert not target.pings(stand_in)

    @pytest.mark.parametrize("origin", list(Origin))
    def test_what_is_no_alert_is_marked(self, target: Target[Any], connector: Connector[Any], origin: Origin) -> None:
        """The forwarder's own troubles and a person's trial read differently from an alert, and arrive."""
        as_alert, marked = new_delivery(), new_delivery()
        marked = delivery(alert=as_alert.alert, enqueued_at=as_alert.enqueued_at, connector="target", origin=origin)
        same = connector.preview(connector.render(marked)) == connector.preview(connector.render(as_alert))
        assert same is (origin is Origin.FEED)
        assert isinstance(send(connector, marked), Delivered)

    def test_an_alert_is_followed_up_where_it_stands(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any]
    ) -> None:
        """An alert arrives once, and its changes, links and withdrawal add no second one."""
        first = new_delivery()
        outcome = send(connector, first)
        assert isinstance(outcome, Delivered)
        assert target.count(stand_in, first.alert) == 1
        if not target.edits:
            return
        for one in follow_ups(first, outcome.receipt):
            for _ in range(2):
                followed = send(connector, one)
                assert isinstance(followed, Delivered)
                assert followed.receipt.remote_id == outcome.receipt.remote_id
            assert target.count(stand_in, first.alert) == 1

    @pytest.mark.parametrize("index", range(3), ids=["change", "link", "withdrawal"])
    def test_a_follow_up_of_nothing_is_no_error(
        self, target: Target[Any], connector: Connector[Any], index: int
    ) -> None:
        """Without a receipt a change or a withdrawal is settled all the same."""
        assert isinstance(send(connector, follow_ups(new_delivery(), None)[index]), Delivered)

    def test_a_payload_that_was_kept_can_be_sent(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any]
    ) -> None:
        """A payload that went through JSON is as good as a new one, and is left as it was."""
        first = new_delivery()
        payload = json.loads(json.dumps(connector.render(first)))
        before = json.dumps(payload)
        assert isinstance(connector.deliver(first, payload), Delivered)
        assert json.dumps(payload) == before
        assert target.count(stand_in, first.alert) == 1

    def test_what_was_learned_serves_the_next_process(self, target: Target[Any], stand_in: Any) -> None:
        """A connector that remembers an earlier one's deliveries brings the next, and finds them all."""
        memory, ones = ProcessMemory(), [new_delivery() for _ in range(3)]
        for one in ones:
            with closing(target.connect(stand_in)) as connector:
                connector.remember(memory)
                assert isinstance(send(connector, one), Delivered)
                assert target.count(stand_in, one.alert) == 1
                if connector.reconcile_after:
                    assert connector.find(one) is not None
        kept = json.dumps(memory.values)
        assert not any(secret in kept for secret in target.secrets(stand_in))

    def test_a_memory_that_cannot_be_read_is_no_exception(self, target: Target[Any], connector: Connector[Any]) -> None:
        """What cannot be remembered may put a delivery off, but neither breaks nor repeats anything."""
        connector.remember(Unreadable())
        outcome = send(connector, new_delivery())
        assert isinstance(outcome, Delivered | Retry)
        for one in follow_ups(new_delivery(), None):
            assert isinstance(send(connector, one), Delivered | Retry)
        with suppress(Failed):
            connector.find(new_delivery())
        assert connector.check()

    def test_many_threads_deliver_at_once(self, target: Target[Any], stand_in: Any, connector: Connector[Any]) -> None:
        """Deliveries from several threads all arrive, each once and under its own receipt."""
        ones = [new_delivery() for _ in range(40)]
        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(lambda one: send(connector, one), ones))
        assert {type(outcome) for outcome in outcomes} == {Delivered}
        assert [target.count(stand_in, one.alert) for one in ones] == [1] * len(ones)
        receipts = {outcome.receipt.remote_id for outcome in outcomes if isinstance(outcome, Delivered)}
        # One that edits nothing may have the same for all.
        assert len(receipts) == len(ones) or (not target.edits and len(receipts) == 1)
