"""The contract of a connector, as one class of tests."""

from __future__ import annotations

from forwarder.testing.arrival import Arrival
from forwarder.testing.decisions import Decisions
from forwarder.testing.troubles import Troubles


class Contract(Arrival, Decisions, Troubles):
    """What every connector is held to. Subclass it in your tests, and say ``targets`` and how to ``open`` a stand-in.

    What is asserted is the same for all; the targets say for each connector what a trouble must come to.
    """
