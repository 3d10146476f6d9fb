"""What the forwarder logs: one event a line, as JSON or in colour, and never a secret.

The libraries' own logging goes the same way, from WARNING on: at INFO the HTTP clients log addresses, and the address
of a Slack webhook or of a heartbeat is itself the secret.
"""

from __future__ import annotations

import html
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from datetime import date
from typing import Any, Final, TextIO
from urllib.parse import quote, quote_plus, urlsplit

from forwarder.common.imports import import_without
from forwarder.common.text import clean

# structlog imports rich where it finds it, for coloured tracebacks that are not used here: 4 MB and 40 ms a start.
with import_without("rich"):
    import structlog

from structlog.typing import EventDict, Processor, WrappedLogger

get_logger = structlog.get_logger

BLOT: Final = "[secret]"
"""What stands in a secret's place."""

MIN_SECRET: Final = 4
"""Characters: something shorter is no secret, and blotting it out would leave no text readable."""

LIBRARIES: Final = (
    "apprise",
    "apscheduler",
    "httpcore2",
    "httpx2",
    "jira",
    "pagerduty",
    "slack_sdk",
    "urllib3",
    "uvicorn",
)

_PATTERNS: Final = (
    r"\bvk_[A-Za-z0-9_-]{6,}",
    r"\bwhs(?:ec|k)_[A-Za-z0-9+/=]{6,}",
    r"\bgithub_pat_[A-Za-z0-9_]{6,}|\bgh[opsur]_[A-Za-z0-9_]{6,}",
    r"\bx(?:ox[a-z]|app)-[A-Za-z0-9-]{6,}",
    r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[A-Za-z0-9/_-]+",
    r"(?<=[?&]sig=)[A-Za-z0-9%_-]{16,}",
    r"(?i:(?<=\bbasic )|(?<=\bbearer ))[A-Za-z0-9+/=._~-]{16,}",
)
"""Sentrytex keys, keys that sign webhooks, tokens of GitHub and Slack, Slack webhooks, signatures of workflows,
credentials in an Authorization header: known by their form alone."""

_MAX_DEPTH: Final = 8


class Redactor:
    """Blots secrets out of texts: those it was told of, in any form in which they travel, and those it knows by form.

    All that write or show anything share one. ``update`` adds the secrets of a config that was reloaded; the old ones
    stay, for an attempt under way may still speak of them.
    """

    def __init__(self, secrets: Iterable[str] = (), *, patterns: bool = True) -> None:
        self._fixed = _PATTERNS if patterns else ()
        self._secrets: frozenset[str] = frozenset()
        self.update(secrets)

    def update(self, secrets: Iterable[str]) -> None:
        """Adds secrets; texts are safe from them as soon as it returns."""
        self._secrets |= frozenset(secrets)
        forms = {form for secret in self._secrets for form in _forms(secret) if len(form) >= MIN_SECRET}
        # The longest first: a secret that holds another one must not leave its rest behind.
        alternatives = [re.escape(form) for form in sorted(forms, key=len, reverse=True)]
        expression = "|".join((*alternatives, *self._fixed))
        self._pattern = re.compile(expression) if expression else None

    def __call__(self, text: str) -> str:
        """``text`` with ``[secret]`` in place of every secret."""
        return self._pattern.sub(BLOT, text) if self._pattern else text

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"


def _forms(secret: str) -> Iterator[str]:
    """A secret as it stands in addresses, JSON, reprs and pages; of an address also the part behind the host."""
    yield from (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    if secret.startswith(("http://", "https://")):
        with suppress(ValueError):
            yield from _behind_the_host(secret)


def _behind_the_host(url: str) -> Iterator[str]:
    parts = urlsplit(url)
    whole = parts.path + (f"?{parts.query}" if parts.query else "")
    # Errors of the HTTP clients name host and path apart; a short path is no secret.
    yield from (form for form in (whole, parts.path, parts.query) if len(form) > 2 * MIN_SECRET)


def configure(
    level: str = "info", log_format: str = "auto", *, stream: TextIO | None = None, redactor: Redactor | None = None
) -> None:
    """Sets up structlog and the standard library's logging, both to ``stream`` (standard error). Call it again at will.

    ``level`` is debug, info, warning or error; ``log_format`` is json, color, or auto: colour on a terminal.
    """
    stream = stream or sys.stderr
    least = logging.getLevelNamesMapping()[level.upper()]
    handler = _Handler(stream)
    handler.setFormatter(_formatter(stream, log_format, redactor or Redactor()))
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _Handler)] + [handler]
    root.setLevel(max(least, logging.WARNING))
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
    logging.captureWarnings(True)
    logging.getLogger(_OURS).setLevel(logging.DEBUG)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=_our_logger,
        cache_logger_on_first_use=False,
    )


_OURS: Final = "forwarder"


def _our_logger(*_: object) -> logging.Logger:
    return logging.getLogger(_OURS)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes a line. Where that fails nothing is raised, and the event is not shown raw, as logging itself would."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exc_info()[0]
        try:
            self.stream.write(f"an event of {record.name} could not be logged: {error.__name__ if error else ''}\n")
        except (OSError, ValueError):
            return  # the stream itself is gone, and with it whoever could be told


def _formatter(stream: TextIO, log_format: str, redactor: Redactor) -> logging.Formatter:
    terminal = log_format == "color" or (log_format == "auto" and stream.isatty())
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=False)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if terminal:
        stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        renderer = structlog.dev.ConsoleRenderer(
            colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            stamp,
            _Safe(redactor),
            renderer,
        ],
    )


class _Safe:
    """The processor that leaves nothing but plain values in an event, without secrets and control characters."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> MutableMapping[str, Any]:
        first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
        safe: dict[str, Any] = self._value({**first, **event}, _MAX_DEPTH)
        return safe

    def _value(self, value: object, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping) and depth:
            return {self._text(str(key)): self._value(item, depth - 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth:
            return [self._value(item, depth - 1) for item in value]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return self._text(value.isoformat() if isinstance(value, date) else str(value))

    def _text(self, text: str) -> str:
        return self._redactor(clean(text))
