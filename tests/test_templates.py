"""Titles and texts in the words of the config's templates."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from forwarder.alert import Alert, Severity
from forwarder.connector import Change, Delivery, Kind, Templates
from forwarder.templates import MAX_TEXT, MAX_TITLE, TemplateTexts, problems

ALERT = Alert(
    id="a1",
    title="Shell & <b>injection</b>",
    severity=Severity.HIGH,
    published_at=datetime(2026, 1, 2, tzinfo=UTC),
    cve_id="CVE-2026-0001",
    raw={"extra": "more"},
)
DELIVERY = Delivery(id=1, alert=ALERT, connector="secops", enqueued_at=ALERT.published_at)


def words(template: str, delivery: Delivery = DELIVERY) -> tuple[str, str, list[str]]:
    """What a template makes of a delivery, as a title and as a text, and the failures it told."""
    failures: list[str] = []
    texts = TemplateTexts(Templates(title=template, text=template), failures.append)
    return texts.title(delivery, "built-in title"), texts.text(delivery, "built-in text"), failures


def test_without_templates_the_built_in_words_stand() -> None:
    """A connector without templates speaks its own words."""
    texts = TemplateTexts(Templates(), pytest.fail)
    assert (texts.title(DELIVERY, "one"), texts.text(DELIVERY, "two\nlines")) == ("one", "two\nlines")


def test_templates_have_alert_changes_and_kind_at_hand() -> None:
    """A template reads the alert, what changed, the kind of the delivery and the built-in words, as plain text."""
    update = Delivery(
        id=2,
        alert=ALERT,
        connector="secops",
        enqueued_at=ALERT.published_at,
        kind=Kind.UPDATE,
        changes=(Change(field="cvss_score", old=None, new=7.5),),
    )
    template = (
        "[{{ alert.severity }}] {{ alert.title }} {{ alert.published_at.strftime('%Y') }} {{ alert.raw.extra }}"
        "{% for change in changes %} {{ change.field }}: {{ change.old }}->{{ change.new }}{% endfor %} {{ kind }}"
        "\n{{ built_in }}"
    )
    line = "[high] Shell & <b>injection</b> 2026 more cvss_score: ->7.5 update"
    assert words(template, update) == (f"{line} built-in title", f"{line}\nbuilt-in text", [])


def test_a_failing_template_is_told_and_the_built_in_words_are_sent() -> None:
    """An alert in other words is better than none: a failure at sending is told and costs nothing else."""
    title, text, failures = words("{{ alert.cvss_score + 1 }}")
    assert (title, text) == ("built-in title", "built-in text")
    assert failures == [
        f"the template of the {key} failed, the built-in {key} was sent: unsupported operand type(s) for +: 'NoneType' "
        "and 'int'"
        for key in ("title", "text")
    ]


@pytest.mark.parametrize(
    "template",
    [
        "{{ nope }}",
        "{{ alert.nope }}",
        "{% if %}",
        "{{ alert.raw.update({'a': 1}) }}",
        "{{ alert.__class__.__mro__ }}",
        "{{ ''.__class__ }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ 'x' * 1000000000 }}",
        "{% for i in range(1001) %}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_what_a_template_may_not_do(template: str) -> None:
    """Misspelling, writing, looking behind the alert and running away end in the built-in words, and at the check."""
    title, text, failures = words(template)
    assert (title, text, len(failures)) == ("built-in title", "built-in text", 2)
    assert ALERT.raw == {"extra": "more"}
    assert [key for key, _ in problems(Templates(title=template, text=template))] == ["title", "text"]


def test_a_template_that_comes_to_nothing_leaves_the_built_in_words() -> None:
    """A template for one kind alone leaves the words of the others: no destination takes an empty message."""
    assert words("{% if kind == 'withdraw' %}gone{% endif %} \n") == ("built-in title", "built-in text", [])


@pytest.mark.parametrize("over", [0, 1])
def test_a_text_has_a_limit(over: int) -> None:
    """At the limit a text is whole, one past it is cut with a mark."""
    size = MAX_TEXT + over
    title, text, failures = words("{{ alert.raw.big }}", _with_raw({"big": "x" * size}))
    assert (len(text), text.endswith("…")) == (MAX_TEXT, bool(over))
    assert (len(title), title.endswith("…")) == (MAX_TITLE, True)
    assert failures == []


def test_an_endless_template_ends_at_the_limit() -> None:
    """A template that would come to a hundred million characters stops as soon as it has too many."""
    loops = "{% for i in range(1000) %}{% for j in range(1000) %}{{ alert.raw.big }}{% endfor %}{% endfor %}{{ late }}"
    _, text, failures = words(loops, _with_raw({"big": "y" * 100}))
    assert (len(text), failures) == (MAX_TEXT, [])


def test_what_a_template_takes_from_the_raw_alert_is_cleaned() -> None:
    """Control characters in the raw alert reach no destination, and a title stays one line."""
    title, text, _ = words("{{ alert.raw.bad }}", _with_raw({"bad": "a\x1b[31m\nb\u202e"}))
    assert (title, text) == ("a\ufffd[31m b", "a\ufffd[31m\nb")


def test_a_template_that_fails_for_some_alerts_is_found_at_the_check() -> None:
    """Alerts without a CVSS score, of every kind, are tried before anything runs."""
    assert problems(Templates(title="{{ '%.1f' % alert.cvss_score }}", text="{{ changes[0].field }}")) == [
        (
            "title",
            "fails for an alert with nothing but an id and a date, as an open: must be real number, not NoneType",
        ),
        ("text", "fails for an alert with every field, as an open: tuple object has no element 0"),
    ]


def test_good_templates_have_no_problems() -> None:
    """What works for every alert passes, and no template needs no check."""
    assert problems(Templates()) == []
    assert problems(Templates(title="{{ alert.cve_id or alert.id }}", text="{{ alert.description }} {{ 2 * 3 }}")) == []


def test_jinja_is_imported_only_for_a_template() -> None:
    """A config without templates does not pay for the template engine."""
    code = (
        "import sys; from forwarder.templates import *; from forwarder.connector import Templates; "
        "problems(Templates()); assert 'jinja2' not in sys.modules; "
        "problems(Templates(title='x')); assert 'jinja2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _with_raw(raw: dict[str, str]) -> Delivery:
    alert = Alert(id="a1", title="t", severity=Severity.LOW, published_at=ALERT.published_at, raw=raw)
    return Delivery(id=1, alert=alert, connector="secops", enqueued_at=ALERT.published_at)
