"""What a process may send only while it has the role: nothing leaves once that may be another one's."""

from __future__ import annotations

import pytest

from forwarder.connector import Delivered, Rejected
from forwarder.sandbox import Sandbox
from forwarder.testing import Target, new_delivery, send
from forwarder.wire.deadline import deadline
from tests.kit.contract import TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_is_sent_without_the_role(target: Target[Sandbox], sandbox: Sandbox) -> None:
    """Each connector asks right before each request, over every client; what was not sent is tried again."""
    connector, service = target.connect(sandbox), target.service(sandbox)
    owed, before = new_delivery(), len(service.requests)
    with deadline(60.0, guard=lambda: False):
        assert not isinstance(send(connector, owed), Delivered | Rejected)
    sent = [seen for seen in list(service.requests)[before:] if target.send in f"{seen.method} {seen.path}"]
    assert sent == []
    with deadline(60.0, guard=lambda: True):
        assert isinstance(send(connector, owed), Delivered)
    connector.close()
