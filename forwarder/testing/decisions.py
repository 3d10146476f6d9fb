"""What people decide about an alert arrives where the alert stands."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from forwarder.connector import Connector, Delivered, Kind, Receipt, Uncertain
from forwarder.sandbox import Fault
from forwarder.testing.samples import HOSTILE_TEXTS, new_delivery
from forwarder.testing.suite import Responses, Suite
from forwarder.testing.target import LOST, OUTCOMES, TERMINAL, Target, look, send, send_struck, settle


def _kind(fault: Fault) -> str:
    return fault.kind.value


class Decisions(Suite):
    """Responses, told by connectors with ``tells_responses``."""

    def test_rendering_a_response_is_pure(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], responses: Responses
    ) -> None:
        """The same response gives the same JSON, twice and on another connector, with or without a place to show it."""
        seen = len(target.service(stand_in).requests)
        receipt = Receipt(remote_id="C0SECOPS:1700000000.000100", url="https://example.com/1")
        with closing(target.connect(stand_in)) as another:
            for one in (*responses(new_delivery(), receipt), *responses(new_delivery(), None)):
                payload = connector.render(one)
                assert json.loads(json.dumps(payload)) == payload == connector.render(one) == another.render(one)
                assert connector.preview(payload).strip()
        assert len(target.service(stand_in).requests) == seen

    def test_responses_are_told_where_the_alert_stands(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], responses: Responses
    ) -> None:
        """What people decide arrives where the alert stands, twice too, and only a reopening may add an alert."""
        first = new_delivery()
        outcome = send(connector, first)
        assert isinstance(outcome, Delivered)
        for one in responses(first, outcome.receipt):
            for _ in range(2):
                told = send(connector, one)
                assert isinstance(told, Delivered), told
                assert told.receipt.remote_id == outcome.receipt.remote_id
            if target.edits:
                again = target.again if one.kind is Kind.REOPEN else 0
                assert target.count(stand_in, first.alert) == 1 + again

    def test_an_overtaken_response_is_no_error(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], responses: Responses
    ) -> None:
        """What somebody has decided otherwise since is settled all the same, and the alert stands once."""
        first = new_delivery()
        outcome = send(connector, first)
        assert isinstance(outcome, Delivered)
        ones = responses(first, outcome.receipt)
        for one in ones[:-1]:
            assert isinstance(send(connector, replace(one, latest=ones[-1].latest)), Delivered)
        if target.edits:
            assert target.count(stand_in, first.alert) == 1

    def test_a_response_to_nothing_is_no_error(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], responses: Responses
    ) -> None:
        """Where the alert does not stand, what people decide is settled, and makes no alert but by a reopening."""
        first = new_delivery()
        for one in responses(first, None):
            assert target.count(stand_in, first.alert) == 0
            assert isinstance(send(connector, one), Delivered)
        assert target.count(stand_in, first.alert) == target.again

    @pytest.mark.parametrize("field", ["person", "reason", "place"])
    def test_what_people_write_arrives(
        self, target: Target[Any], stand_in: Any, connector: Connector[Any], responses: Responses, field: str
    ) -> None:
        """No name and no reason keeps a response from its destination, pings anybody or reaches a terminal."""
        first = new_delivery()
        outcome = send(connector, first)
        assert isinstance(outcome, Delivered)
        for text in HOSTILE_TEXTS:
            for one in responses(first, outcome.receipt):
                assert one.response is not None
                said: dict[str, Any] = {"person": "", field: text}
                written = replace(one.response, **said)
                told = replace(one, response=written, latest=written)
                payload = connector.render(told)
                assert isinstance(connector.deliver(told, json.loads(json.dumps(payload))), Delivered), text[:300]
                preview = connector.preview(payload)
                assert not any(char in preview for char in TERMINAL)
        assert not target.pings(stand_in)

    @pytest.mark.parametrize("fault", [fault for fault in LOST if "before" not in fault.kind], ids=_kind)
    def test_a_lost_answer_to_a_response_is_no_exception(
        self,
        target: Target[Any],
        stand_in: Any,
        connector: Connector[Any],
        responses: Responses,
        fault: Fault,
    ) -> None:
        """A response whose answer is lost is looked for or told again, and adds no more than it would have."""
        first, advance = new_delivery(), target.service(stand_in).clock.advance
        outcome = send(connector, first)
        assert isinstance(outcome, Delivered)
        for one in responses(first, outcome.receipt):
            lost = send_struck(target, stand_in, one, fault, path=target.tell)
            assert isinstance(lost, OUTCOMES)
            if not (isinstance(lost, Uncertain) and look(connector, one, advance=advance)):
                settle(connector, one, advance=advance)
        if target.once:
            assert target.count(stand_in, first.alert) == 1 + target.again
