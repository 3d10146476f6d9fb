"""The library Apprise: one service of it by its address, and why an address is not taken.

It is imported where a config names a connector of this type, and nowhere else: with all its plugins it takes a third of
a second.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from connectors.apprise.markup import Form
from connectors.apprise.message import Limits
from connectors.apprise.transport import Attempt, Requests, complain
from forwarder.connector import Rate

EXTRA: Final = "pip install 'sentrytex-forwarder[apprise]'"
"""What brings the library."""

ANSWERS: Final = "https://appriseit.com/services/"
"""Where it says how the addresses of all services are written."""

RATE: Final = Rate(1, 1.0)
"""Our own, where the library would send faster: most chats name about one message in a second for a channel."""

_LOADING: Final = threading.Lock()
_SCHEME: Final = re.compile(r"\s*([A-Za-z0-9]{1,32})://\S+")
_PLUGINS: Final = "apprise.plugins."
_SOCKETS: Final = ("socket", "smtplib", "NostrRelay")
"""Names by which a plugin speaks to somebody by another way than requests."""
_HANDS_ON: Final = frozenset({"apprise", "apprises"})
_UNCHECKED: Final = re.compile(r"[?&]verify=(?:no|n|false|f|off|0|deny|never)(?:&|$)", re.IGNORECASE)
_COUNTER: Final = 12
"""Characters that the library keeps free where title and body share their room (overflow_max_display_count_width)."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service, for one thread. ``name`` is its own, for people; ``limits`` are what the library knows of it."""

    name: str
    limits: Limits
    plugin: Any

    def send(self, title: str, body: str, level: str) -> bool:
        """Has the plugin send one message, and says whether it says that it did."""
        from apprise import NotifyFormat, NotifyType, OverflowMode

        return bool(
            self.plugin.notify(
                body=body,
                title=title,
                notify_type=NotifyType(level),
                # It fits: of what the plugin makes longer still, the end goes, rather than a second message.
                overflow=OverflowMode.TRUNCATE,
                body_format=NotifyFormat(self.limits.form.value),
            )
        )

    def first_request(self) -> Attempt:
        """What the plugin would ask first, of whom; nothing leaves."""
        with Attempt() as attempt:
            try:
                self.send("Check", "Check", "info")
            except Exception:
                complain("it has no answer")
        return attempt

    @property
    def rate(self) -> Rate | None:
        """What the library holds itself to with this service; None where that is no slower than RATE."""
        seconds = float(type(self.plugin).request_rate_per_sec)
        if seconds <= RATE.interval:
            return None
        return (
            Rate(math.floor(60 / seconds), 60.0) if seconds <= 60 else Rate(max(math.floor(3600 / seconds), 1), 3600.0)
        )


def opened(url: str) -> Service:
    """The service at ``url``; raises ValueError, with a sentence that holds none of it."""
    if find_spec("apprise") is None:
        raise ValueError(f"is for a library that is not installed: {EXTRA}")
    found = _SCHEME.fullmatch(url)
    if found is None:
        raise ValueError(f"must be the address of a service, such as discord://… or ntfys://… ({ANSWERS})")
    with _LOADING:
        manager = _loaded()
    service = _service(manager, found[1].lower(), url)
    attempt = service.first_request()
    if not attempt.exchanges:
        raise ValueError(f"names nobody at {service.name} to send to: {_help(service.plugin)}")
    if any(exchange.is_open for exchange in attempt.exchanges):
        raise ValueError(
            "would send without encryption, which is allowed to this machine (127.0.0.1) only: use the form of the "
            f"address for https ({_help(service.plugin)})"
        )
    return service


def _service(manager: Any, scheme: str, url: str) -> Service:
    from apprise import Apprise, AppriseAsset

    web = scheme in ("http", "https")
    if not web and scheme not in manager:
        raise ValueError(f"begins with {scheme}://, which is no service that Apprise knows: {ANSWERS}")
    if not web:
        _refuse(manager[scheme], scheme)
    if _UNCHECKED.search(url):
        raise ValueError(
            "must not say verify=no: certificates are always checked; put an authority of your own into the file "
            "that SSL_CERT_FILE names"
        )
    asset = AppriseAsset(
        app_id="sentrytex-forwarder",
        app_desc="Sentrytex alerts",
        app_url="https://www.sentrytex.com",
        # Pictures from the library's own site would tell it of each alert.
        image_url_mask="",
        image_url_logo="",
        interpret_emojis=False,
        storage_mode="memory",
        secure_logging=True,
        http_redirects=False,
    )
    try:
        with Attempt():
            plugin: Any = Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
    except Exception:
        plugin = None
    if plugin is None:
        where = ANSWERS if web else _help(manager[scheme])
        name = "a service" if web else manager[scheme].service_name
        raise ValueError(f"is no address of {name} as Apprise writes it: see {where}")
    if web:
        _refuse(type(plugin), str(plugin.schema))
    # When to try again is the outbox's business; with tries of its own a plugin counts each as one more request.
    plugin.retry = 0
    if len(plugin) > 1:
        raise ValueError(
            f"names {len(plugin)} recipients at {plugin.service_name}: make a connector for each, so that one who "
            "cannot be reached has nothing sent again to the others"
        )
    # The forwarder has a rate of its own, and sleeps nowhere.
    plugin.throttle = lambda *_, **__: None
    return Service(name=str(plugin.service_name), limits=_limits(plugin), plugin=plugin)


def _refuse(kind: Any, scheme: str) -> None:
    """Raises ValueError where nobody could tell what became of a message that goes this way."""
    if scheme in _HANDS_ON:
        raise ValueError(
            f"begins with {scheme}://, which hands a message on to others, and nobody hears who got it: name the "
            "service itself"
        )
    # One that is like another has what it asks with from there.
    modules = [sys.modules[name] for one in kind.__mro__ for name in _modules(one.__module__)]
    if not any("requests" in vars(one) for one in modules) or any(
        name in vars(one) for one in modules for name in _SOCKETS
    ):
        own = ": use the type email" if scheme.startswith("mailto") else ""
        raise ValueError(
            f"begins with {scheme}://, which speaks no HTTP, so that nobody could tell what became of a message{own}"
        )
    if not kind.enabled:
        needs = kind.requirements.get("packages_required") or ()
        names = needs if isinstance(needs, str) else " and ".join(needs)
        raise ValueError(f"needs a further package for {kind.service_name} here: {names or _help(kind)}")


def _modules(name: str) -> Iterable[str]:
    """The module of a plugin, with all others of its package where it has one; none of what all plugins are made of."""
    if not name.startswith(_PLUGINS) or name == f"{_PLUGINS}base":
        return []
    package = name.removeprefix(_PLUGINS).partition(".")[0]
    return [one for one in list(sys.modules) if f"{one}.".startswith(f"{_PLUGINS}{package}.")]


def _help(kind: Any) -> str:
    return str(kind.setup_url or ANSWERS)


def _limits(plugin: Any) -> Limits:
    from apprise import NotifyFormat

    title, body = int(plugin.title_maxlen), int(plugin.body_maxlen)
    spare = int(plugin.overflow_buffer) + 2
    return Limits(
        title=title,
        body=body - spare,
        form=Form(plugin.resolve_format(NotifyFormat.TEXT).value),
        shared=_COUNTER if plugin.overflow_amalgamate_title else 0,
        lines=int(plugin.body_max_line_count),
    )


def _loaded() -> Any:
    """The library's plugins by scheme, loaded, with their requests and their log led through here."""
    log = logging.getLogger("apprise")
    if _noted not in log.filters:
        log.addFilter(_noted)
    with warnings.catch_warnings():
        # Of modules that Python will no longer have, which concern none of us.
        warnings.simplefilter("ignore")
        from apprise.manager_plugins import NotificationManager

        manager: Any = NotificationManager()  # type: ignore[no-untyped-call]
        manager.load_modules()
    for name, module in list(sys.modules.items()):
        if name.startswith(_PLUGINS) and vars(module).get("requests") is sys.modules["requests"]:
            module.requests = Requests()  # type: ignore[attr-defined]
    return manager


def _noted(record: logging.LogRecord) -> bool:
    """Keeps what the library logs out of the log: it may hold addresses, and says what the forwarder says itself."""
    if record.levelno >= logging.WARNING:
        complain(record.getMessage())
    return False
