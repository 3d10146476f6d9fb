"""The forwarder's own troubles, sent through connectors that work.

``types`` names them, ``findings`` judges from ``facts`` which of them are there, and ``feeds`` those of the feeds
(pure); ``reconciler`` makes what people are told follow from that.
"""

from forwarder.alarms.facts import Finding
from forwarder.alarms.feeds import is_still_unread, is_unread, last_poll, together
from forwarder.alarms.findings import DAY, FREE_BYTES, findings
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
    "together",
]
