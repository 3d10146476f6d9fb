"""By what a destination that keeps ids knows again what it was told once. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forwarder.connector import Delivery


def identity(delivery: Delivery) -> str:
    """32 hexadecimal digits, the same for every attempt at ``delivery``, and others for whatever else is told.

    They are made of what is told, not of numbers alone: a database that was lost begins to count anew, and what happens
    then must not pass for something that was told before. An alert that a person sends again on purpose has another
    one, and so has what another connector sends.
    """
    response = delivery.response
    told = [
        delivery.sent_as or delivery.connector,
        delivery.alert.id,
        delivery.kind.value,
        None if delivery.kind == "open" else delivery.revision,
        [[change.field, change.old, change.new] for change in delivery.changes],
        list(dataclasses.astuple(response)) if response else None,
        delivery.reminder,
        delivery.repeats.remote_id if delivery.repeats else None,
    ]
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:32]
