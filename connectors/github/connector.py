"""GitHub: an issue for every alert, on github.com and on GitHub Enterprise Server.

GitHub knows no idempotency key. Every issue carries a label made of the alert's id, and the list of the issues with it
is read before one is opened; where that fails, none is. The list knows of an issue at once, as GitHub's search does
not. People own an issue once it is there: what changes is added in comments, and nothing that they may have edited is
written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final
from urllib.parse import quote

from connectors.github import issue
from connectors.github.check import findings, owners_findings
from connectors.github.client import Api, RequestFailed
from connectors.github.config import GitHubConfig, GitHubOwner
from connectors.github.labels import Labels
from connectors.github.markdown import hidden, plain
from connectors.github.setup import SETUP
from connectors.github.standing import Place, is_locked, issues_of, move, name_of
from connectors.github.watch import Watch
from forwarder.connector import (
    NOTICE,
    Connector,
    ConnectorConfig,
    Delivered,
    Delivery,
    Failed,
    Finding,
    Kind,
    Look,
    Memory,
    Outcome,
    Payload,
    RateLimited,
    Receipt,
    Rejected,
    Resolution,
    Retry,
    Texts,
    Uncertain,
)
from forwarder.places import Places
from forwarder.ticket import is_open_again, marker, why_silent

_GONE: Final = frozenset({404, 410})
_ASSIGNEES: Final = frozenset({"assignees", "assignee"})
_SKEW: Final = timedelta(minutes=5)
"""How far GitHub's clock and ours may be apart, where nothing is known of it yet."""

_DONE: Final = "completed"
_NOT_PLANNED: Final = "not_planned"
_REOPENED: Final = "reopened"
"""GitHub's ``state_reason``: https://docs.github.com/en/rest/issues/issues#update-an-issue"""


class GitHub(Connector[GitHubConfig]):
    """Opens an issue for an alert, comments on what becomes of it, and closes it when the alert is taken back."""

    Config: ClassVar[type[ConnectorConfig]] = GitHubConfig
    noun = ("issue", "issues")
    replayed = "are found by their label, and no second issue is opened"
    withdrawn = "its issue is closed"
    setup = SETUP
    Owner = GitHubOwner
    wants_evidence = True
    tells_responses = True

    def __init__(
        self,
        name: str,
        config: GitHubConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._places = Places(config.repository, now, key="repository")
        self.reconcile_after = tuple(after.total_seconds() for after in config.reconcile_after)
        self.look_every = config.sync_every.total_seconds()
        self._api = Api(config, now)
        self._labels = Labels(self._api, config)
        self._watch = Watch(self._api, config.repository)

    def remember(self, memory: Memory) -> None:
        """Notes which repositories the config named before."""
        super().remember(memory)
        self._places.remember(memory)

    def render(self, delivery: Delivery) -> Payload:
        """``issue`` is the one to open, ``comment`` is for the one that is there; both where either may be.

        Nothing at all where nothing is to be said.
        """
        payload: dict[str, Any] = {}
        if delivery.kind is not Kind.OPEN and not why_silent(delivery, self.config):
            payload["comment"] = issue.comment(delivery, self.texts)
        if delivery.kind is Kind.OPEN or (delivery.kind is Kind.UPDATE and Place.of(delivery.receipt) is None):
            payload["issue"] = issue.new_issue(delivery, self.config, self.texts)
        return payload

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Opens the issue unless it is there, or comments on it; a withdrawal closes it first.

        So does a resolution with ``on_resolve: close``; what reopens the alert opens it again. The comment is always
        the last request: where one before it fails, the whole can be repeated.
        """
        if not payload:
            return Delivered(delivery.receipt or Receipt(remote_id=""), note=why_silent(delivery, self.config))
        try:
            place = self._standing(delivery)
            if place is None and "issue" not in payload:
                what = "close" if delivery.kind is Kind.WITHDRAW else "comment on"
                return Delivered(Receipt(remote_id=""), note=f"there is no issue to {what}")
            if place is None:
                return self._open(payload["issue"])
            if delivery.kind is Kind.OPEN:
                return Delivered(self._receipt(place), note="the issue was there already")
            return self._follow_up(delivery, place, payload["comment"])
        except Failed as failed:
            return failed.outcome

    def find(self, delivery: Delivery) -> Receipt | None:
        """The issue, by its label; for whatever follows only if its comment is there."""
        place = self._standing(delivery) or self._standing_before(delivery)
        there = place and (delivery.kind is Kind.OPEN or self._has_comment(place, delivery))
        return self._receipt(place) if place and there else None

    def look(self, cursor: str) -> Look:
        """How the issues stand that were changed since the look before; the first one reaches back some days."""
        return self._watch.look(cursor)

    def check(self) -> list[Finding]:
        """Asks who the account is, and whether the repository takes issues. Opens none."""
        return findings(self._api, self.config, self.name)

    def check_owners(self, owners: Sequence[GitHubOwner]) -> list[Finding]:
        """Whether issues can be assigned to them, in sentences."""
        return owners_findings(self._api, self.config, owners)

    def preview(self, payload: Payload) -> str:
        """The issue or the comment, line by line."""
        parts = []
        if made := payload.get("issue"):
            parts.append(issue.preview(made, self.config.repository) + "\n\n" + plain(made["body"]))
        if "comment" in payload:
            parts.append("Comment\n\n" + plain(payload["comment"]))
        return "\n\n".join(parts) or "Nothing is said."

    def close(self) -> None:
        self._api.close()

    def _receipt(self, place: Place) -> Receipt:
        api = self.config.base_url
        page = "https://github.com" if api == "https://api.github.com" else api.removesuffix("/api/v3")
        return Receipt(remote_id=place.remote_id, url=f"{page}/{quote(place.repository)}/issues/{place.number}")

    def _standing(self, delivery: Delivery) -> Place | None:
        """The alert's issue: the one that was opened, else the oldest that bears the alert's label."""
        label = issue.identity_label(delivery.alert.id)
        return Place.of(delivery.receipt) or self._labelled(self.config.repository, label)

    def _standing_before(self, delivery: Delivery) -> Place | None:
        """The issue in a repository that the config named before, where the delivery may have been sent to that one."""
        label = issue.identity_label(delivery.alert.id)
        for former in self._places.left_since(delivery.enqueued_at):
            try:
                place = self._labelled(former["place"], label)
            except RequestFailed as failed:
                # What stands on another GitHub is not there, and nothing to those who look here.
                if failed.status in _GONE and former.get("api", self.config.base_url) != self.config.base_url:
                    continue
                # That repository alone is no reason to pause the connector.
                reason = f"The repository {former['place']} cannot be searched: {failed.outcome.reason}"
                raise Failed(Retry(reason)) from None
            if place is not None:
                return place
        return None

    def _labelled(self, repository: str, label: str) -> Place | None:
        query = {"labels": label, "state": "all", "sort": "created", "direction": "asc"}
        for found in self._api.pages(issues_of(repository), query):
            number = found.get("number")
            names = {name.lower() for name in issue.label_names(found)}
            if not isinstance(number, int) or label.lower() not in names:
                # Whoever shows other issues than those that were asked for may hide the one that was.
                raise RequestFailed(Retry("GitHub's list holds what was not asked for"))
            if "pull_request" not in found:
                return Place(repository=repository, number=number)
        return None

    def _open(self, new: Mapping[str, Any], note: str = "") -> Outcome:
        self._labels.prove()
        try:
            with self._places.sending(api=self.config.base_url):
                answer = self._api.ask("POST", issues_of(self.config.repository), body=dict(new), writes=True)
        except RequestFailed as failed:
            # An issue that is nobody's is worth more than none; the refusal made sure that nothing was opened.
            if failed.status == 422 and failed.fields and failed.fields <= _ASSIGNEES and "assignees" in new:
                self._tell_unassigned(new["assignees"])
                without = {key: value for key, value in new.items() if key != "assignees"}
                return self._open(without, f"opened without its assignees: {failed.outcome.reason}")
            raise
        number = answer.get("number") if isinstance(answer, Mapping) else None
        if not isinstance(number, int):
            return Uncertain("GitHub's answer names no issue")
        place = Place(repository=self.config.repository, number=number)
        if "assignees" in new:
            has_it = {name_of(person).lower() for person in answer.get("assignees") or ()}
            self._tell_unassigned([name for name in new["assignees"] if name.lower() not in has_it])
        return Delivered(self._receipt(place), note or self._labels.complete(place, answer, new["labels"]))

    def _tell_unassigned(self, names: Sequence[str]) -> None:
        """Tells people once whom GitHub assigns nothing to, until it assigns an issue to all that it should."""
        sentence = (
            f"Issues are opened without the assignees {', '.join(names)}, for GitHub takes none of them in "
            f"{self.config.repository}: give them access there, or correct assignees and owners."
        )
        self.memory.put(NOTICE, sentence if names else "")

    def _follow_up(self, delivery: Delivery, place: Place, comment: str) -> Outcome:
        try:
            note = self._before_comment(delivery, place)
            self._api.ask("POST", f"{place.path}/comments", body={"body": comment}, writes=True)
        except RequestFailed as failed:
            if failed.status in _GONE:
                # Raises where it is the repository that is missing.
                self._api.ask("GET", f"repos/{quote(place.repository)}")
                why = "is gone, or the account may not see it any more"
            elif failed.status == 403 and not isinstance(failed.outcome, RateLimited) and is_locked(self._api, place):
                why = "is locked: unlock it, or give the account the role Write, who may comment all the same"
            else:
                raise
            if delivery.kind is not Kind.UPDATE:
                return Delivered(self._receipt(place), note=f"nothing is said: the issue {why}")
            return Rejected(f"the issue {place.remote_id} {why}")
        return Delivered(self._receipt(place), note)

    def _before_comment(self, delivery: Delivery, place: Place) -> str:
        """What is done to the issue itself; what of it could not be, in words."""
        closes = self.config.on_resolve == "close"
        match delivery.kind:
            case Kind.WITHDRAW:
                return move(self._api, place, "closed", _NOT_PLANNED)
            case Kind.UPDATE:
                self._labels.follow(delivery, place)
                if closes and is_open_again(delivery) and delivery.latest is not None:
                    return move(self._api, place, "open", _REOPENED, unless_moved_after=delivery.latest.at)
            case Kind.RESOLVE | Kind.REOPEN if closes:
                if delivery.response is None or delivery.is_superseded:
                    return "the issue stays as it is: something else was decided since"
                if delivery.kind is Kind.REOPEN:
                    return move(self._api, place, "open", _REOPENED, unless_moved_after=delivery.response.at)
                reason = _DONE if delivery.response.resolution is Resolution.DONE else _NOT_PLANNED
                return move(self._api, place, "closed", reason, unless_moved_after=delivery.response.at)
        return ""

    def _has_comment(self, place: Place, delivery: Delivery) -> bool:
        mark = hidden(marker(delivery))
        since = self._api.in_its_time(delivery.enqueued_at) - _SKEW
        try:
            comments = list(self._api.pages(f"{place.path}/comments", {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}"}))
        except RequestFailed as failed:
            if failed.status in _GONE:
                return False  # the issue is gone, which the next attempt finds out for itself
            raise
        return any(mark in str(comment.get("body")).splitlines() for comment in comments)
