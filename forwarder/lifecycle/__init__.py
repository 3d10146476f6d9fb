"""What people do with alerts, and when these may be told.

``responses`` takes in what people decide, wherever they are.
"""

from forwarder.lifecycle.responses import Responses

__all__ = ["Responses"]
