"""The forwarder's own troubles, sent through connectors that work.

``types`` names them, ``findings`` judges from facts which of them are there (pure), and ``reconciler`` makes what
people are told follow from that.
"""

from forwarder.alarms.findings import DAY, FREE_BYTES, Finding, findings, is_still_unread, is_unread, last_poll
from forwarder.alarms.reconciler import Alarms
from forwarder.alarms.types import AlarmType

__all__ = [
    "DAY",
    "FREE_BYTES",
    "AlarmType",
    "Alarms",
    "Finding",
    "findings",
    "is_still_unread",
    "is_unread",
    "last_poll",
]
