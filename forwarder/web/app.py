"""Which address shows what, and what a posted form does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict
from urllib.parse import quote, urlencode

import anyio.to_thread
from anyio import CapacityLimiter
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from forwarder.config import Listen
from forwarder.logs import get_logger
from forwarder.store import Store, StoreError
from forwarder.store.query_records import DeliveryRow
from forwarder.store.records import State
from forwarder.web import filters, muting
from forwarder.web.forms import NOTHING, Form, done_message, ids, one, posted
from forwarder.web.health import Health, Missing
from forwarder.web.metrics import Gauges, Metrics
from forwarder.web.middleware import BY_HEADER, KNOWN, SESSIONS, Guard, door, who
from forwarder.web.pages import Pages, filter_of
from forwarder.web.responding import MUTED, Names, deeds_for, respond, said
from forwarder.web.sessions import Keys, Sessions
from forwarder.web.throttle import TokenCheck, TooManyTries
from forwarder.web.visitors import Hosts, came_by_https
from forwarder.web.writes import Writes

if TYPE_CHECKING:
    from jinja2 import Environment

    from forwarder.app import Forwarder

log = get_logger(__name__)

THREADS: Final = 2
"""Pages that are made at a time: more would take the processor from the deliveries."""
_PAGES: Final = frozenset(
    {"/alerts", "/dead-letters", "/figures", "/gaps", "/mutes", "/set-aside", "/sign-in", "/metrics"}
)
"""What people find with a slash at its end, too."""


class _CookieTraits(TypedDict):
    path: str
    httponly: bool
    samesite: Literal["strict"]


def make_app(
    forwarder: Forwarder, store: Store, metrics: Metrics, sessions: Sessions, *, writes: Writes, port: int
) -> Guard:
    """The whole of it. ``store`` is for reading; ``port`` is the real one, where the config has 0."""
    web = forwarder.config.web
    listen = web.listen or Listen(host="127.0.0.1", port=port)
    keys = Keys(web.token.get_secret_value() if web.token else None)
    metrics.registry.register(Gauges(forwarder, store))
    # Cookies do not know ports: two forwarders on one machine must not sign each other out.
    site = _Site(forwarder, store, metrics, keys, sessions, writes=writes, cookie=f"forwarder_{port}")
    app = Starlette(
        routes=site.routes(),
        exception_handlers={HTTPException: site.refused, StoreError: site.store_failed, Exception: site.crashed},
    )
    # It would send people to a whole address, and take our host and scheme for those that a proxy shows.
    app.router.redirect_slashes = False
    return Guard(
        app,
        hosts=Hosts(listen, web.public_hosts),
        keys=keys,
        sessions=sessions,
        check=site.check,
        cookie=site.cookie,
        base=web.base_path,
    )


class _Site:
    def __init__(
        self,
        forwarder: Forwarder,
        store: Store,
        metrics: Metrics,
        keys: Keys,
        sessions: Sessions,
        *,
        writes: Writes,
        cookie: str,
    ) -> None:
        self.cookie, self.check = cookie, TokenCheck(keys)
        self._forwarder, self._metrics, self._keys, self._sessions = forwarder, metrics, keys, sessions
        self._base = forwarder.config.web.base_path
        self._names = Names(f"{cookie}_name", path=self._base or "/")
        self._health = Health(forwarder, store)
        self._pages = Pages(forwarder, store, self._health, writes)
        self._limiter, self._probes = CapacityLimiter(THREADS), CapacityLimiter(1)

    @cached_property
    def _templates(self) -> Environment:
        """Loaded for the first person who looks: those who only measure need none."""
        return filters.templates(self._forwarder.redactor, base=self._base)

    def routes(self) -> list[Route | Mount]:
        page = self._page
        return [
            Route("/", page(self._overview)),
            Route("/alerts", page(self._alerts)),
            Route("/alerts/{alert_id:path}", page(self._alert)),
            Route("/respond", self._respond, methods=["POST"]),
            Route("/mutes", page(self._mutes)),
            Route("/mutes", self._mute, methods=["POST"]),
            Route("/dead-letters", page(self._dead_letters)),
            Route("/dead-letters", self._decide, methods=["POST"]),
            Route("/probe", self._probe, methods=["POST"]),
            Route("/figures", page(self._figures)),
            Route("/gaps", page(self._gaps)),
            Route("/set-aside", page(self._set_aside)),
            Route("/sign-in", page(self._sign_in)),
            Route("/sign-in", self._signed_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/metrics", page(self._show_metrics)),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Mount("/static", StaticFiles(directory=filters.HERE / "static")),
        ]

    def _page(self, make: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        """``make`` in a thread: it waits for the database, and the server must not."""

        async def endpoint(request: Request) -> Response:
            return await anyio.to_thread.run_sync(make, request, limiter=self._limiter)

        return endpoint

    # Pages

    def _overview(self, request: Request) -> Response:
        frame = self._pages.frame()
        return self._show(
            request, "overview.html", {**frame, **self._pages.overview(frame), "wanted": filter_of({}, [])}
        )

    def _alerts(self, request: Request) -> Response:
        frame = self._pages.frame()
        wanted = filter_of(request.query_params, frame["connectors"])
        context = {**frame, **self._pages.alerts(wanted, frame), "wanted": wanted}
        if context["more"]:
            context["more_link"] = "/alerts?" + urlencode({**request.query_params, "show": context["more"]})
        return self._show(request, "alerts.html", context)

    def _alert(self, request: Request) -> Response:
        history = self._pages.history(request.path_params["alert_id"])
        if history is None:
            raise HTTPException(404, "No such alert was seen, or it is older than the config keeps.")
        responding = {
            "name": self._names.of(request),
            "deeds": deeds_for(history["row"]),
            "scopes": muting.scopes_of(history["row"]),
            "lasts": list(muting.LASTS),
            "said": said(request.query_params.get("said", ""), history["row"]),
        }
        return self._show(request, "alert.html", {**self._pages.frame(), **history, **responding})

    def _dead_letters(self, request: Request) -> Response:
        done = done_message(request.query_params.get("done", ""))
        connector = request.query_params.get("connector") or None
        context = {**self._pages.frame(), **self._pages.dead_letters(connector), "done": done}
        return self._show(request, "dead_letters.html", context)

    def _figures(self, request: Request) -> Response:
        account = request.query_params.get("account", "").strip()
        return self._show(request, "figures.html", {**self._pages.frame(), **self._pages.figures(account)})

    def _gaps(self, request: Request) -> Response:
        return self._show(request, "gaps.html", {**self._pages.frame(), **self._pages.gaps()})

    def _set_aside(self, request: Request) -> Response:
        return self._show(request, "set_aside.html", {**self._pages.frame(), **self._pages.set_aside()})

    def _show(self, request: Request, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        html = self._templates.get_template(template).render(
            path=request.url.path,
            form_key=self._keys.form_of(_session(request)),
            can_sign_out=bool(_session(request)),
            **context,
        )
        return Response(html, status, media_type="text/html")

    # Decisions about alerts

    async def _respond(self, request: Request) -> Response:
        """What a person decides about an alert, on its page."""
        form = await self._form(request)
        return await anyio.to_thread.run_sync(self._responded, request, form, limiter=self._limiter)

    def _responded(self, request: Request, form: Form) -> Response:
        responded = respond(self._forwarder.life.responses, form)
        log.info("web_response", alert=responded.alert_id, heard=responded.heard.value, **_who(request))
        answer = self._go(f"/alerts/{quote(responded.alert_id, safe='')}?said={responded.heard.value}")
        self._names.remember(answer, form, secure=came_by_https(request.headers))
        return answer

    def _mutes(self, request: Request) -> Response:
        context = {"mutes": muting.listed(self._forwarder), "done": request.query_params.get("done", "")}
        return self._show(request, "mutes.html", {**self._pages.frame(), **context, "name": self._names.of(request)})

    async def _mute(self, request: Request) -> Response:
        """Sets a mute, or ends one."""
        form = await self._form(request)
        return await anyio.to_thread.run_sync(self._muted, request, form, limiter=self._limiter)

    def _muted(self, request: Request, form: Form) -> Response:
        if one(form, "deed") == "end":
            ended = muting.end(self._forwarder, form)
            log.info("web_unmute", mute=one(form, "mute"), ended=ended, **_who(request))
            answer = self._go(f"/mutes?done={'ended' if ended else 'gone'}")
        else:
            alert_id = muting.mute(self._forwarder, form)
            log.info("web_mute", alert=alert_id, **_who(request))
            answer = self._go(f"/alerts/{quote(alert_id, safe='')}?said={MUTED}")
        self._names.remember(answer, form, secure=came_by_https(request.headers))
        return answer

    # Decisions about dead letters

    async def _decide(self, request: Request) -> Response:
        form = await self._form(request)
        return await anyio.to_thread.run_sync(self._decided, request, form, limiter=self._limiter)

    def _decided(self, request: Request, form: Form) -> Response:
        action, connector = one(form, "action"), one(form, "connector") or None
        allowed = self._pages.decidable(connector)
        chosen = {row_id: allowed[row_id] for row_id in ids(form) if row_id in allowed}
        if action == "retry-all":
            action, chosen = "retry", allowed
        if action == "retry":
            count = self._retry(chosen.values())
        elif action == "discard" and one(form, "sure") != "1" and chosen:
            return self._show(
                request, "discard.html", {**self._pages.frame(), "rows": list(chosen.values()), "connector": connector}
            )
        elif action == "discard":
            count = self._forwarder.store.operations.discard(list(chosen))
        else:
            raise HTTPException(400, "This form asks for nothing that can be done.")
        if chosen:
            log.info("web_decision", action=action, deliveries=count, ids=sorted(chosen)[:100], **_who(request))
        done = f"{action}-{count}" if chosen else NOTHING
        asked = {"done": done, **({"connector": connector} if connector else {})}
        return self._go(f"/dead-letters?{urlencode(asked)}")

    def _go(self, path: str) -> Response:
        """Sends a browser to a page of ours, as it is called from outside."""
        return RedirectResponse(f"{self._base}{path}", 303)

    def _retry(self, rows: Iterable[DeliveryRow]) -> int:
        """Makes dead letters ready again where there is a connector to take them."""
        named = self._forwarder.config.connectors
        dead = [row for row in rows if row.state is State.DEAD and row.connector in named]
        count = self._forwarder.store.operations.retry([row.id for row in dead], now=self._forwarder.clock())
        self._forwarder.wake({row.connector for row in dead})
        return count

    async def _probe(self, request: Request) -> Response:
        """Tries a paused connector at once."""
        form = await self._form(request)
        return await anyio.to_thread.run_sync(self._probed, request, one(form, "connector"), limiter=self._limiter)

    def _probed(self, request: Request, connector: str) -> Response:
        if self._forwarder.store.operations.probe_now(connector, now=self._forwarder.clock()):
            self._forwarder.wake([connector])
            log.info("web_probe", connector=connector, **_who(request))
        return self._go("/")

    async def _form(self, request: Request) -> Form:
        """What a form of ours was sent with; anything else is refused."""
        fields = await posted(request)
        if not request.scope[BY_HEADER] and not self._keys.admits_form(one(fields, "form_key"), _session(request)):
            why = "This form is from before a restart or another sign-in."
            raise HTTPException(403, f"{why} Go back, reload the page and try again.")
        return fields

    # Signing in

    def _sign_in(self, request: Request) -> Response:
        if request.scope[KNOWN]:
            return self._go(_way_back(request.query_params.get("next", "")))
        return self._show(request, "sign_in.html", {"next": request.query_params.get("next", ""), "wrong": ""})

    async def _signed_in(self, request: Request) -> Response:
        form = await posted(request)
        way_back, token = one(form, "next"), one(form, "token").strip()
        try:
            right = await self.check.admits(token, door(request.scope, request.headers, by_header=False))
        except TooManyTries as refused:
            answer = self._show(request, "sign_in.html", {"next": way_back, "wrong": str(refused)}, 429)
            answer.headers["Retry-After"] = str(refused.after)
            return answer
        if not right:
            log.warning("web_sign_in_refused", **_who(request))
            return self._show(request, "sign_in.html", {"next": way_back, "wrong": "That is not the token."}, 403)
        session = await anyio.to_thread.run_sync(self._sessions.begin, limiter=self._limiter)
        log.info("web_sign_in", **_who(request))
        answer = self._go(_way_back(way_back))
        answer.set_cookie(self.cookie, session, secure=came_by_https(request.headers), **self._cookie_traits)
        return answer

    async def _sign_out(self, request: Request) -> Response:
        await self._form(request)
        await anyio.to_thread.run_sync(self._sessions.end, request.scope[SESSIONS], limiter=self._limiter)
        log.info("web_sign_out", sessions=len(request.scope[SESSIONS]), **_who(request))
        answer = self._go("/sign-in")
        answer.delete_cookie(self.cookie, secure=came_by_https(request.headers), **self._cookie_traits)
        return answer

    @property
    def _cookie_traits(self) -> _CookieTraits:
        return {"path": self._base or "/", "httponly": True, "samesite": "strict"}

    # Machines

    def _show_metrics(self, request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._metrics.registry), headers={"Content-Type": media_type})

    async def _healthz(self, request: Request) -> Response:
        # Here and in no other thread: where the system gives none, that is what must be told.
        stalled = self._health.stalled()
        return self._judged(request, {"alive": not stalled}, {"reasons": stalled} if stalled else {})

    async def _readyz(self, request: Request) -> Response:
        try:
            missing = await anyio.to_thread.run_sync(self._health.missing, limiter=self._probes)
        except RuntimeError as error:
            missing = [Missing(what="threads", why=f"The system gives no thread to look at the database: {error}.")]
        details = {"reasons": [thing.why for thing in missing], "missing": [asdict(thing) for thing in missing]}
        return self._judged(request, {"ready": not missing}, details if missing else {})

    def _judged(self, request: Request, verdict: dict[str, bool], details: dict[str, Any]) -> Response:
        """A verdict for everyone, its details for those who may see them; 503 where there are any."""
        shown = details if request.scope[KNOWN] else {}
        return JSONResponse({**verdict, **shown}, 503 if details else 200)

    # What goes wrong

    def refused(self, request: Request, error: Exception) -> Response:
        """An address that is not there, a method that is not meant, a form that is not ours."""
        assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's signature is wider than its use
        without = request.url.path.rstrip("/")
        if error.status_code == 404 and without != request.url.path and without in _PAGES:
            return self._go(without)
        texts = {404: "There is no such page.", 405: "This address cannot be used like that."}
        detail = error.detail if error.detail.endswith(".") else texts.get(error.status_code, error.detail)
        answer = self._show(
            request, "error.html", {"title": HTTPStatus(error.status_code).phrase, "text": detail}, error.status_code
        )
        answer.headers.update(error.headers or {})
        return answer

    def store_failed(self, request: Request, error: Exception) -> Response:
        """The database did not answer."""
        log.error("web_store_failed", reason=str(error))
        return self._show(request, "error.html", {"title": "The database", "text": str(error)}, 503)

    def crashed(self, request: Request, _error: Exception) -> Response:
        """A fault of ours; the server logs where."""
        text = "This page could not be made: the log says why. Deliveries go on."
        return self._show(request, "error.html", {"title": "A fault", "text": text}, 500)


def _way_back(path: str) -> str:
    """``path`` where it is one of this site; a page must not be made to send people elsewhere."""
    inside = path.startswith("/") and not path.startswith("//") and path.isprintable() and "\\" not in path
    return path if inside else "/"


def _session(request: Request) -> str:
    """The cookie by which the visitor is signed in; empty where none is."""
    return next(iter(request.scope.get(SESSIONS, ())), "")


def _who(request: Request) -> dict[str, str]:
    return who(request.scope, request.headers)
