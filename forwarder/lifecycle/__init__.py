"""What people do with alerts, and when these may be told.

``responses`` takes in what people decide, wherever they are, ``mutes`` says what is quiet and lets it out when that
ends, ``held`` lets out what waited for its time; ``schedules`` and ``holds``, both pure, say when an alert may go out.
"""

from forwarder.lifecycle.held import Held
from forwarder.lifecycle.mutes import Mutes
from forwarder.lifecycle.responses import Responses

__all__ = ["Held", "Mutes", "Responses"]
