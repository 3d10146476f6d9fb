"""PagerDuty's REST API, read-only: what happened to incidents, and who did it.

https://developer.pagerduty.com/api-reference/ (Log Entries, Incidents, Services)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from connectors.pagerduty.client import AMBIGUOUS, RATE_LIMIT_PAUSE, no_answer, other_region, what_it_said
from connectors.pagerduty.config import TOKEN_HINT, PagerDutyConfig
from forwarder.connector import Broken, Failed, RateLimited, Retry, redirect_host, retry_after

if TYPE_CHECKING:
    from httpx2 import Response

    from forwarder.wire.client import Client

PAGE: Final = 100
"""Items of a page, the most that PagerDuty gives: https://developer.pagerduty.com/docs/pagination"""
MAX_REACH: Final = 10_000
"""How far the offset and the limit of a page may reach together: further back is asked for by time."""

T = TypeVar("T")
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What PagerDuty answered, and its own time when it did, in whole seconds; None where it did not tell."""

    body: Item
    at: datetime | None

    def items(self, name: str) -> list[Item]:
        """The objects of a page; raises Failed where there is no list of them."""
        page = self.body.get(name)
        if not isinstance(page, list):
            raise Failed(Retry(_UNREADABLE))
        return [item for item in page if isinstance(item, Mapping)]

    @property
    def more(self) -> bool:
        return bool(self.body.get("more"))


_UNREADABLE: Final = "PagerDuty's answer could not be read"


class RestApi:
    """The REST API as the holder of one key sees it. Every method raises Failed. ``reach`` is how far pages reach."""

    def __init__(
        self, config: PagerDutyConfig, token: str, now: Callable[[], datetime], *, reach: int = MAX_REACH
    ) -> None:
        self._config, self._token, self._now, self._reach = config, token, now, reach
        self._lock = Lock()
        self._client: Client | None = None

    @property
    def host(self) -> str:
        return urlsplit(self._config.api_address).hostname or ""

    def server_time(self) -> datetime:
        """PagerDuty's own time, in whole seconds; ours where an answer does not tell it."""
        return self._get("log_entries", {"limit": 1}).at or self._now().replace(microsecond=0)

    def log_entries(
        self, since: datetime, until: datetime | None, read: Callable[[Item], T | None]
    ) -> tuple[list[T], datetime | None]:
        """What ``read`` makes of the log of incidents from ``since`` on, and before ``until``: the oldest first.

        With it PagerDuty's own time when it was asked, None where it did not tell.
        """
        found: list[T] = []
        asked_at, offset = None, 0
        while True:
            answer = self._get("log_entries", _page(offset) | _times(since, until) | {"include[]": "incidents"})
            page = answer.items("log_entries")
            asked_at = asked_at or answer.at
            found += [one for item in page if (one := read(item)) is not None]
            if not page or not answer.more:
                # The newest come first: two of one second keep the order in which they happened.
                return found[::-1], asked_at
            offset += len(page)
            if offset + PAGE > self._reach:
                until, offset = _further_back(page, until), 0

    def alert_keys(self, incident_id: str) -> Iterator[str]:
        """The dedup keys of all alerts of an incident."""
        for alert in self._all(f"incidents/{incident_id}/alerts", "alerts"):
            if isinstance(key := alert.get("alert_key"), str):
                yield key

    def service_of(self, routing_key: str) -> Item | None:
        """The service whose integration has this routing key, with ``id`` and ``summary``; None where none shows it."""
        for service in self._all("services", "services", {"include[]": "integrations"}):
            integrations = service.get("integrations")
            for integration in integrations if isinstance(integrations, list) else ():
                if isinstance(integration, Mapping) and integration.get("integration_key") == routing_key:
                    return service
        return None

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _all(self, path: str, name: str, query: Mapping[str, Any] | None = None) -> Iterator[Item]:
        offset, more = 0, True
        while more and offset + PAGE <= self._reach:
            answer = self._get(path, _page(offset) | dict(query or {}))
            page = answer.items(name)
            yield from page
            offset += len(page)
            more = bool(page) and answer.more

    def _get(self, path: str, query: Mapping[str, Any]) -> Answer:
        import httpx2

        try:
            answer = self._opened().get(f"{self._config.api_address}/{path}", params=dict(query))
        except httpx2.HTTPError as error:
            why = no_answer(error, self._config.api_address, self._config, "region and api_url")
            raise Failed(Retry(why)) from None
        if answer.status_code != 200:
            raise Failed(self._refusal(answer))
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Failed(Retry(_UNREADABLE))
        return Answer(body, _date(answer))

    def _opened(self) -> Client:
        from forwarder.wire.client import Client

        headers = {
            "Authorization": f"Token token={self._token}",
            "Accept": "application/vnd.pagerduty+json;version=2",
            "User-Agent": "sentrytex-forwarder",
        }
        with self._lock:
            if self._client is None:
                self._client = Client(seconds=self._config.timeout.total_seconds(), headers=headers)
            return self._client

    def _refusal(self, answer: Response) -> Retry | RateLimited | Broken:
        status, said = answer.status_code, what_it_said(answer, self._token, "[api_token]")
        after = retry_after(answer.headers.get("Retry-After") or answer.headers.get("ratelimit-reset"), self._now())
        if status == 429:
            return RateLimited(RATE_LIMIT_PAUSE if after is None else after, "PagerDuty's rate limit")
        if status >= 500 or status in AMBIGUOUS or status < 300:
            return Retry(f"PagerDuty answered with status {status}{said}")
        if status == 401:
            hint = f"{TOKEN_HINT}{other_region(self._config, self._config.api_url)}"
            return Broken(f"PagerDuty refuses the api_token at {self.host} (status {status}{said}): {hint}")
        if status == 403:
            return Broken(f"The api_token may not read incidents at {self.host} (status {status}{said}): {TOKEN_HINT}")
        if status < 400:
            there = redirect_host(answer.headers.get("Location"), self._token)
            return Broken(
                f"{self.host} answers with a redirect to {there}, which is not followed: check region and api_url"
            )
        return Broken(f"PagerDuty cannot be asked at {self.host} (status {status}{said}): check region and api_url")


def moment(text: object) -> datetime | None:
    """An instant as PagerDuty writes it; None where it is none."""
    try:
        when = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when and when.tzinfo is None else when


def _page(offset: int) -> dict[str, Any]:
    return {"limit": PAGE, "offset": offset}


def _further_back(page: list[Item], until: datetime | None) -> datetime:
    """Where to go on behind the last page that can be asked for: with the whole second in which that one ended."""
    oldest = moment(page[-1].get("created_at"))
    further = None if oldest is None else oldest + timedelta(seconds=1)
    if further is None or (until is not None and further >= until):
        raise Failed(Retry("PagerDuty has more log entries of one second than can be read"))
    return further


def _times(since: datetime, until: datetime | None) -> dict[str, str]:
    return {"since": since.isoformat()} | ({} if until is None else {"until": until.isoformat()})


def _date(answer: Response) -> datetime | None:
    try:
        when = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
