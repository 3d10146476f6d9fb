"""What a Jira site tells of its project before an issue is written: who may do what, and what the fields take."""

from __future__ import annotations

from typing import Any, Final

from forwarder.sandbox import jira_view as view
from forwarder.sandbox.exchange import Reply
from forwarder.sandbox.jira_call import Call, window
from forwarder.sandbox.jira_workflow import RESOLUTIONS

_NO_PROJECT: Final = "No project could be found with key '{}'."
PERMISSIONS: Final = (
    "BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES", "DELETE_ISSUES",
    "SCHEDULE_ISSUES", "ASSIGN_ISSUES",
)  # fmt: skip


def permissions(call: Call) -> Reply:
    """Which of the permissions asked for the sender has; all of them are told where none is named."""
    asked = call.query.get("permissions")
    if call.cloud and not asked:
        return view.errors(400, "The 'permissions' query parameter is required.")
    key = call.query.get("projectKey")
    if key is not None and not call.sees(key):
        return view.errors(404, _NO_PROJECT.format(key))
    names = asked.split(",") if asked else list(PERMISSIONS)
    unknown = [name for name in names if name not in PERMISSIONS]
    if unknown:
        return view.errors(400, f"Unrecognized permission: {unknown[0]}")
    granted = set() if call.anonymous else call.permissions
    told = {name: {"key": name, "name": name.title(), "havePermission": name in granted} for name in names}
    return Reply.json({"permissions": told})


def every_field(call: Call) -> Reply:
    """The fields that can be set, whatever the issue type."""
    known = call.project.known()
    return Reply.json([{"id": name, "key": name, "name": label, "clauseNames": []} for name, label in known.items()])


def priorities(call: Call) -> Reply:
    """The priorities of the site."""
    return Reply.json(call.project.options("priority"))


def statuses(call: Call) -> Reply:
    """The statuses of the workflow."""
    return Reply.json([view.status(status) for status in call.project.workflow])


def resolutions(_call: Call) -> Reply:
    """The resolutions of the site."""
    return Reply.json([{"id": key, "name": name} for key, name in RESOLUTIONS.items()])


def project(call: Call) -> Reply:
    """The project that the path names, with its issue types."""
    if not call.sees(call.part[0]):
        return view.errors(404, _NO_PROJECT.format(call.part[0]))
    kinds = call.project.options("issuetype")
    return Reply.json({**view.project(call.project), "issueTypes": kinds, "self": call.origin})


def issue_types(call: Call) -> Reply:
    """A page of the project's issue types."""
    if not call.sees(call.part[0]):
        return view.errors(404, _NO_PROJECT.format(call.part[0]))
    subtasks = call.project.subtask_types
    kinds = [{**kind, "subtask": kind["id"] in subtasks} for kind in call.project.options("issuetype") or []]
    return _listed(call, "issueTypes", kinds)


def fields(call: Call) -> Reply:
    """A page of the fields of one issue type: which must be set, and what each takes."""
    if not call.sees(call.part[0]) or call.part[1] not in call.project.issue_types:
        return view.errors(404, "The issue type is not valid for this project.")
    needed = {"summary", "issuetype", "project", *call.project.required_fields}
    needed |= {"parent"} if call.part[1] in call.project.subtask_types else set()
    fields = []
    for name, label in call.project.known().items():
        options = call.project.options(name)
        told = {"fieldId": name, "key": name, "name": label, "required": name in needed, "operations": ["set"]}
        told |= {"hasDefaultValue": name == "priority", "schema": call.project.schema(name)}
        told |= {"allowedValues": options} if options else {}
        fields.append(told)
    return _listed(call, "fields", fields)


def _listed(call: Call, cloud_name: str, items: list[dict[str, Any]]) -> Reply:
    start, most = window(call.query)
    told = {"startAt": start, "maxResults": most, "total": len(items)}
    if call.cloud:
        return Reply.json({**told, cloud_name: items[start : start + most]})
    return Reply.json({**told, "isLast": start + most >= len(items), "values": items[start : start + most]})
