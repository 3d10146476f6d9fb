"""What a search of the sandbox's Jira finds: what its index knows, and not what was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from forwarder.sandbox.jira_accounts import BOT
from forwarder.sandbox.jira_fields import named
from forwarder.sandbox.jira_index import TEXT, Index
from forwarder.sandbox.jira_workflow import CATEGORIES
from forwarder.sandbox.jql import Condition, Contains, Either, Every, JqlError, Moment, OneOf, Query, unknown
from forwarder.sandbox.text_search import Asked, TextError, asked

if TYPE_CHECKING:
    from forwarder.sandbox.jira_project import Project

_AT_ONCE: Final = datetime.max.replace(tzinfo=UTC)
_LOWER: Final = frozenset({"status", "statuscategory"})


def find(project: Project, index: Index, query: Query, *, at_once: Iterable[str] = ()) -> list[dict[str, Any]]:
    """What the index knows; ids in ``at_once`` are looked up past it. Raises JqlError."""
    texts = _checked(project, query)
    fresh, now = set(at_once), project.clock()
    by_id = {issue["id"]: issue for issue in project.issues.values()}
    found = []
    for issue in map(by_id.__getitem__, index.ids(query.values("labels"))):
        known_at = _AT_ONCE if issue["id"] in fresh else now
        stamp = index.stamp(issue["id"], known_at)
        if stamp is None:
            continue
        seen = {**issue, "updated": stamp[0], "status": stamp[1]}
        look = _Look(project=project, index=index, issue=seen, known_at=known_at, now=now, texts=texts)
        if look.holds(query.where):
            found.append((seen, issue))
    for name, descending in reversed(query.order):
        found.sort(key=lambda pair: _rank(pair[0], name), reverse=descending)
    return [issue for _, issue in found]


def _checked(project: Project, query: Query) -> Mapping[str, Asked]:
    """What each text query asks for; raises JqlError for fields and values that there are none of."""
    known = {
        "status": {name.lower() for status in project.workflow for name in (status.id, status.name)},
        "statuscategory": {str(name).lower() for key, names in CATEGORIES.items() for name in (key, *names)},
    }
    texts: dict[str, Asked] = {}
    for leaf in query.leaves:
        if leaf.field in project.absent_fields:
            raise unknown(leaf.field)
        if isinstance(leaf, Contains):
            try:
                texts[leaf.text] = asked(leaf.text)
            except TextError as wrong:
                raise JqlError(str(wrong).format(field=leaf.field)) from None
        if isinstance(leaf, OneOf) and leaf.field in known:
            for value in leaf.values:
                if value.lower() not in known[leaf.field]:
                    raise JqlError(f"The value '{value}' does not exist for the field '{leaf.field}'.")
    return texts


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """One issue as a search sees it."""

    project: Project
    index: Index
    issue: Mapping[str, Any]
    known_at: datetime
    now: datetime
    texts: Mapping[str, Asked]

    def holds(self, condition: Condition) -> bool:
        match condition:
            case Every(parts=parts):
                return all(map(self.holds, parts))
            case Either(parts=parts):
                return any(map(self.holds, parts))
            case Moment():
                return condition.holds(self.issue[condition.field], zone=self.project.zone, now=self.now)
            case Contains(field=name, text=text):
                # A field that nobody sees is not among the texts either.
                if name == TEXT and "description" in self.project.absent_fields:
                    name = "summary"
                return self.index.says(self.issue["id"], name, self.texts[text], self.known_at)
            case OneOf(field=name, values=values, excluded=excluded):
                wanted = {value.lower() for value in values} if name in _LOWER else values
                return bool(self._facts(name) & wanted) is not excluded

    def _facts(self, name: str) -> set[str]:
        issue, project = self.issue, self.project
        match name:
            case "project":
                return {project.key, *project.former_keys, project.id, project.name} if project.has(issue) else set()
            case "key":
                return {issue["key"], issue["id"]}
            case "issuetype":
                return set(named(issue["fields"]["issuetype"], project.issue_types) or ())
            case "labels":
                return self.index.labels(issue["id"], self.known_at) - {""}
            case "creator":
                account = project.accounts.named(issue["creator"])
                return {account.id, account.name, *(["currentUser()"] if issue["creator"] == BOT else [])}
            case "status":
                return {issue["status"].id, issue["status"].name.lower()}
            case _:
                category = issue["status"].category
                return {str(one).lower() for one in (category, *CATEGORIES[category])}


def _rank(issue: Mapping[str, Any], name: str) -> Any:
    """By what issues are sorted; where it is the same, by their age."""
    number = int(issue["id"])
    return (issue[name], number) if name in ("updated", "created") else (number,)
