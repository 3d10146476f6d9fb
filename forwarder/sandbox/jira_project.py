"""The Jira project of the sandbox: its issues, and an index that lags behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta, tzinfo
from typing import Any, Final

from forwarder.sandbox import jira_fields, jira_search, jira_workflow
from forwarder.sandbox.jira_accounts import BOT, Accounts
from forwarder.sandbox.jira_fields import FieldErrors, named, plain
from forwarder.sandbox.jira_index import Index
from forwarder.sandbox.jira_workflow import RESOLUTIONS, WORKFLOW, Status
from forwarder.sandbox.jql import Query
from forwarder.sandbox.limits import Clock

_PRIORITIES: Final = {"1": "Highest", "2": "High", "3": "Medium", "4": "Low", "5": "Lowest"}
_ISSUE_TYPES: Final = {"10001": "Task", "10002": "Bug", "10003": "Story"}
_COMPONENTS: Final = {"10100": "Platform", "10101": "Website"}
REQUEST_TYPE: Final = "customfield_10010"
"""Of a service project: by what a customer asked, such as ``sec/report-an-incident``."""

_NO_TYPE_OF_THE_TEAM: Final = "The issue type selected is invalid."
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


@dataclass(kw_only=True)
class Project:
    """One project. ``index_lag`` is the seconds until a search finds what was written, and what was changed.

    ``zone`` is the time zone of the account that searches. ``resolves`` is whether a step to done sets a resolution;
    a step from there takes it away.

    ``required_fields`` maps the ids of required custom fields to their names, ``optional_fields`` those of further
    custom fields; ``hidden_fields`` are not on the screen and cannot be set, ``absent_fields`` are nowhere on the site:
    no query may name them either. ``subtask_types`` are the ids of those issue types that need a parent.

    ``kind`` is what Jira calls the project's type; a ``team_managed`` one is configured by its team, without screens.
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
    absent_fields: set[str] = field(default_factory=set)
    subtask_types: set[str] = field(default_factory=set)
    kind: str = "software"
    team_managed: bool = False
    issues: dict[str, dict[str, Any]] = field(default_factory=dict)
    former_keys: list[str] = field(default_factory=list)
    accounts: Accounts = field(default_factory=Accounts)
    zone: tzinfo = UTC
    resolves: bool = True
    _index: Index = field(default_factory=Index)
    _count: int = 0

    @property
    def fuzzy(self) -> bool:
        """Whether a search of texts finds words that only begin like those that were asked for."""
        return self._index.fuzzy

    @fuzzy.setter
    def fuzzy(self, near: bool) -> None:
        self._index.fuzzy = near

    def create(self, fields: Mapping[str, Any], *, rich: bool, by: str = BOT) -> dict[str, Any]:
        """A new issue; ``rich`` says that texts are documents (API v3). Raises FieldErrors."""
        errors = self._missing(fields) | self._problems(fields, rich=rich)
        if errors:
            raise FieldErrors(errors)
        return self._add(fields, by=by)

    def _add(self, fields: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        self._count += 1
        now = self.clock()
        issue: dict[str, Any] = {
            "id": str(20_000 + self._count),
            "key": f"{self.key}-{self._count}",
            "fields": {**fields, "labels": list(fields.get("labels") or [])},
            "creator": by,
            "status": self.workflow[0],
            "comments": [],
            "transitions": [],
            "former_keys": [],
            "history": [],
            "resolution": None,
            "resolved": None,
            "created": now,
            "updated": now,
        }
        self.issues[issue["key"]] = issue
        self._note(issue)
        return issue

    def clone(self, issue: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """A copy of an issue, as people make it: with what its fields hold, under another summary."""
        fields = {**issue["fields"], "summary": f"CLONE - {issue['fields']['summary']}"[: jira_fields.MAX_SUMMARY]}
        return self._add(fields, by=by)

    def edit(self, issue: dict[str, Any], body: Mapping[str, Any], *, rich: bool, by: str = BOT) -> None:
        """Set ``fields`` and apply the verbs of ``update``. Raises FieldErrors."""
        fields = dict(body.get("fields") or {})
        for name, verbs in (body.get("update") or {}).items():
            if name != "comment":
                fields[name] = jira_fields.applied(issue["fields"].get(name), verbs)
        errors = self._problems(fields, rich=rich)
        if errors:
            raise FieldErrors(errors)
        old = issue["fields"]
        items = [_item(name, old.get(name), value) for name, value in fields.items() if old.get(name) != value]
        old.update(fields)
        self._changed(issue, items, by)
        for verb in (body.get("update") or {}).get("comment", []):
            self.comment(issue, verb["add"]["body"], rich=rich, by=by)

    def comment(self, issue: dict[str, Any], text: Any, *, rich: bool, by: str = BOT) -> dict[str, Any]:
        """A new comment. Raises FieldErrors."""
        wrong = jira_fields.text_problem(text, rich=rich)
        if wrong is None and not plain(text).strip():
            wrong = "Comment body can not be empty!"
        if wrong:
            raise FieldErrors({"comment": wrong})
        comment = {
            "id": str(30_000 + len(issue["comments"]) + 100 * int(issue["id"])),
            "body": text,
            "at": self.clock(),
            "by": by,
        }
        issue["comments"].append(comment)
        self._changed(issue, [], by)
        return comment

    def ways(self, issue: Mapping[str, Any]) -> list[Status]:
        """The statuses to which a transition leads from where the issue is."""
        return [status for status in self.workflow if status.is_reached_from(issue["status"])]

    def move(
        self, issue: dict[str, Any], transition: object, fields: Mapping[str, Any] | None = None, *, by: str = BOT
    ) -> None:
        """Take the issue through the transition of that id. Raises IllegalMove and FieldErrors."""
        status = jira_workflow.step(self.workflow, issue["status"], transition, issue["key"])
        errors = jira_workflow.field_errors(status, fields or {})
        if errors:
            raise FieldErrors(errors)
        old = issue["status"]
        items = [_item("status", {"id": old.id, "name": old.name}, {"id": status.id, "name": status.name})]
        resolution = self._resolution(issue, status, fields or {})
        if resolution != issue["resolution"]:
            items.append(_item("resolution", _named(issue["resolution"]), _named(resolution)))
            issue["resolution"], issue["resolved"] = resolution, self.clock() if resolution else None
        issue["status"] = status
        issue["transitions"].append(status.transition)
        self._changed(issue, items, by)

    def delete(self, issue: Mapping[str, Any]) -> None:
        del self.issues[issue["key"]]
        self._index.forget(issue["id"])

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
        if told:
            self._changed(issue, [{"field": "Key", "fieldtype": "jira", "fromString": old, "toString": new}], BOT)

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
        """What the index knows; ids in ``at_once`` are looked up past it. Raises JqlError."""
        return jira_search.find(self, self._index, query, at_once=at_once)

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
        every |= {REQUEST_TYPE: "Request Type"} if self.kind == "service_desk" else {}
        every |= {"parent": "Parent"} if self.subtask_types or self.team_managed else {}
        gone = self.hidden_fields | self.absent_fields
        return {name: label for name, label in every.items() if name not in gone}

    def schema(self, name: str) -> dict[str, str]:
        """Of what type the field is."""
        if self.kind == "service_desk" and name == REQUEST_TYPE:
            return {"type": "sd-customerrequesttype", "custom": "com.atlassian.servicedesk:vp-origin"}
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

    def _changed(self, issue: dict[str, Any], items: list[dict[str, Any]], by: str) -> None:
        """Stamp the issue, tell the index, and keep in its history what was changed, if anything was."""
        issue["updated"] = self.clock()
        if items:
            number = str(40_000 + 100 * int(issue["id"]) + len(issue["history"]))
            issue["history"].append({"id": number, "by": by, "at": issue["updated"], "items": items})
        self._note(issue)

    def _note(self, issue: Mapping[str, Any]) -> None:
        self._index.note(issue, self.clock() + timedelta(seconds=self.index_lag))

    def _resolution(self, issue: Mapping[str, Any], status: Status, fields: Mapping[str, Any]) -> Any:
        if "resolution" in fields:
            return jira_workflow.resolution(fields["resolution"])
        if status.category != "done":
            return None if self.resolves else issue["resolution"]
        return issue["resolution"] or (next(iter(RESOLUTIONS.items())) if self.resolves else None)

    def _missing(self, fields: Mapping[str, Any]) -> dict[str, str]:
        errors = {name: f"{label} is required." for name, label in self.required_fields.items() if not fields.get(name)}
        if not self.is_this(fields.get("project")):
            errors["project"] = "Specify a valid project ID or key"
        kind = named(fields.get("issuetype"), self.issue_types)
        if kind is None:
            errors["issuetype"] = _NO_TYPE_OF_THE_TEAM if self.team_managed else "Specify a valid issue type"
        elif kind[0] in self.subtask_types and not fields.get("parent"):
            errors["issuetype"] = "Issue type is a sub-task but parent issue key or id not specified."
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
            "summary": jira_fields.summary_problem(fields.get("summary")),
            "description": jira_fields.text_problem(fields.get("description"), rich=rich),
            "labels": jira_fields.labels_problem(fields.get("labels")),
            "duedate": jira_fields.date_problem(fields.get("duedate")),
            "priority": jira_fields.name_problem("priority", [fields.get("priority")], self.priorities),
            "components": jira_fields.name_problem("component", fields.get("components") or [], self.components),
            "assignee": self._assignee_problem(fields.get("assignee")),
            "parent": self._parent_problem(fields.get("parent")),
        }
        return errors | {name: wrong for name, wrong in checks.items() if wrong and name in known}

    def _parent_problem(self, value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            return "data was not an object"
        found = self.get(str(value.get("key") or value.get("id")))
        if found is None:
            return "Could not find issue by id or key."
        kind = named(found["fields"]["issuetype"], self.issue_types)
        if kind and kind[0] in self.subtask_types:
            return "Given parent work item does not belong to appropriate hierarchy."
        return None

    def _assignee_problem(self, value: Any) -> str | None:
        given = [one for one in value.values() if one] if isinstance(value, dict) else [value] if value else []
        if not given or self.accounts.meant(value):
            return None
        return f"User '{given[0]}' does not exist."


def _item(name: str, old: Any, new: Any) -> dict[str, Any]:
    """One line of a history."""
    (old_id, old_name), (new_id, new_name) = _told(old), _told(new)
    about = {"field": name, "fieldtype": "jira", "fieldId": name}
    return {**about, "from": old_id, "fromString": old_name, "to": new_id, "toString": new_name}


def _told(value: Any) -> tuple[str | None, str | None]:
    """The id and the text by which a history names a value."""
    if value is None:
        return None, None
    if isinstance(value, dict) and value.get("type") != "doc":
        told = value.get("displayName") or value.get("name")
        return value.get("accountId") or value.get("id") or value.get("name"), told or value.get("id")
    if isinstance(value, list):
        return None, " ".join(str(_told(one)[1]) for one in value)
    return None, plain(value)


def _named(pair: tuple[str, str] | None) -> dict[str, str] | None:
    return pair and {"id": pair[0], "name": pair[1]}
