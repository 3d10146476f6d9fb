"""Whether Jira would accept the tickets as they are configured: what ``forwarder check --live`` shows for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from connectors.jira.client import RequestFailed, Site, dig
from connectors.jira.history import EXPAND
from connectors.jira.home import no_project
from connectors.jira.query import changed_in, tickets, with_or_without_labels
from connectors.jira.standing import FIELDS
from forwarder.alert import Severity
from forwarder.connector import Finding, clean, cut, one_line

if TYPE_CHECKING:
    from connectors.jira.config import JiraConfig

_PERMISSIONS: Final = {
    "BROWSE_PROJECTS": "Browse Projects",
    "CREATE_ISSUES": "Create Issues",
    "ADD_COMMENTS": "Add Comments",
    "TRANSITION_ISSUES": "Transition Issues",
}
"""https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permission-schemes/#built-in-permissions"""

_ALWAYS_FILLED: Final = frozenset({"project", "issuetype", "summary", "description", "reporter"})
"""Fields that a ticket always has: the reporter is the account where none is given."""

_REQUEST_TYPE: Final = "com.atlassian.servicedesk:vp-origin"
"""What kind of field says as what a service project's ticket was asked for."""


def findings(site: Site, config: JiraConfig) -> list[Finding]:
    """What works and what does not, up to the first thing that keeps the rest from being asked."""
    return list(_findings(site, config))


def _findings(site: Site, config: JiraConfig) -> Iterator[Finding]:
    try:
        yield from _account(site)
        project = _project_of(site, config)
        yield from _project(site, config, project)
        yield from _issue_type(site, config, project)
        yield from _changes(site, config)
    except RequestFailed as failed:
        yield Finding(False, f"{failed.outcome.reason}.")
    except _Ends as end:
        yield Finding(False, str(end))


class _Ends(Exception):
    """Something is missing without which the rest cannot be asked. The message is a finding."""


def _account(site: Site) -> Iterator[Finding]:
    name = _name(site.ask("GET", "myself"), "displayName")
    yield Finding(True, f"Jira knows the account: {name}.")


def _project_of(site: Site, config: JiraConfig) -> Mapping[str, Any]:
    try:
        return site.ask("GET", f"project/{quote(config.project)}")
    except RequestFailed as failed:
        if failed.status == 404:
            raise _Ends(f"{no_project(config.project)}.") from None
        raise


def _project(site: Site, config: JiraConfig, project: Mapping[str, Any]) -> Iterator[Finding]:
    key = config.project
    yield Finding(True, f"The project {key} exists: {_name(project, 'name')}.")
    rising = {"EDIT_ISSUES": "Edit Issues"} if config.priority or config.due_in else {}
    rising |= {"SCHEDULE_ISSUES": "Schedule Issues"} if config.due_in else {}
    query = {"projectKey": key, "permissions": ",".join([*_PERMISSIONS, *rising])}
    granted = site.ask("GET", "mypermissions", params=query)
    for permission, label in (_PERMISSIONS | rising).items():
        if dig(granted, "permissions", permission, "havePermission") is False:
            without = "" if permission in _PERMISSIONS else ", or nothing is raised when a severity rises"
            text = f"The account lacks the permission {label} in {key}: grant it in the project{without}."
            yield Finding(False, text)


def _changes(site: Site, config: JiraConfig) -> Iterator[Finding]:
    """Asks as the looks at what people do ask."""
    by_text = config.identity == "text"

    def ask(by_label: bool) -> Iterator[Mapping[str, Any]]:
        return tickets(site, changed_in(1, by_text=by_text, by_label=by_label), fields=FIELDS, expand=EXPAND)

    if by_text:
        with_or_without_labels(ask)
    else:
        next(ask(True), None)
    yield Finding(True, "What people do with tickets can be read.")


def _issue_type(site: Site, config: JiraConfig, project: Mapping[str, Any]) -> Iterator[Finding]:
    types = site.pages(f"issue/createmeta/{quote(config.project)}/issuetypes", "issueTypes", "values")
    wanted = next((one for one in types if one.get("name") == config.issue_type), None)
    if wanted is None:
        offered = ", ".join(_name(one, "name") for one in types if not one.get("subtask")) or "none"
        raise _Ends(
            f"{config.project} has no issue type {config.issue_type}: set issue_type to one of {cut(offered, 300)}."
        )
    if wanted.get("subtask"):
        _check_parent(site, config)
    path = f"issue/createmeta/{quote(config.project)}/issuetypes/{quote(str(wanted.get('id')), safe='')}"
    fields = {_id(field): field for field in site.pages(path, "fields", "values")}
    problems = [*_missing(fields, config), *_unknown(fields, config, _place_of(project))]
    problems += [*_priorities(fields, config), *_values(fields, config)]
    yield from _request_type(fields, config)
    yield from problems or [Finding(True, f"Tickets of type {config.issue_type} can be created as configured.")]


def _missing(fields: Mapping[str, Mapping[str, Any]], config: JiraConfig) -> Iterator[Finding]:
    filled = _ALWAYS_FILLED | config.fields.keys()
    filled |= {"labels"} if config.labels or config.identity == "label" else set()
    filled |= {"priority"} if len(config.priority) == len(Severity) else set()
    filled |= {"duedate"} if len(config.due_in) == len(Severity) else set()
    for field_id, field in fields.items():
        if field.get("required") and not field.get("hasDefaultValue") and field_id not in filled:
            way = "set labels" if field_id == "labels" else f"add {field_id} under fields"
            yield Finding(False, f'Jira requires "{_name(field, "name")}" in every ticket: {way}.')


def _unknown(fields: Mapping[str, Mapping[str, Any]], config: JiraConfig, place: str) -> Iterator[Finding]:
    kind = f"{config.issue_type} in {config.project}"
    yield from _identity(fields, config, f"cannot be set on a new {kind}", place)
    used = {name: f"fields.{name}" for name in config.fields}
    used |= {"labels": "labels"} if config.labels and config.identity == "text" else {}
    used |= {"duedate": "due_in"} if config.due_in else {}
    used |= {"priority": "priority"} if config.priority else {}
    for field_id, key in used.items():
        if field_id not in fields:
            text = f"{field_id} cannot be set on a new {kind}: add it to {place}, or leave {key} out."
            yield Finding(False, text)


def _identity(
    fields: Mapping[str, Mapping[str, Any]], config: JiraConfig, cannot: str, place: str
) -> Iterator[Finding]:
    """What is missing by which a ticket is found again, and whether it can be found otherwise."""
    if config.identity == "label" and "labels" not in fields:
        way = "set identity: text, or " if "description" in fields else ""
        text = f"labels {cannot}, and by a label its ticket is found again: {way}add it to {place}."
        yield Finding(False, text)
    if "description" in fields:
        return
    if config.identity == "label":
        yield Finding(False, f"description {cannot}: add it to {place}.")
        return
    way = "set identity: label, or " if "labels" in fields else ""
    text = f"description {cannot}, and by a line of it its ticket is found again: {way}add it to {place}."
    yield Finding(False, text)


def _place_of(project: Mapping[str, Any]) -> str:
    """Where fields are added to new tickets of the project."""
    if project.get("simplified") is True or project.get("style") == "next-gen":
        return "the fields of that type in the project's settings"
    return "the create screen"


def _check_parent(site: Site, config: JiraConfig) -> None:
    """Raises where the sub-tasks that are to be created have no parent to stand below."""
    kind, parent = config.issue_type, config.fields.get("parent")
    key = dig(parent, "key") or dig(parent, "id")
    if not key:
        raise _Ends(
            f"{kind} is a type of sub-tasks, which need a parent: set fields.parent to {{key: {config.project}-1}} or "
            "the like, or choose another issue_type."
        )
    try:
        issue = site.ask("GET", f"issue/{quote(str(key), safe='')}", params={"fields": "issuetype"})
    except RequestFailed as failed:
        if failed.status == 404:
            raise _Ends(f"Jira has no ticket {key} that the account may see: correct fields.parent.") from None
        raise
    if dig(issue, "fields", "issuetype", "subtask"):
        raise _Ends(f"{key} is a sub-task itself, and no parent for others: correct fields.parent.")


def _request_type(fields: Mapping[str, Mapping[str, Any]], config: JiraConfig) -> Iterator[Finding]:
    """That tickets of a service project can be had without a request type, and what that means."""
    for field_id, field in fields.items():
        if dig(field, "schema", "custom") == _REQUEST_TYPE and field_id not in config.fields:
            text = f"{config.project} is a service project: tickets without a request type show to its agents alone"
            yield Finding(True, f"{text}. To give them one, set fields.{field_id}.")


def _priorities(fields: Mapping[str, Mapping[str, Any]], config: JiraConfig) -> Iterator[Finding]:
    allowed = dig(fields, "priority", "allowedValues")
    names = [str(dig(value, "name")) for value in allowed] if isinstance(allowed, list) else []
    for severity, name in config.priority.items():
        if names and name not in names:
            text = f"Jira has no priority {name}: set priority.{severity} to one of {', '.join(names)}."
            yield Finding(False, text)


def _values(fields: Mapping[str, Mapping[str, Any]], config: JiraConfig) -> Iterator[Finding]:
    """What is set under ``fields`` to a value that Jira does not offer there."""
    for field_id, value in config.fields.items():
        offered = dig(fields, field_id, "allowedValues")
        if not isinstance(offered, list) or not offered:
            continue
        for one in value if isinstance(value, list) else [value]:
            by = next((by for by in ("id", "name", "value") if isinstance(one, Mapping) and by in one), None)
            known = [str(dig(option, by)) for option in offered if by and dig(option, by) is not None]
            if by and known and str(one[by]) not in known:
                among = cut(", ".join(known), 300)
                text = f"Jira has no {one[by]} for {field_id}: set fields.{field_id} to one of {among}."
                yield Finding(False, text)


def _id(field: Mapping[str, Any]) -> str:
    return str(field.get("fieldId") or field.get("key") or "")


def _name(thing: Mapping[str, Any], field: str) -> str:
    return cut(one_line(clean(str(thing.get(field) or "without a name"))), 100)
