"""Jira: a ticket for every alert, on Cloud and Data Center.

Jira knows no idempotency key. Every ticket carries a label made of the alert's id, or a line in its description, which
is searched before a ticket is created; where the search fails, none is. People own a ticket once it is there: what
changes is added in comments, and nothing that they may have edited is written again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from connectors.jira import ticket
from connectors.jira.account import Account
from connectors.jira.check import findings
from connectors.jira.client import RequestFailed, Site, dig
from connectors.jira.comment import comment_for
from connectors.jira.config import JiraConfig, JiraOwner
from connectors.jira.home import HomeProject, no_project
from connectors.jira.identity import Identity, Ways, with_line
from connectors.jira.markup import Body, Content, adf, plain, wiki
from connectors.jira.ownership import brought, owned, owners_findings, without
from connectors.jira.refusal import NOT_ON_SCREEN, LeftOut, remedy
from connectors.jira.search import TicketSearch
from connectors.jira.setup import SETUP
from connectors.jira.urgency import Urgency
from connectors.jira.workflow import close, path_of
from forwarder.alert import Severity
from forwarder.connector import (
    Broken,
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
    Receipt,
    Rejected,
    Retry,
    Texts,
    Uncertain,
)
from forwarder.places import Places
from forwarder.ticket import is_alert, marker, why_silent

if TYPE_CHECKING:
    from connectors.jira.watch import Watch

_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*-\d+")
_WRITTEN_FROM_THE_ALERT: Final = frozenset({"summary", "description"})
_PROJECT: Final = "project"
"""The key of the memory for the project of today."""


class Jira(Connector[JiraConfig]):
    """Creates a ticket for an alert, comments on what becomes of it, and closes it when the alert is taken back."""

    Config: ClassVar[type[ConnectorConfig]] = JiraConfig
    noun = ("ticket", "tickets")
    replayed = "are found again, and no second ticket is made"
    withdrawn = "its ticket is closed"
    setup = SETUP
    Owner = JiraOwner
    wants_evidence = True
    tells_responses = True

    def __init__(
        self,
        name: str,
        config: JiraConfig,
        texts: Texts | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, config, texts)
        self._places = Places(config.project, now, key=_PROJECT)
        self.reconcile_after = tuple(after.total_seconds() for after in config.reconcile_after)
        self._site = Site(
            config.url,
            config.token.get_secret_value(),
            config.email,
            timeout=config.timeout.total_seconds(),
            connections=config.concurrency + 1,  # one for the looks
            now=now,
        )
        self._account = Account(self._site)
        self._urgency = Urgency(self._site, self._account, config, now)
        self._ways = Ways(config)
        self._watch: Watch | None = None
        if isinstance(config.sync_every, timedelta):
            from connectors.jira.watch import Watch

            self._watch = Watch(self._site, self._account, HomeProject(self._site, config.project), self._ways)
            self.look_every = config.sync_every.total_seconds()
        self._search = TicketSearch(self._site, config.project, self._ways)
        self._left_out = LeftOut(config)

    def remember(self, memory: Memory) -> None:
        """Notes which projects the config named before, and by what tickets were found."""
        super().remember(memory)
        self._ways.remember(memory)
        self._left_out.remember(memory)
        self._places.remember(memory)

    def render(self, delivery: Delivery) -> Payload:
        """``fields`` of the ticket to create, ``comment`` for the one that is there, or both where either may be.

        Nothing at all where nothing is to be said.
        """
        payload: dict[str, Any] = {}
        if delivery.kind is not Kind.OPEN and not why_silent(delivery, self.config):
            payload["comment"] = self._write(comment_for(delivery, self.texts))
        if delivery.kind is Kind.OPEN or (delivery.kind is Kind.UPDATE and _ticket(delivery) is None):
            payload["fields"] = self._fields(delivery)
        return payload

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:
        """Creates the ticket unless it is there, or comments on it; a withdrawal closes it first.

        So does a resolution with ``on_resolve: close``. An update that finds no ticket creates one. The comment is
        always the last request: where one before it fails, the whole can be repeated.
        """
        if not payload:
            return Delivered(delivery.receipt or Receipt(remote_id=""), note=why_silent(delivery, self.config))
        try:
            # Only what was never tried may share its search: after a failure the plainest question counts.
            key = self._key(delivery, shared=delivery.attempt == 1)
            if key is None and "fields" not in payload:
                what = "close" if delivery.kind is Kind.WITHDRAW else "comment on"
                return Delivered(Receipt(remote_id=""), note=f"there is no ticket to {what}")
            if key is None:
                return self._create(delivery, payload["fields"])
            if delivery.kind is Kind.OPEN:
                return Delivered(self._receipt(key), note="the ticket was there already")
            return self._follow_up(delivery, key, payload["comment"])
        except Failed as failed:
            return failed.outcome

    def find(self, delivery: Delivery) -> Receipt | None:
        """The ticket, by what it bears; for an update or a withdrawal only if its comment is there."""
        key = self._key(delivery) or self._key_before(delivery)
        there = key and (delivery.kind is Kind.OPEN or self._has_comment(key, marker(delivery)))
        return self._receipt(key) if key and there else None

    def due(self, severity: Severity, since: datetime) -> datetime | None:
        """The due date that its ticket gets, as a moment."""
        due_in = self.config.due_in.get(severity)
        return None if due_in is None else since + due_in

    def look(self, cursor: str) -> Look:
        """How the tickets stand that were changed since the look before; the first one reaches back some days."""
        return self._watch.look(cursor) if self._watch else super().look(cursor)

    def check(self) -> list[Finding]:
        """Signs in, and compares the config with what the project asks for and offers. Creates nothing."""
        return findings(self._site, self.config)

    def check_owners(self, owners: Sequence[JiraOwner]) -> list[Finding]:
        """Whether new tickets can be theirs, in sentences."""
        return owners_findings(self._site, self.config, owners)

    def preview(self, payload: Payload) -> str:
        """The ticket or the comment, line by line."""
        fields = payload.get("fields")
        parts = [ticket.preview(fields)] if fields else []
        if "comment" in payload:
            parts.append("Comment\n\n" + plain(payload["comment"]))
        return "\n\n".join(parts) or "Nothing is said."

    def close(self) -> None:
        self._site.close()

    def _fields(self, delivery: Delivery) -> dict[str, Any]:
        urgency = self._urgency.fields(delivery.alert.severity, delivery.enqueued_at)
        description = ticket.description(delivery, self.texts)
        labels: dict[str, Any] = {"labels": ticket.labels(delivery, self.config.labels)}
        if self.config.identity == "text":
            description = with_line(description, delivery.alert.id)
            # Where there is no such field, a ticket with an empty list of them is refused, too.
            labels = {"labels": list(self.config.labels)} if self.config.labels else {}
        return {
            **self.config.fields,
            "project": {"key": self.config.project},
            "issuetype": {"name": self.config.issue_type},
            "summary": ticket.summary(delivery, self.texts),
            "description": self._write(description),
            **labels,
            **(urgency if is_alert(delivery) else {}),
            **owned(delivery, self.config.fields, cloud=self._site.cloud),
        }

    def _write(self, content: Content) -> Body:
        return adf(content) if self._site.cloud else wiki(content)

    def _receipt(self, key: str) -> Receipt:
        return Receipt(remote_id=key, url=f"{self.config.url}/browse/{quote(key, safe='')}")

    def _key(self, delivery: Delivery, *, shared: bool = False) -> str | None:
        """The alert's ticket: the one that was created, else the one that bears the alert's identity."""
        return _ticket(delivery) or self._search.key(Identity.of(delivery.alert.id), shared=shared)

    def _key_before(self, delivery: Delivery) -> str | None:
        """The ticket in a project that the config named before, where the delivery may have been sent to that one."""
        identity, former = Identity.of(delivery.alert.id), self._places.left_since(delivery.enqueued_at)
        return next(filter(None, (self._key_in(place, identity) for place in former)), None)

    def _key_in(self, former: Mapping[str, Any], identity: Identity) -> str | None:
        project = former["place"]
        try:
            return TicketSearch(self._site, project, self._ways).key(identity, shared=False)
        except RequestFailed as failed:
            # A project of another site is not there, and what it holds is nothing to those who look here.
            if failed.status == 404 and former.get("site", self.config.url) != self.config.url:
                return None
            # That project alone is no reason to pause the connector.
            raise Failed(Retry(f"The project {project} cannot be searched: {failed.outcome.reason}")) from None

    def _create(self, delivery: Delivery, fields: Mapping[str, Any], note: str = "") -> Outcome:
        extras = {name: fields[name] for name in ticket.EXTRAS & fields.keys()}
        extras |= brought(delivery, fields, self.config.fields)
        try:
            with self._places.sending(site=self.config.url):
                answer = self._site.ask("POST", "issue", body={"fields": fields}, writes=True)
        except RequestFailed as failed:
            if failed.status != 400:
                raise
            refused = failed.errors.keys()
            if "project" in refused:
                return Broken(no_project(self.config.project))
            # A ticket without its priority is worth more than none; the refusal made sure that nothing was created.
            if refused and refused <= extras.keys():
                self._left_out.add({name: fields[name] for name in refused})
                note = f"created without its {' and '.join(refused)}: {failed.outcome.reason}"
                return self._create(delivery, without(refused, fields, self.config.fields), note)
            return self._refused(failed)
        key = answer.get("key")
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            return Uncertain("Jira's answer names no ticket")
        self._left_out.taken(extras)
        return Delivered(self._receipt(key), note)

    def _refused(self, failed: RequestFailed) -> Outcome:
        """A 400 that blames what this alert says concerns it alone; one that blames anything else concerns them all."""
        if not failed.errors and not self._may_create():
            return Broken(
                f"the account lacks the permission to create tickets in {self.config.project}: grant it there"
            )
        off_screen = any(NOT_ON_SCREEN in text for text in failed.errors.values())
        if failed.errors.keys() <= _WRITTEN_FROM_THE_ALERT and not off_screen:
            return failed.outcome
        ways = "; ".join(remedy(field, text, self.config) for field, text in failed.errors.items())
        where = f"correct it under {self.name} in the config, or in the project"
        return Broken(f"{failed.outcome.reason} (this concerns every ticket: {ways or where})")

    def _may_create(self) -> bool:
        query = {"projectKey": self.config.project, "permissions": "CREATE_ISSUES"}
        answer = self._site.ask("GET", "mypermissions", params=query)
        return dig(answer, "permissions", "CREATE_ISSUES", "havePermission") is not False

    def _follow_up(self, delivery: Delivery, key: str, comment: Body) -> Outcome:
        try:
            note = self._before_comment(delivery, key)
            self._site.ask("POST", f"{path_of(key)}/comment", body={"body": comment}, writes=True)
        except RequestFailed as failed:
            if failed.status != 404:
                raise
            if delivery.kind is not Kind.UPDATE:
                return Delivered(self._receipt(key), note="the ticket is gone")
            return Rejected(f"the ticket {key} is gone, or the account may not see it any more")
        return Delivered(self._receipt(key), note)

    def _before_comment(self, delivery: Delivery, key: str) -> str:
        """What is done to the ticket itself; what of it could not be, in words."""
        if delivery.kind is Kind.WITHDRAW:
            return close(self._site, key)
        if delivery.kind is Kind.UPDATE:
            return self._urgency.rise(delivery, key)
        if delivery.kind is Kind.RESOLVE and self.config.on_resolve == "close":
            if delivery.response is None or delivery.is_superseded:
                return "the ticket stays as it is: something else was decided since"
            return close(self._site, key, unless_moved_after=delivery.response.at)
        return ""

    def _has_comment(self, key: str, mark: str) -> bool:
        try:
            comments = self._site.pages(f"{path_of(key)}/comment", "comments")
        except RequestFailed as failed:
            if failed.status == 404:
                return False  # the ticket is gone, which the next attempt finds out for itself
            raise
        return any(mark in plain(dig(comment, "body")).splitlines() for comment in comments)


def _ticket(delivery: Delivery) -> str | None:
    return (delivery.receipt.remote_id or None) if delivery.receipt else None
