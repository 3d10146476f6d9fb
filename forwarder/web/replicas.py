"""Who shares the work, and what each has, for the page."""

from __future__ import annotations

from typing import Any

from forwarder.replicas.holder import Holder
from forwarder.replicas.roles import in_words, told


def shown(holder: Holder) -> dict[str, Any]:
    """The replicas, their roles, and what nobody has; of the feeds of many accounts the first few are named."""
    muster = holder.muster()
    if muster is None:
        return {"muster": None}
    roles = {one.id: told({lease.role: lease.since for lease in muster.roles_of(one)}) for one in muster.replicas}
    return {"muster": muster, "roles": roles, "unheld": in_words(muster.unheld())}
