"""A stand-in for the Sentrytex API, as its reference describes it (https://www.sentrytex.com, "API Reference")."""

from __future__ import annotations

import copy
import math
from bisect import insort
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, SlidingWindow
from forwarder.sandbox.server import Service

_BASE: Final = "/api/v1"
_SEVERITIES: Final = ("critical", "high", "medium", "low")
_DEFAULT_LIMIT: Final = 50
_MAX_LIMIT: Final = 200
_REQUESTS_PER_MINUTE: Final = 100
_ERRORS: Final = {
    401: "Missing or invalid API key",
    403: "This endpoint requires a Business plan",
    404: "Not found",
    429: "Rate limit exceeded",
    500: "Internal server error",
}


@dataclass(order=True, slots=True)
class _Published:
    """One published alert. Sorted newest first, in the order of publication among equals."""

    age: float
    number: int
    alert: Any = field(compare=False)


class Account:
    """An account beside the first one: its key, its own stack and its own limit. It sees what touches its stack.

    ``revoked`` refuses its key alone, and ``form`` makes of an alert what this account is shown of it.
    """

    def __init__(self, token: str, vendors: Iterable[str], *, added_at: str) -> None:
        self.token = token
        self.stack = {vendor: _vendor(vendor, added_at=added_at) for vendor in vendors}
        self.revoked = False
        self.form: Callable[[Any], Any] = _as_it_is
        self.asked = 0
        """How often it was asked for alerts."""
        self.window = SlidingWindow(_REQUESTS_PER_MINUTE, 60)

    def sees(self, alert: Any) -> bool:
        """Whether an alert touches its stack."""
        return _touches(alert, self.stack)


class Sentrytex(Service):
    """GET /alerts, /alerts/:id and /stack.

    ``add_account`` makes further accounts, each with a key; all see the same alerts, as far as their stacks go.

    ``all_vendors`` shows every alert whatever the stack; without it only those that touch the stack. ``scopes`` is what
    the key may read, ``business`` whether the account's plan has the API. ``limit_per_minute`` of None is no limit.
    ``page`` is how many alerts an answer holds at most, whatever was asked for.
    """

    name = "sentrytex"

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.token = "vk_not-a-real-key-0123456789"  # noqa: S105 - opens nothing but this sandbox
        self.all_vendors = True
        self.business = True
        self.scopes = {"read:alerts", "read:stack"}
        self.limit_per_minute = _REQUESTS_PER_MINUTE if limits else None
        self.page = _MAX_LIMIT
        self._window = SlidingWindow(_REQUESTS_PER_MINUTE, 60)
        self._published: list[_Published] = []
        self._by_id: dict[str, _Published] = {}
        self._count = 0
        self._stack: dict[str, dict[str, str]] = {}
        self.accounts: dict[str, Account] = {}
        """Further accounts by their keys."""
        self.evidence: dict[str, Any] = {}
        """What a single alert says beyond the list, by its id: fields of any shape, for the reference names none."""
        # An account without any vendor is one to which no alert ever comes.
        self.add_vendor("example", "Example Gateway", "network")

    @property
    def url(self) -> str:
        return self.origin + _BASE

    @property
    def alerts(self) -> list[Any]:
        """What is published, newest first."""
        with self.lock:
            return [entry.alert for entry in self._published]

    @property
    def stack(self) -> list[str]:
        """The keys of the account's vendors."""
        with self.lock:
            return list(self._stack)

    def publish(self, *alerts: Any) -> None:
        """Show ``alerts``: any JSON values, malformed ones too. One with an id that is there takes its place."""
        with self.lock:
            for alert in alerts:
                self._publish(copy.deepcopy(alert))

    def update(self, alert_id: str, **fields: Any) -> None:
        """Change a published alert, as KEV and EPSS do after publication."""
        with self.lock:
            self._publish({**self._by_id[alert_id].alert, **fields})

    def withdraw(self, alert_id: str) -> None:
        """Take a published alert back: it is gone from the list, and 404 by its id."""
        with self.lock:
            self._published.remove(self._by_id.pop(alert_id))

    def add_vendor(self, key: str, name: str = "", category: str = "other") -> None:
        """Put a vendor into the account's stack."""
        entry = _vendor(key, name, category, added_at=self._today())
        with self.lock:
            self._stack[key] = entry

    def add_account(self, token: str, *vendors: str) -> Account:
        """Make a further account, whose key is ``token`` and whose stack has ``vendors``."""
        account = Account(token, vendors, added_at=self._today())
        with self.lock:
            self.accounts[token] = account
        return account

    def _today(self) -> str:
        return self.clock().isoformat(timespec="seconds").replace("+00:00", "Z")

    def remove_vendor(self, key: str) -> None:
        """Take a vendor out of the account's stack."""
        with self.lock:
            self._stack.pop(key, None)

    def credentials(self) -> dict[str, str]:
        return {"url": self.url, "token": self.token}

    def snapshot(self) -> dict[str, Any]:
        return {"alerts": list(self._by_id), "stack": list(self._stack)}

    def control(self, request: Request) -> Reply:
        if request.line == "POST /_sandbox/publish":
            self.publish(*request.json())
            return Reply.json({"ok": True})
        if request.line == "POST /_sandbox/accounts":
            for token, vendors in request.json().items():
                self.add_account(token, *vendors)
            return Reply.json({"ok": True})
        return super().control(request)

    def refuse(self, status: int) -> Reply:
        headers = {"Retry-After": "1"} if status == 429 else {}
        return Reply.json({"error": _ERRORS.get(status, "Error")}, status, headers)

    def respond(self, request: Request) -> Reply:
        account = self.accounts.get((request.header("Authorization") or "").removeprefix("Bearer "))
        refused = request.header("Authorization") != f"Bearer {self.token}" if account is None else account.revoked
        if refused or self.revoked:
            return self.refuse(401)
        wait = self._over_limit(self._window if account is None else account.window)
        if wait:
            return Reply.json({"error": _ERRORS[429]}, 429, {"Retry-After": str(math.ceil(wait))})
        path = request.path.removeprefix(_BASE).rstrip("/")
        if request.method != "GET" or not request.path.startswith(_BASE):
            return self.refuse(404)
        scope = "read:stack" if path == "/stack" else "read:alerts"
        if not self.business:
            return self.refuse(403)
        if scope not in self.scopes:
            return Reply.json({"error": f"This key lacks the scope {scope}"}, 403)
        if path == "/stack":
            stack = self._stack if account is None else account.stack
            return Reply.json({"stack": list(stack.values())})
        sees, form = (self._in_stack, _as_it_is) if account is None else (account.sees, account.form)
        if path == "/alerts":
            if account is not None:
                account.asked += 1
            return self._list(request, sees, form)
        if path.startswith("/alerts/"):
            return self._one(unquote(path.removeprefix("/alerts/")), sees, form)
        return self.refuse(404)

    def _publish(self, alert: Any) -> None:
        alert_id = alert.get("id") if isinstance(alert, dict) else None
        number = self._count
        self._count += 1
        if isinstance(alert_id, str):
            old = self._by_id.get(alert_id)
            if old is not None:
                number = old.number
                self._published.remove(old)
        entry = _Published(-_published_at(alert), number, alert)
        if isinstance(alert_id, str):
            self._by_id[alert_id] = entry
        insort(self._published, entry)

    def _over_limit(self, window: SlidingWindow) -> float:
        if self.limit_per_minute is None:
            return 0.0
        window.limit = self.limit_per_minute
        return window.take(self.clock())

    def _list(self, request: Request, sees: Callable[[Any], bool], form: Callable[[Any], Any]) -> Reply:
        severity = request.query.get("severity")
        if severity is not None and severity not in _SEVERITIES:
            return Reply.json({"error": "severity must be critical, high, medium or low"}, 400)
        try:
            limit = min(int(request.query.get("limit", _DEFAULT_LIMIT)), self.page)
            since = _epoch(request.query["since"]) if "since" in request.query else -math.inf
        except ValueError:
            return Reply.json({"error": "limit must be a number and since an ISO date"}, 400)
        if limit < 1:
            return Reply.json({"error": "limit must be at least 1"}, 400)
        return Reply.json({"alerts": [form(alert) for alert in self._page(limit, severity, since, sees)]})

    def _page(self, limit: int, severity: str | None, since: float, sees: Callable[[Any], bool]) -> list[Any]:
        page: list[Any] = []
        for entry in self._published:
            if len(page) == limit or -entry.age < since:
                break
            if severity is not None and not (isinstance(entry.alert, dict) and entry.alert.get("severity") == severity):
                continue
            if sees(entry.alert):
                page.append(entry.alert)
        return page

    def _one(self, alert_id: str, sees: Callable[[Any], bool], form: Callable[[Any], Any]) -> Reply:
        entry = self._by_id.get(alert_id)
        if entry is None or not sees(entry.alert):
            return self.refuse(404)
        return Reply.json(
            {**form(entry.alert), **self.evidence.get(alert_id, {"evidence_state": _evidence(entry.alert)})}
        )

    def _in_stack(self, alert: Any) -> bool:
        return self.all_vendors or _touches(alert, self._stack)


def _as_it_is(alert: Any) -> Any:
    return alert


def _touches(alert: Any, stack: Collection[str]) -> bool:
    if not isinstance(alert, dict):
        return True
    vendors = alert.get("affected_vendors")
    return isinstance(vendors, Iterable) and any(isinstance(vendor, str) and vendor in stack for vendor in vendors)


def _vendor(key: str, name: str = "", category: str = "other", *, added_at: str) -> dict[str, str]:
    """An entry of a stack."""
    return {
        "vendor_key": key,
        "vendor_name": name or key.replace("-", " ").title(),
        "category": category,
        "added_at": added_at,
    }


def _evidence(alert: dict[str, Any]) -> Any:
    """The evidence for an alert, in one of the shapes in which an API might tell it."""
    sources = alert.get("source_urls")
    urls = [url for url in sources if isinstance(url, str)] if isinstance(sources, list) else []
    shapes: tuple[Any, ...] = (
        {"state": "verified", "sources": len(urls)},
        {"state": "verified", "checks": [{"source": url, "confirms": True} for url in urls[:3]], "disputed_by": None},
        f"verified by {len(urls)} sources",
        {"state": "verified", "confidence": 0.97, "versions": ["before the fix"], "exploit": {"seen": False}},
    )
    return shapes[sum(str(alert["id"]).encode()) % len(shapes)]


def _published_at(alert: Any) -> float:
    """Seconds since the epoch; what has no readable date counts as newest, so that it shows on every page."""
    try:
        return _epoch(alert["published_at"])
    except (TypeError, KeyError, ValueError, AttributeError):
        return math.inf


def _epoch(text: str) -> float:
    instant = datetime.fromisoformat(text.strip())
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
