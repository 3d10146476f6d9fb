"""What is logged: one event a line, and never a secret."""

from __future__ import annotations

import html
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import structlog

from forwarder.logs import LIBRARIES, Redactor, configure

TOKEN = 'not a "real" tökén/+&<1>'
PING = "https://ping.example.com/not-a-real-check?rid=not-a-real-run"


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Puts logging back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in (*LIBRARIES, "forwarder")}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(stream: StringIO) -> list[dict[str, Any]]:
    """The events that were logged as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> StringIO:
    """Where JSON is logged, with the test's secrets known."""
    stream = StringIO()
    configure("info", "json", stream=stream, redactor=Redactor([TOKEN, PING]))
    return stream


def test_one_event_a_line(stream: StringIO) -> None:
    """An event is one line of JSON: time in UTC, level, event, then what was bound to it and to the context."""
    structlog.contextvars.bind_contextvars(connector="secops")
    structlog.get_logger().bind(delivery=7).info("delivered", link="https://example.com", when=datetime(2026, 1, 2))  # noqa: DTZ001
    structlog.get_logger().warning("two\nlines")
    first, second = lines(stream)
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert abs(datetime.fromisoformat(first.pop("timestamp")) - datetime.now(UTC)).total_seconds() < 60
    assert first == {
        "level": "info",
        "event": "delivered",
        "connector": "secops",
        "delivery": 7,
        "link": "https://example.com",
        "when": "2026-01-02T00:00:00",
    }
    assert (second["level"], second["event"]) == ("warning", "two\nlines")


def test_levels(stream: StringIO) -> None:
    """Nothing below the level is logged, and a new set-up changes it at once, without doubling lines."""
    log = structlog.get_logger()
    log.debug("quiet")
    configure("debug", "json", stream=stream)
    log.debug("loud")
    configure("error", "json", stream=stream)
    log.warning("quiet")
    logging.getLogger("jira").warning("quiet")
    log.error("last")
    assert [line["event"] for line in lines(stream)] == ["loud", "last"]


HEARD = [name for name in LIBRARIES if name != "apprise"]
"""Whoever has loaded Apprise keeps what it logs to itself: its warnings name addresses as well."""


@pytest.mark.parametrize("level", ["debug", "info"])
@pytest.mark.parametrize("library", [*HEARD, "httpx2._client", "some.other"])
def test_libraries_are_heard_from_warning_on(library: str, level: str) -> None:
    """The libraries' warnings are events like ours; their talk, which names addresses, is not logged at any level."""
    stream = StringIO()
    configure(level, "json", stream=stream)
    logging.getLogger(library).info("HTTP Request: GET %s", PING)
    logging.getLogger(library).warning("pool is %s", "full")
    (line,) = lines(stream)
    assert (line["level"], line["event"], line["logger"]) == ("warning", "pool is full", library)


def test_warnings_are_logged(stream: StringIO) -> None:
    """What Python warns of is an event, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old ways", stacklevel=1)
    (line,) = lines(stream)
    assert "old ways" in line["event"]


def refuse() -> None:
    """Fails with a secret in the reason."""
    raise RuntimeError(f"refused {TOKEN}")


def test_a_traceback_is_one_field(stream: StringIO) -> None:
    """An exception is logged with its traceback in one field of its line, ours and the libraries'."""
    try:
        refuse()
    except RuntimeError as error:
        structlog.get_logger().exception("failed", error=error)
        logging.getLogger("jira").exception("failed")
    ours, theirs = lines(stream)
    assert ours["error"] == "refused [secret]"
    assert "RuntimeError: refused [secret]" in ours["exception"]
    assert "RuntimeError: refused [secret]" in theirs["exception"]


class Odd:
    """An object that shows a secret."""

    def __repr__(self) -> str:
        return f"<Odd {TOKEN}>"


@pytest.mark.parametrize("log_format", ["json", "color"])
def test_no_secret_is_logged(log_format: str) -> None:
    """A secret is blotted out wherever it stands: in names, texts, lists, objects, bytes, addresses and exceptions."""
    stream = StringIO()
    configure("info", log_format, stream=stream, redactor=Redactor([TOKEN, PING]))
    log = structlog.get_logger()
    nested: list[Any] = [TOKEN]
    nested.append(nested)
    event = f"event {TOKEN}"
    try:
        refuse()
    except RuntimeError:
        log.exception(
            event,
            text=f"<{TOKEN}>",
            items=[{"deep": (TOKEN, {TOKEN})}],
            odd=Odd(),
            raw=TOKEN.encode(),
            nested=nested,
            **{f"key {TOKEN}": 1},
        )
    log.info("sent", url=f"https://example.com/?t={quote(TOKEN, safe='')}", body=json.dumps({"t": TOKEN}))
    logging.getLogger("urllib3").warning("host ping.example.com: failed with url: /not-a-real-check?rid=%s", "x")
    written = stream.getvalue()
    assert "sent" in written
    assert written.count("[secret]") >= 9
    for form in (TOKEN, quote(TOKEN, safe=""), json.dumps(TOKEN)[1:-1], repr(TOKEN)[1:-1], "not-a-real", "t\\u00f6k"):
        assert form not in written


@pytest.mark.parametrize(
    "form",
    [
        TOKEN,
        quote(TOKEN),
        quote(TOKEN, safe=""),
        quote_plus(TOKEN),
        json.dumps(TOKEN)[1:-1],
        json.dumps(TOKEN, ensure_ascii=False)[1:-1],
        html.escape(TOKEN),
        PING,
        quote(PING, safe=""),
        "/not-a-real-check?rid=not-a-real-run",
        "/not-a-real-check",
        "vk_live_0123456789",
        "xoxb-1234-5678-abcdef",
        "xapp-1-ABCDEF",
        "whsec_bm90LWEtcmVhbC1rZXk+/w==",
        "github_pat_11AAAAAAA0not_a_real_token",
        "ghs_notarealtoken",
        "services/T000/B000/XXXX",
    ],
)
def test_forms_of_a_secret(form: str) -> None:
    """A secret is known in each form in which it travels, and vendors' keys by their form alone."""
    told = Redactor([TOKEN, PING])(f"before https://hooks.slack.com/{form} after")
    assert told == "before https://hooks.slack.com/[secret] after"


def test_authorization_headers() -> None:
    """Credentials of an Authorization header are blotted out, plain words after the scheme are not."""
    redactor = Redactor()
    assert redactor("{'Authorization': 'Basic Ym90QGV4YW1wbGUuY29tOnNlY3JldA=='}") == (
        "{'Authorization': 'Basic [secret]'}"
    )
    assert redactor("authorization: bearer not-a-real-token-at-all") == "authorization: bearer [secret]"
    assert redactor("Bearer token required") == "Bearer token required"


def test_signatures_of_addresses() -> None:
    """What signs an address is blotted out of it, and the rest tells which one it was."""
    address = "https://prod-01.example.com/invoke?sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=not-a-real-signature_00%2F"
    assert Redactor()(f"POST {address} 202") == f"POST {address.partition('sig=')[0]}sig=[secret] 202"


def test_a_secret_within_a_secret() -> None:
    """Of two secrets of which one holds the other, nothing is left; a text of three characters is no secret."""
    assert Redactor(["abcd", "abcdefgh", "the"])("abcdefgh the abcd") == "[secret] the [secret]"
    assert Redactor(["http://[not-an-address"])("to http://[not-an-address") == "to [secret]"


def test_a_reload_adds_secrets() -> None:
    """After an update the new secrets are known and the old ones still are; none is shown by the Redactor itself."""
    redactor = Redactor(["old-secret"])
    redactor.update(["new-secret"])
    assert redactor("old-secret new-secret") == "[secret] [secret]"
    assert "secret" not in repr(redactor).replace("secrets", "")


@pytest.mark.parametrize(
    ("log_format", "stream", "colour"),
    [("auto", Terminal(), True), ("auto", StringIO(), False), ("color", StringIO(), True), ("json", Terminal(), False)],
)
def test_formats(log_format: str, stream: StringIO, colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """auto is colour on a terminal and JSON elsewhere; a terminal is sent no control characters of others."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    configure("info", log_format, stream=stream)
    structlog.get_logger().info("hello", title="\x1b]0;owned\x07")
    assert ("\x1b[" in stream.getvalue()) == colour
    assert stream.getvalue().startswith("{") != colour
    assert "\x1b]" not in stream.getvalue()


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets NO_COLOR gets readable lines without colours (https://no-color.org)."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure("info", "auto", stream=stream)
    structlog.get_logger().info("hello", name="x")
    assert "\x1b" not in stream.getvalue()
    assert "name=x" in stream.getvalue()


def test_an_event_that_cannot_be_formatted_is_told_without_its_values(stream: StringIO) -> None:
    """A library's broken log call neither raises nor shows what it was given."""
    record = logging.makeLogRecord({"name": "jira", "levelname": "WARNING", "msg": "%d", "args": (TOKEN,)})
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
            handler.handle(record)
    assert stream.getvalue() == "an event of jira could not be logged: TypeError\n"


def test_a_stream_that_is_gone_stops_nothing(stream: StringIO) -> None:
    """Logging to a closed stream raises nothing."""
    stream.close()
    structlog.get_logger().error("unheard")
