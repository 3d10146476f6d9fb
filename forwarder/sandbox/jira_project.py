"""The Jira project of the sandbox: its issues, what their fields take, and an index that lags behind.

Limits: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from forwarder.sandbox import adf
from forwarder.sandbox.jql import Query
from forwarder.sandbox.limits import Clock

MAX_SUMMARY: Final = 255
MAX_TEXT: Final = 32_767
MAX_LABEL: Final = 255
_PRIORITIES: Final = {"1": "Highest", "2": "High", "3": "Medium", "4": "Low", "5": "Lowest"}
_ISSUE_TYPES: Final = {"10001": "Task", "10002": "Bug", "10003": "Story"}
_COMPONENTS: Final = {"10100": "Platform", "10101": "Website"}
_FIELDS: Final = {
    "summary": "Summary",
    "description": "Description",
    "issuetype": "Issue Type",
    "project": "Project",
    "priority": "Priority",
    "labels": "Labels",
    "duedate": "Due date",
    "components": "Components",
    "assignee": "Assignee",
}


class FieldErrors(Exception):
    """What Jira says to fields that it does not take: a message for each."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(", ".join(errors))
        self.errors = dict(errors)


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One status and the transition that leads to it. ``category`` is new, indeterminate or done."""

    id: str
    name: str
    transition: str
    category: str


WORKFLOW: Final = (
    Status(id="10000", name="Zu erledigen", transition="11", category="new"),
    Status(id="10001", name="In Arbeit", transition="21", category="indeterminate"),
    Status(id="10002", name="Fertig", transition="31", category="done"),
)
"""In German: names differ per site and language, categories do not."""


@dataclass(kw_only=True)
class Project:
    """One project. ``index_lag`` is the seconds until a search finds what was written.

    ``required_fields`` maps the ids of required custom fields to their names, ``optional_fields`` those of further
    custom fields; ``hidden_fields`` are not on the screen and cannot be set.
    """

    clock: Clock
    key: str = "SEC"
    id: str = "10000"
    name: str = "Security"
    index_lag: float = 0.0
    workflow: tuple[Status, ...] = WORKFLOW
    issue_types: dict[str, str] = field(default_factory=lambda: dict(_ISSUE_TYPES))
    priorities: dict[str, str] = field(default_factory=lambda: dict(_PRIORITIES))
    components: dict[str, str] = field(default_factory=lambda: dict(_COMPONENTS))
    required_fields: dict[str, str] = field(default_factory=dict)
    optional_fields: dict[str, str] = field(default_factory=dict)
    hidden_fields: set[str] = field(default_factory=set)
    issues: dict[str, dict[str, Any]] = field(default_factory=dict)
    former_keys: list[str] = field(default_factory=list)
    _findable: dict[str, dict[str, datetime]] = field(default_factory=dict)
    """label (or none at all) -> id -> since when the index has it"""
    _indexed: dict[str, set[str]] = field(default_factory=dict)
    """id -> the labels under which the index has it"""
    _count: int = 0

    def create(self, fields: Mapping[str, Any], *, rich: bool) -> dict[str, Any]:
        """A new issue; ``rich`` says that texts are documents (API v3). Raises FieldErrors."""
        errors = self._missing(fields) | self._problems(fields, rich=rich)
        if errors:
            raise FieldErrors(errors)
        self._count += 1
        now = self.clock()
        issue: dict[str, Any] = {
            "id": str(20_000 + self._count),
            "key": f"{self.key}-{self._count}",
            "fields": {**fields, "labels": list(fields.get("labels") or [])},
            "status": self.workflow[0],
            "comments": [],
            "transitions": [],
            "former_keys": [],
            "created": now,
            "updated": now,
        }
        self.issues[issue["key"]] = issue
        self._index(issue)
        return issue

    def edit(self, issue: dict[str, Any], body: Mapping[str, Any], *, rich: bool) -> None:
        """Set ``fields`` and apply the verbs of ``update``. Raises FieldErrors."""
        fields = dict(body.get("fields") or {})
        for name, verbs in (body.get("update") or {}).items():
            if name != "comment":
                fields[name] = _applied(issue["fields"].get(name), verbs)
        errors = self._problems(fields, rich=rich)
        if errors:
            raise FieldErrors(errors)
        issue["fields"].update(fields)
        issue["updated"] = self.clock()
        self._index(issue)
        for verb in (body.get("update") or {}).get("comment", []):
            self.comment(issue, verb["add"]["body"], rich=rich)

    def comment(self, issue: dict[str, Any], text: Any, *, rich: bool) -> dict[str, Any]:
        """A new comment. Raises FieldErrors."""
        wrong = _text_problem(text, rich=rich)
        if wrong is None and not plain(text).strip():
            wrong = "Comment body can not be empty!"
        if wrong:
            raise FieldErrors({"comment": wrong})
        comment = {
            "id": str(30_000 + len(issue["comments"]) + 100 * int(issue["id"])),
            "body": text,
            "at": self.clock(),
        }
        issue["comments"].append(comment)
        return comment

    def move(self, issue: dict[str, Any], transition: Any) -> bool:
        """Take the issue through the transition of that id; False where there is none."""
        for status in self.workflow:
            if status.transition == str(transition):
                issue["status"] = status
                issue["transitions"].append(status.transition)
                issue["updated"] = self.clock()
                return True
        return False

    def delete(self, issue: Mapping[str, Any]) -> None:
        del self.issues[issue["key"]]
        for label in self._indexed.pop(issue["id"]):
            del self._findable[label][issue["id"]]

    def rename(self, key: str) -> None:
        """Give the project another key, and its issues with it; the old keys go on leading there."""
        self.former_keys.append(self.key)
        for old in list(self.issues):
            if old.startswith(f"{self.key}-"):
                self.send_away(old, f"{key}-{old.rpartition('-')[2]}", told=False)
        self.key = key

    def send_away(self, old: str, new: str, *, told: bool = True) -> None:
        """Give an issue another key, as a move to another project does; the old one leads there, its history tells."""
        issue = self.issues.pop(old)
        issue["key"] = new
        issue["former_keys"].append((old, told))
        self.issues[new] = issue

    def get(self, wanted: str) -> dict[str, Any] | None:
        """The issue of that key, an earlier key or an id."""
        return self.issues.get(wanted) or next(
            (
                issue
                for issue in self.issues.values()
                if issue["id"] == wanted or wanted in [old for old, _ in issue["former_keys"]]
            ),
            None,
        )

    def find(self, query: Query, *, at_once: Iterable[str] = ()) -> list[dict[str, Any]]:
        """What the index knows; ids in ``at_once`` are looked up past it."""
        labels, now, fresh = query.values("labels"), self.clock(), set(at_once)
        by_id = {issue["id"]: issue for issue in self.issues.values()}
        ids = by_id if labels is None else dict.fromkeys(i for label in labels for i in self._findable.get(label, {}))
        found = []
        for issue in map(by_id.__getitem__, ids):
            seen = [self._findable.get(label, {}).get(issue["id"]) for label in (labels or [""])]
            indexed = any(since is not None and since <= now for since in seen)
            if (indexed or issue["id"] in fresh) and self._matches(issue, query):
                found.append(issue)
        return sorted(found, key=lambda issue: int(issue["id"]), reverse=query.newest_first)

    def by_label(self) -> dict[str, list[str]]:
        """The keys of the issues that bear each label, whatever the index knows."""
        found: dict[str, list[str]] = {}
        for key, issue in self.issues.items():
            for label in issue["fields"]["labels"]:
                found.setdefault(label, []).append(key)
        return found

    def known(self) -> dict[str, str]:
        """The ids and names of the fields that can be set."""
        every = _FIELDS | self.required_fields | self.optional_fields
        return {name: label for name, label in every.items() if name not in self.hidden_fields}

    def schema(self, name: str) -> dict[str, str]:
        """Of what type the field is."""
        types = {"labels": "array", "components": "array", "duedate": "date", "assignee": "user"}
        own = name in ("priority", "issuetype", "project")
        return {"type": name if own else types.get(name, "string")}

    def options(self, name: str) -> list[dict[str, str]] | None:
        """The values that the field takes; None where it takes any."""
        lists = {"priority": self.priorities, "issuetype": self.issue_types, "components": self.components}
        return [{"id": key, "name": label} for key, label in lists[name].items()] if name in lists else None

    def is_this(self, value: Any) -> bool:
        """Whether ``{"key": …}`` or ``{"id": …}`` names this project."""
        return isinstance(value, dict) and (self.is_called(value.get("key")) or value.get("id") == self.id)

    def is_called(self, name: object) -> bool:
        """Whether that is the project's key, or was."""
        return name == self.key or name in self.former_keys

    def has(self, issue: Mapping[str, Any]) -> bool:
        """Whether an issue stands in this project, and was not moved to another one."""
        return str(issue["key"]).startswith(f"{self.key}-")

    def _index(self, issue: Mapping[str, Any]) -> None:
        key, labels = issue["id"], {"", *issue["fields"]["labels"]}
        since = self.clock() + timedelta(seconds=self.index_lag)
        for label in self._indexed.get(key, set()) - labels:
            del self._findable[label][key]
        for label in labels:
            self._findable.setdefault(label, {}).setdefault(key, since)
        self._indexed[key] = labels

    def _matches(self, issue: Mapping[str, Any], query: Query) -> bool:
        kind = named(issue["fields"]["issuetype"], self.issue_types)
        facts = {
            "project": {self.key, *self.former_keys, self.id, self.name} if self.has(issue) else set(),
            "key": {issue["key"], issue["id"]},
            "issuetype": set(kind or ()),
        }
        facts["labels"] = set(issue["fields"]["labels"])
        return all(facts[name] & values for name, values in query.clauses)

    def _missing(self, fields: Mapping[str, Any]) -> dict[str, str]:
        errors = {name: f"{label} is required." for name, label in self.required_fields.items() if not fields.get(name)}
        if not self.is_this(fields.get("project")):
            errors["project"] = "Specify a valid project ID or key"
        if not named(fields.get("issuetype"), self.issue_types):
            errors["issuetype"] = "Specify a valid issue type"
        if not isinstance(fields.get("summary"), str) or not fields["summary"].strip():
            errors["summary"] = "You must specify a summary of the issue."
        return errors

    def _problems(self, fields: Mapping[str, Any], *, rich: bool) -> dict[str, str]:
        known = self.known()
        errors = {
            name: f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            for name in fields
            if name not in known
        }
        checks = {
            "summary": _summary_problem(fields.get("summary")),
            "description": _text_problem(fields.get("description"), rich=rich),
            "labels": _labels_problem(fields.get("labels")),
            "duedate": _date_problem(fields.get("duedate")),
            "priority": _name_problem("priority", [fields.get("priority")], self.priorities),
            "components": _name_problem("component", fields.get("components") or [], self.components),
        }
        return errors | {name: wrong for name, wrong in checks.items() if wrong and name in known}


def named(value: Any, names: Mapping[str, str]) -> tuple[str, str] | None:
    """The id and name that ``{"id": …}`` or ``{"name": …}`` means; None where there is none such."""
    if not isinstance(value, dict):
        return None
    for key, name in names.items():
        if value.get("id") == key or value.get("name") == name:
            return key, name
    return None


def plain(text: Any) -> str:
    """A text or a document as text."""
    return text if isinstance(text, str) else adf.to_text(text)


def _summary_problem(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    if "\n" in value or "\r" in value:
        return "The summary is invalid because it contains newline characters."
    return f"Summary must be less than {MAX_SUMMARY} characters." if len(value) > MAX_SUMMARY else None


def _text_problem(value: Any, *, rich: bool) -> str | None:
    if value is None:
        return None
    if not rich and not isinstance(value, str):
        return "Operation value must be a string"
    if rich and (not isinstance(value, dict) or adf.problem(value)):
        return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
    if len(plain(value)) > MAX_TEXT:
        return f"The entered text is too long. It exceeds the allowed limit of {MAX_TEXT:,} characters."
    return None


def _labels_problem(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(label, str) and label for label in value):
        return "data was not an array of strings"
    for label in value:
        if any(char.isspace() for char in label):
            return f"The label '{label}' contains spaces which is invalid."
        if len(label) > MAX_LABEL:
            return f"The label '{label}' exceeds the maximum length for a single label of {MAX_LABEL} characters."
    return None


def _date_problem(value: Any) -> str | None:
    if value is None:
        return None
    try:
        if len(value) == len("2026-01-31"):
            date.fromisoformat(value)
            return None
    except (TypeError, ValueError):
        pass
    return "Error parsing date string: specify a valid date in the format yyyy-MM-dd."


def _name_problem(what: str, values: Any, names: Mapping[str, str]) -> str | None:
    if not isinstance(values, list):
        return "data was not an array"
    for value in values:
        if value is not None and named(value, names) is None:
            shown = value.get("name", value.get("id")) if isinstance(value, dict) else value
            return f"The {what} '{shown}' is not valid."
    return None


def _applied(old: Any, verbs: Iterable[Mapping[str, Any]]) -> Any:
    for verb in verbs:
        for name, value in verb.items():
            if name == "set":
                old = value
            elif name == "add":
                old = [*(one for one in old or [] if one != value), value]
            elif name == "remove":
                old = [one for one in old or [] if one != value]
    return old
