"""The workflow of the sandbox's Jira project: its statuses, who leads where, and what a step asks for.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/ (Transitions)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

RESOLUTIONS: Final = {"10000": "Erledigt", "10001": "Nicht betroffen", "10002": "Duplikat"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One status and the transition that leads to it. ``category`` is new, indeterminate or done.

    ``sources`` are the ids of the statuses from which it is reached (None: all of them). ``required`` are the fields
    without which the transition is refused, ``screen`` those that it takes besides.
    """

    id: str
    name: str
    transition: str
    category: str
    sources: frozenset[str] | None = None
    required: tuple[str, ...] = ()
    screen: tuple[str, ...] = ()

    def is_reached_from(self, status: Status) -> bool:
        return self.sources is None or status.id in self.sources


WORKFLOW: Final = (
    Status(id="10000", name="Zu erledigen", transition="11", category="new"),
    Status(id="10001", name="In Arbeit", transition="21", category="indeterminate"),
    Status(id="10002", name="Fertig", transition="31", category="done", screen=("resolution",)),
)
"""In German: names differ per site and language, categories do not."""

CATEGORIES: Final = {"new": (2, "To Do"), "indeterminate": (4, "In Progress"), "done": (3, "Done")}
"""By key: the id, and the name in English."""


class IllegalMove(Exception):
    """A transition that cannot be made; the message is Jira's."""


def step(workflow: Sequence[Status], now: Status, transition: object, key: str) -> Status:
    """The status to which that transition leads from ``now``; raises IllegalMove. ``key`` is the issue's."""
    if not str(transition).isdigit():
        raise IllegalMove("'transition' identifier must be an integer")
    for status in workflow:
        if status.transition != str(transition):
            continue
        if not status.is_reached_from(now):
            raise IllegalMove(
                f"It seems that you have tried to perform a workflow operation ({status.name}) that is not valid for "
                f"the current state of this issue ({key}). The likely cause is that somebody has changed the issue "
                "recently, please look at the issue history for details."
            )
        return status
    raise IllegalMove(f"It seems that you have tried to perform an illegal workflow operation ({transition}).")


def field_errors(status: Status, fields: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the fields that came with a transition: a message for each."""
    errors = {name: f"{name.title()} is required." for name in status.required if not fields.get(name)}
    for name, value in fields.items():
        if name not in (*status.required, *status.screen):
            errors[name] = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
        elif name == "resolution" and resolution(value) is None:
            errors[name] = "Resolution name is not valid."
    return errors


def resolution(value: Any) -> tuple[str, str] | None:
    """The id and name that ``{"id": …}`` or ``{"name": …}`` means; None where there is none such."""
    if not isinstance(value, dict):
        return None
    for key, name in RESOLUTIONS.items():
        if value.get("id") == key or value.get("name") == name:
            return key, name
    return None
