"""Whose a ticket is: what the config's owners put into it, and whether Jira would take that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from connectors.jira.client import RequestFailed, Site, dig
from forwarder.connector import Delivery, Finding, clean, cut, one_line

if TYPE_CHECKING:
    from connectors.jira.config import JiraConfig, JiraOwner


def owned(delivery: Delivery, fields: Mapping[str, Any], *, cloud: bool) -> dict[str, Any]:
    """``components`` and ``assignee`` of a new ticket: all components of all its owners, and the first assignee.

    ``fields`` are those that every ticket gets: their components stay.
    """
    found: dict[str, Any] = {}
    owners: list[Any] = [owner for owner in delivery.owners if hasattr(owner, "assignee")]
    names = dict.fromkeys(component.name for owner in owners for component in owner.components)
    if names:
        always = fields.get("components") if isinstance(fields.get("components"), list) else []
        mine = [{"name": name} for name in names]
        found["components"] = [*(always or []), *(one for one in mine if one not in (always or []))]
    if assignee := next((owner.assignee for owner in owners if owner.assignee), None):
        found["assignee"] = {"accountId" if cloud else "name": assignee}
    return found


def brought(delivery: Delivery, fields: Mapping[str, Any], always: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``fields`` the owners brought in, and not the config for every ticket."""
    names = owned(delivery, {}, cloud=True).keys() & fields.keys()
    return {name: fields[name] for name in names if fields[name] != always.get(name)}


def without(refused: Collection[str], fields: Mapping[str, Any], always: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` less those that were ``refused``; what every ticket gets of them stays, unless that was refused."""
    kept = {name: value for name, value in fields.items() if name not in refused}
    return kept | {name: always[name] for name in refused if name in always and always[name] != fields[name]}


def owners_findings(site: Site, config: JiraConfig, owners: Sequence[JiraOwner]) -> list[Finding]:
    """What of ``owners`` Jira would not take, or that it would take all, in sentences."""
    try:
        problems = [*_components(site, config, owners), *_assignees(site, config, owners)]
    except RequestFailed as failed:
        return [Finding(False, f"Whether Jira knows the owners cannot be told: {failed.outcome.reason}.")]
    return problems or [Finding(True, "Jira knows the owners' components and assignees.")]


def _components(site: Site, config: JiraConfig, owners: Sequence[JiraOwner]) -> Iterator[Finding]:
    wanted = dict.fromkeys(component.name for owner in owners for component in owner.components)
    if not wanted:
        return
    offered = dig(_create_fields(site, config), "components", "allowedValues")
    known = [str(dig(value, "name")) for value in offered] if isinstance(offered, list) else []
    for name in wanted:
        if name not in known:
            among = cut(", ".join(known), 300) or "none"
            yield Finding(
                False,
                f"{config.project} offers no component {name} for a new {config.issue_type}: add it there, or set the "
                f"owner's components to some of {among}.",
            )


def _assignees(site: Site, config: JiraConfig, owners: Sequence[JiraOwner]) -> Iterator[Finding]:
    wanted = dict.fromkeys(owner.assignee for owner in owners if owner.assignee)
    if not wanted:
        return
    query = {"projectKey": config.project, "permissions": "ASSIGN_ISSUES"}
    granted = site.ask("GET", "mypermissions", params=query)
    if dig(granted, "permissions", "ASSIGN_ISSUES", "havePermission") is False:
        text = f"The account lacks the permission Assign Issues in {config.project}: grant it in the project, or no "
        yield Finding(False, f"{text}ticket is assigned to its owner.")
    for assignee in wanted:
        yield from _assignee(site, assignee)


def _assignee(site: Site, assignee: str) -> Iterator[Finding]:
    try:
        user = site.ask("GET", "user", params={"accountId" if site.cloud else "username": assignee})
    except RequestFailed as failed:
        if failed.status in {400, 404}:
            form = "an account id, as it stands in the address of the person's profile" if site.cloud else "a user name"
            yield Finding(False, f"Jira knows no {assignee}, who is an owner: write {form}.")
        elif failed.status != 403:  # not everybody may look at people, and tickets can be assigned all the same
            raise
        return
    if user.get("active") is False:
        name = cut(one_line(clean(str(user.get("displayName") or assignee))), 100)
        yield Finding(False, f"{name}, who is an owner, has left Jira: name somebody else.")


def _create_fields(site: Site, config: JiraConfig) -> dict[str, Mapping[str, Any]]:
    types = site.pages(f"issue/createmeta/{quote(config.project)}/issuetypes", "issueTypes", "values")
    wanted = next((str(one.get("id")) for one in types if one.get("name") == config.issue_type), "")
    path = f"issue/createmeta/{quote(config.project)}/issuetypes/{quote(wanted, safe='')}"
    fields = site.pages(path, "fields", "values") if wanted else []
    return {str(field.get("fieldId") or field.get("key") or ""): field for field in fields}
