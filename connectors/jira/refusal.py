"""What Jira did not take of a ticket: where it is put right, and what tickets are created without meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from forwarder.connector import NOTICE, Failed, Memory, ProcessMemory, cut, one_line

if TYPE_CHECKING:
    from connectors.jira.config import JiraConfig

NOT_ON_SCREEN: Final = "cannot be set"
"""What Jira says of a field that is not on the screen on which tickets are created."""

_OWNED: Final = {"components": "component", "assignee": "assignee"}
"""What an owner brings into a ticket, in words."""

_KEPT: Final = "left_out"
"""The key of the memory: the values that Jira did not take."""


def remedy(field: str, said: str, config: JiraConfig) -> str:
    """What a person does about a field that Jira refuses in every ticket, as a clause."""
    kind = f"a {config.issue_type} in {config.project}"
    screen = f"put {field} on the create screen of {kind}"
    if field == "issuetype":
        return _remedy_of_type(said, config)
    if field in config.fields:
        return f"correct fields.{field}" + (f", or {screen}" if NOT_ON_SCREEN in said else "")
    if field == "labels" and config.identity == "label":
        return f"set identity: text, or {screen}: by a label its ticket is found again"
    if field == "labels":
        return f"{screen}, or leave labels out" if config.labels else f"{kind} requires labels: set labels"
    if field == "description" and config.identity == "text":
        return f"{screen}: by a line of it its ticket is found again"
    if NOT_ON_SCREEN in said:
        return screen
    return f"{kind} requires {field}: add it under fields"


def _remedy_of_type(said: str, config: JiraConfig) -> str:
    # Jira blames the type where a type of sub-tasks comes without a parent.
    if "parent" in said and "parent" not in config.fields:
        return f"{config.issue_type} is a type of sub-tasks: set fields.parent, or choose another issue_type"
    return f"{config.project} has no issue type {config.issue_type}: correct issue_type"


class LeftOut:
    """The priorities, due dates and owners without which tickets are created, because Jira does not take them.

    People are told once, until a ticket is created with the same value or the config asks for it no longer.
    """

    def __init__(self, config: JiraConfig) -> None:
        self._config = config
        self._memory: Memory = ProcessMemory()
        self._lock = threading.Lock()

    def remember(self, memory: Memory) -> None:
        """Takes over what earlier processes were refused, as far as the config still asks for it."""
        self._memory = memory
        wanted = {f"priority {name}" for name in self._config.priority.values()}
        wanted |= {"duedate"} if self._config.due_in else set()
        self._keep(lambda kept: kept & wanted)

    def add(self, refused: Mapping[str, Any]) -> None:
        """Jira did not take these fields."""
        self._keep(lambda kept: kept | set(_names(refused)))

    def taken(self, fields: Mapping[str, Any]) -> None:
        """Jira took these fields."""
        self._keep(lambda kept: kept - set(_names(fields)))

    def _keep(self, change: Any) -> None:
        with self._lock, suppress(Failed):
            before = set(json.loads(self._memory.get(_KEPT) or "[]"))
            after: set[str] = change(before)
            if after != before:
                self._memory.put(_KEPT, json.dumps(sorted(after)) if after else "")
                self._memory.put(NOTICE, " ".join(map(self._sentence, sorted(after))))

    def _sentence(self, name: str) -> str:
        project = self._config.project
        if name == "duedate":
            return (
                f"Tickets are created without a due date, for Jira takes none in {project}: put it on the create "
                "screen, or leave due_in out."
            )
        for field, what in _OWNED.items():
            if name.startswith(f"{field} "):
                value = cut(one_line(name.removeprefix(f"{field} ")), 100)
                return (
                    f"Tickets are created without the {what} {value} of their owner, for Jira does not take it in "
                    f"{project}: correct owners, or put {field} on the create screen."
                )
        priority = cut(one_line(name.removeprefix("priority ")), 100)
        return (
            f"Tickets are created without a priority, for Jira takes no {priority} in {project}: correct priority, or "
            "put it on the create screen."
        )


def _names(fields: Mapping[str, Any]) -> Iterator[str]:
    for field, value in fields.items():
        if field == "components" and isinstance(value, list):
            yield f"components {', '.join(str(one.get('name')) for one in value)}"
        elif field == "assignee" and isinstance(value, Mapping):
            yield f"assignee {', '.join(map(str, value.values()))}"
        else:
            yield f"priority {value['name']}" if field == "priority" else field
