<<<<<<< HEAD
"""What people do with alerts, and when these may be told.

``responses`` takes in what people decide, wherever they are.
"""

from forwarder.lifecycle.responses import Responses

__all__ = ["Responses"]
=======
"""What happens to an alert after it was routed. Pure: what is decided here is given the time, and touches no store."""
>>>>>>> w/lifeconfig
