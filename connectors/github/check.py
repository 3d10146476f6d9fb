"""Whether GitHub would accept the issues as they are configured: what ``forwarder check --live`` shows for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from connectors.github.client import RIGHTS, Api, RequestFailed
from connectors.github.standing import issues_of, name_of
from forwarder.connector import Finding
from forwarder.ticket import LABEL

if TYPE_CHECKING:
    from connectors.github.config import GitHubConfig, GitHubOwner


def findings(api: Api, config: GitHubConfig, name: str) -> list[Finding]:
    """What works and what does not, up to the first thing that keeps the rest from being asked."""
    found: list[Finding] = []
    try:
        found += _account(api)
        found += _repository(api, config, name)
        found += _assignees(api, config, config.assignees, "assignees")
    except RequestFailed as failed:
        found.append(Finding(False, f"{failed.outcome.reason}."))
    return found


def owners_findings(api: Api, config: GitHubConfig, owners: Iterable[GitHubOwner]) -> list[Finding]:
    """Whom of ``owners`` no issue can be assigned to, or that it can be to all, in sentences."""
    names = dict.fromkeys(name for owner in owners for name in owner.assignees)
    try:
        problems = list(_assignees(api, config, names, "owners"))
    except RequestFailed as failed:
        return [Finding(False, f"Whether GitHub knows the owners cannot be told: {failed.outcome.reason}.")]
    return problems or [Finding(True, "Issues can be assigned to the owners.")]


def _account(api: Api) -> Iterator[Finding]:
    yield Finding(True, f"GitHub knows the account: {name_of(api.ask('GET', 'user')) or 'without a name'}.")


def _repository(api: Api, config: GitHubConfig, name: str) -> Iterator[Finding]:
    repository = api.ask("GET", f"repos/{quote(config.repository)}")
    said = repository if isinstance(repository, Mapping) else {}
    if said.get("archived"):
        yield Finding(False, f"{config.repository} is archived, so it takes no issues: choose another repository.")
    if said.get("has_issues") is False:
        yield Finding(False, f"Issues are disabled in {config.repository}: enable them in its settings.")
    rights = said.get("permissions")
    if isinstance(rights, Mapping) and rights.get("push") is False:
        text = f"The account may not set labels in {config.repository}, by which issues are found again: give it the "
        yield Finding(False, f"{text}role Write there.")
    next(api.pages(issues_of(config.repository), {"labels": LABEL, "state": "all", "per_page": 1}), None)
    text = f"The issues of {config.repository} can be read. Whether the token may open one ({RIGHTS}), "
    yield Finding(True, f"{text}`forwarder test {name}` shows.")


def _assignees(api: Api, config: GitHubConfig, names: Iterable[str], key: str) -> Iterator[Finding]:
    for name in names:
        try:
            api.ask("GET", f"repos/{quote(config.repository)}/assignees/{quote(name)}")
        except RequestFailed as failed:
            if failed.status != 404:
                raise
            text = f"No issue of {config.repository} can be assigned to {name}: give them access, or correct {key}."
            yield Finding(False, text)
