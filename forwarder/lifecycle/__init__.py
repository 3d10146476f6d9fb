"""What people do with alerts, and when these may be told.

``responses`` takes in what people decide, wherever they are, ``mutes`` says what is quiet and lets it out when that
ends, ``held`` lets out what waited for its time, and ``reminders`` and ``reports`` tell what nobody acted on and what
became of all; ``schedules`` and ``holds``, both pure, say when an alert may go out.
"""

from forwarder.lifecycle.held import Held
from forwarder.lifecycle.life import Life
from forwarder.lifecycle.mutes import Mutes
from forwarder.lifecycle.reminders import Reminders
from forwarder.lifecycle.reports import Reports
from forwarder.lifecycle.responses import Responses

__all__ = ["Held", "Life", "Mutes", "Reminders", "Reports", "Responses"]
