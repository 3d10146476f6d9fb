"""A stand-in for services to which people send messages: five of those that Apprise knows, at one address.

Each is written from its own documents: what takes JSON as Apprise documents it (https://appriseit.com/services/json/),
ntfy (https://docs.ntfy.sh/publish/#publish-as-json), Gotify (https://gotify.net/api-docs), incoming webhooks of
Mattermost (https://developers.mattermost.com/integrate/webhooks/incoming/) and a user of Rocket.Chat, who signs in and
out (https://developer.rocket.chat/apidocs/login-with-username-and-password).
"""

from __future__ import annotations

import re
from typing import Any, Final

from forwarder.sandbox.exchange import Reply, Request
from forwarder.sandbox.limits import Clock, Trickle
from forwarder.sandbox.server import Service

_USER: Final = "forwarder"
_SESSION: Final = "not-a-real-session-of-rocket-chat"
_TOPIC: Final = "sentrytex-alerts"
_NTFY_BYTES: Final = 4096
"""A longer message is kept as a file: https://docs.ntfy.sh/publish/#limitations"""
_BURST, _PER = 60, 5.0
"""What ntfy takes at once, and the seconds for each one after: https://docs.ntfy.sh/publish/#limitations"""
_MATTERMOST_CHARS: Final = 16_383
"""https://docs.mattermost.com/administration-guide/configure/site-configuration-settings.html#posts"""
_PING: Final = re.compile(r"(?<!\S)@(?:all|channel|here|everyone)\b|<!(?:channel|here|everyone)>")
_LINK: Final = re.compile(r"\]\([^)\s]+\)")


class Apprise(Service):
    """The services. ``messages`` are those that were taken, in order: ``service``, ``title`` and ``text``.

    ``limits`` of False is no limit. ``token`` is in each address, and is the secret.
    """

    name = "apprise"

    def __init__(self, *, clock: Clock, latency: float = 0.0, limits: bool = True) -> None:
        super().__init__(clock=clock, latency=latency)
        self.token = "tk_notarealtokenofanyservice"  # noqa: S105
        self.messages: list[dict[str, str]] = []
        self._trickle = Trickle(_PER, _BURST) if limits else None

    @property
    def url(self) -> str:
        """Where JSON is taken, as Apprise writes it."""
        return f"json://{self._place}/notify/{self.token}"

    @property
    def ntfy_url(self) -> str:
        return f"ntfy://{self.token}@{self._place}/{_TOPIC}"

    @property
    def gotify_url(self) -> str:
        return f"gotify://{self._place}/{self.token}"

    @property
    def mattermost_url(self) -> str:
        return f"mmost://{self._place}/{self.token}"

    @property
    def rocket_url(self) -> str:
        return f"rocket://{_USER}:{self.token}@{self._place}/#alerts"

    @property
    def _place(self) -> str:
        return self.origin.partition("://")[2]

    @property
    def pings(self) -> list[str]:
        """What in the messages calls everybody, or leads somewhere behind other words, as Mattermost reads them."""
        with self.lock:
            # Rocket.Chat is sent Markdown, in which links are ours.
            told = [(f"{one['title']}\n{one['text']}", one["service"] != "rocket") for one in self.messages]
        pings = [found[0] for text, _ in told for found in _PING.finditer(text)]
        return pings + [found[0] for text, is_plain in told if is_plain for found in _LINK.finditer(text)]

    def credentials(self) -> dict[str, str]:
        return {"url": self.url}

    def snapshot(self) -> dict[str, Any]:
        return {"messages": len(self.messages)}

    def refuse(self, status: int) -> Reply:
        return Reply.json({"error": "no", "errorCode": status, "errorDescription": "the service says no"}, status)

    def respond(self, request: Request) -> Reply:
        match request.line.split("/"):
            case ["GET " | "HEAD ", ""]:
                return Reply.text("<title>Messages</title>", content_type="text/html")
            case ["POST ", "notify", token]:
                return self._json(request, token)
            case ["POST ", "message"]:
                return self._gotify(request)
            case ["POST ", "hooks", token]:
                return self._mattermost(request, token)
            case ["POST ", "api", "v1", call]:
                return self._rocket(request, call)
            case ["POST ", topic] if topic in ("", _TOPIC):
                return self._ntfy(request, as_file=bool(topic))
        return self.refuse(404)

    def _json(self, request: Request, token: str) -> Reply:
        if self.revoked or token != self.token:
            return self.refuse(404)
        said = request.json()
        if said.get("version") != "1.0" or said.get("type") not in ("info", "success", "warning", "failure"):
            return self.refuse(400)
        return self._take("json", said["title"], said["message"])

    def _gotify(self, request: Request) -> Reply:
        if self.revoked or request.header("X-Gotify-Key") != self.token:
            return self.refuse(401)
        said = request.json()
        if not said.get("message"):
            return self.refuse(400)
        return self._take("gotify", said.get("title", ""), said["message"])

    def _mattermost(self, request: Request, token: str) -> Reply:
        if self.revoked or token != self.token:
            wrong = {"id": "web.incoming_webhook.invalid.app_error", "message": "Invalid webhook.", "status_code": 400}
            return Reply.json(wrong, 400)
        text = request.json().get("text")
        if not text or len(text) > _MATTERMOST_CHARS:
            return self.refuse(400)
        self._take("mattermost", "", text)
        return Reply.text("ok")

    def _ntfy(self, request: Request, *, as_file: bool) -> Reply:
        if self.revoked or request.header("Authorization") != f"Bearer {self.token}":
            return Reply.json({"code": 40101, "http": 401, "error": "unauthorized"}, 401)
        if self._trickle is not None and (wait := self._trickle.take(self.clock())):
            return Reply.json(
                {"code": 42901, "http": 429, "error": "limit reached"}, 429, {"Retry-After": f"{wait:.0f}"}
            )
        if as_file:
            return self._take("ntfy", request.query.get("title", ""), request.body.decode())
        said = request.json()
        if said.get("topic") != _TOPIC:
            return Reply.json({"code": 40009, "http": 400, "error": "topic invalid"}, 400)
        text = said.get("message") or "triggered"
        kept = "file" if len(text.encode()) > _NTFY_BYTES else "ntfy"
        return self._take(kept, said.get("title", ""), text)

    def _rocket(self, request: Request, call: str) -> Reply:
        signed_in = request.header("X-Auth-Token") == _SESSION and request.header("X-User-Id") == _USER
        if call == "login":
            form = request.form()
            signed_in = form.get("username") == _USER and form.get("password") == self.token and not self.revoked
        if not signed_in:
            return Reply.json({"status": "error", "message": "Unauthorized"}, 401)
        if call == "chat.postMessage":
            said = request.json()
            if said.get("channel") != "#alerts" or not said.get("text"):
                return Reply.json({"success": False, "errorType": "error-room-not-found"}, 400)
            self._take("rocket", "", said["text"])
            return Reply.json({"success": True})
        return Reply.json({"status": "success", "data": {"authToken": _SESSION, "userId": _USER}})

    def _take(self, service: str, title: str, text: str) -> Reply:
        self.messages.append({"service": service, "title": title, "text": text})
        return Reply.json({"id": f"m{len(self.messages)}"})
