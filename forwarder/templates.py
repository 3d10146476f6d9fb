"""Titles and texts in the words of the config's templates.

The templates are Jinja2's, in its sandbox: they read an alert and can change or reach nothing else
(https://jinja.palletsprojects.com/en/stable/sandbox/). Jinja2 is imported only where a template is set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from forwarder.alert import Alert
from forwarder.common.text import clean, cut, one_line
from forwarder.connector import Change, Delivery, Kind, Templates

if TYPE_CHECKING:
    from jinja2 import Environment, Template

MAX_TEXT: Final = 32_767
"""Characters that a template may come to: Jira's limit of a description, the largest of any destination."""

MAX_TITLE: Final = 1024
"""Characters of a title: PagerDuty's limit of a summary, the largest of any destination."""

MAX_RANGE: Final = 1000
"""How far a template may count: loops in loops would else hold a worker for minutes."""


class TemplateTexts:
    """The texts that templates make. Where one is not set, fails or comes to nothing, the built-in words stand.

    A failure is told to ``on_failure`` in one sentence: an alert in other words is better than none.
    """

    def __init__(self, templates: Templates, on_failure: Callable[[str], None]) -> None:
        self._templates = templates
        self._on_failure = on_failure

    def title(self, delivery: Delivery, built_in: str) -> str:
        """The title: one line of at most MAX_TITLE characters."""
        return cut(one_line(self._words("title", self._templates.title, delivery, built_in)), MAX_TITLE)

    def text(self, delivery: Delivery, built_in: str) -> str:
        """The body: at most MAX_TEXT characters."""
        return self._words("text", self._templates.text, delivery, built_in)

    def _words(self, key: str, source: str | None, delivery: Delivery, built_in: str) -> str:
        if source is None:
            return built_in
        try:
            return _render(source, delivery, built_in) or built_in
        except Exception as error:  # a template can raise whatever Python can
            self._on_failure(f"the template of the {key} failed, the built-in {key} was sent: {_reason(error)}")
            return built_in


def problems(templates: Templates) -> list[tuple[str, str]]:
    """The key and the mistake of each template that does not work for some alert; tried on alerts of every shape."""
    return [
        (key, mistake)
        for key, source in (("title", templates.title), ("text", templates.text))
        if source is not None and (mistake := _mistake(source))
    ]


def _mistake(source: str) -> str | None:
    try:
        _compiled(source)
    except Exception as error:  # besides its syntax errors, Jinja2 lets out Python's, such as RecursionError
        line = getattr(error, "lineno", None)
        place = f"line {line} of the template: " if line else ""
        return f"is no template that can be used: {place}{_reason(error)}"
    for shape, delivery in _samples():
        try:
            _render(source, delivery, "built-in words")
        except Exception as error:  # as above
            return f"fails for {shape}: {_reason(error)}"
    return None


def _reason(error: Exception) -> str:
    return cut(one_line(clean(str(error))), 200) or type(error).__name__


def _render(source: str, delivery: Delivery, built_in: str) -> str:
    parts: list[str] = []
    size = 0
    for part in _compiled(source).generate(
        alert=delivery.alert,
        changes=delivery.changes,
        kind=delivery.kind.value,
        vendors=delivery.vendor_names,
        evidence=delivery.evidence,
        accounts=delivery.accounts,
        built_in=built_in,
    ):
        parts.append(part)
        size += len(part)
        if size > MAX_TEXT:
            break
    return cut(clean("".join(parts)).strip(), MAX_TEXT)


@lru_cache(maxsize=64)
def _compiled(source: str) -> Template:
    return _environment().from_string(source)


@cache
def _environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        """Without the two operators by which a short template makes a number or a text of any size."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
            if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
                raise SecurityError(f"the operator {operator} may multiply numbers only")
            return super().call_binop(context, operator, left, right)

    def counted(*bounds: int) -> range:
        numbers = range(*bounds)
        if len(numbers) > MAX_RANGE:
            raise SecurityError(f"range may count to {MAX_RANGE} at most")
        return numbers

    environment = Sandbox(
        autoescape=False,  # plain text: each connector escapes what it sends
        undefined=StrictUndefined,
        finalize=lambda value: "" if value is None else value,
    )
    environment.globals["range"] = counted
    return environment


_AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_FULL: Final[dict[str, Any]] = {
    "id": "00000000-0000-4000-8000-000000000000",
    "published_at": _AT.isoformat(),
    "cve_id": "CVE-2026-0001",
    "title": "A sample",
    "description": "A sample of a description.",
    "severity": "critical",
    "cvss_score": 9.8,
    "epss_score": 0.5,
    "source_urls": ["https://nvd.nist.gov/vuln/detail/CVE-2026-0001"],
    "affected_vendors": ["github"],
    "cisa_kev": True,
    "alert_type": "cve",
}


def _samples() -> Iterator[tuple[str, Delivery]]:
    """Alerts of every shape that the API may send, and what they are, each as every kind of delivery."""
    bare = {key: _FULL[key] for key in ("id", "published_at")}
    shapes: dict[str, dict[str, Any]] = {
        "an alert with every field": _FULL,
        "an alert with nothing but an id and a date": bare,
        "an alert whose severity is not known": _FULL | {"severity": "apocalyptic"},
        "an alert that holds template and markup signs": _FULL
        | {"title": "{{ 1/0 }} {% <!channel> & \u202e \x00", "description": "}} %} {# '\"\\"},
        "a very large alert": _FULL
        | {"title": "x" * 5_000, "description": "word " * 40_000, "affected_vendors": ["vendor"] * 2_000},
    }
    changes = (
        Change(field="severity", old="high", new="critical"),
        Change(field="cvss_score", old=None, new=9.8),
        Change(field="affected_vendors", old=[], new=["github"]),
    )
    for shape, raw in shapes.items():
        alert = Alert.parse(raw)
        for kind in Kind:
            told = f"{shape}, as {'an' if kind.value[0] in 'aeiou' else 'a'} {kind.value}"
            yield (
                told,
                Delivery(
                    id=1,
                    alert=alert,
                    connector="sample",
                    enqueued_at=_AT,
                    kind=kind,
                    changes=changes if kind is Kind.UPDATE else (),
                ),
            )
