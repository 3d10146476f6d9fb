"""The console: a line or an object per delivery, on whatever stream there is."""

from __future__ import annotations

import errno
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest

from connectors.console import Console, ConsoleConfig
from forwarder.alert import Change
from forwarder.connector import Broken, Delivered, Kind, Link, Origin, Outcome, Receipt, Retry
from forwarder.testing import alert, delivery, hostile_alerts, odd_alerts


def console(stream: Any = None, *, format: Literal["line", "json"] = "line") -> Console:  # noqa: A002
    return Console("here", ConsoleConfig(type="console", format=format), stream=stream)


def printed(connector: Console, stream: io.StringIO, **changes: Any) -> str:
    outstanding = delivery(**changes)
    assert connector.deliver(outstanding, connector.render(outstanding)) == Delivered(Receipt(remote_id="stdout"))
    return stream.getvalue()


def test_a_line_says_what_a_person_needs() -> None:
    """A line starts with the severity and holds the title, the CVE, the scores, the vendors and where to read on."""
    stream = io.StringIO()
    line = printed(console(stream), stream, alert=alert(cisa_kev=True))
    assert line == (
        "CRITICAL 2026-03-01T11:30Z Authentication bypass in the example gateway | CVE-2026-10001 | github, aws-lambda"
        " | CVSS 9.8 | EPSS 42.0% | CISA KEV | https://nvd.nist.gov/vuln/detail/CVE-2026-10001\n"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"kind": Kind.UPDATE, "changes": (Change(field="severity", old="high", new="critical"),)},
            ("changed: ", "severity: high → critical"),
        ),
        ({"kind": Kind.WITHDRAW}, ("no longer stands: ",)),
        ({"origin": Origin.TEST}, ("TEST CRITICAL",)),
        ({"origin": Origin.ALARM}, ("ALARM CRITICAL",)),
        ({"links": (Link(connector="tickets", text="SEC-12", url="https://jira.example/SEC-12"),)}, ("/SEC-12",)),
        ({"alert": alert(severity="catastrophic")}, ("CRITICAL (the API said: catastrophic)",)),
    ],
)
def test_a_line_says_what_kind_of_news_it_is(changes: dict[str, Any], told: tuple[str, ...]) -> None:
    """Changes, withdrawals, alarms, tests, links and unknown severities can be told apart."""
    stream = io.StringIO()
    line = printed(console(stream), stream, **changes)
    assert all(words in line for words in told)


def test_json_holds_the_facts_under_their_names() -> None:
    """In the json format each line is one object with the API's names."""
    stream = io.StringIO()
    told = json.loads(printed(console(stream, format="json"), stream))
    assert told["id"] == alert().id
    assert told["affected_vendors"] == ["github", "aws-lambda"]
    assert told["kind"] == "open"


@pytest.mark.parametrize("format", ["line", "json"])
def test_whatever_an_alert_holds_stays_one_line(format: Literal["line", "json"]) -> None:  # noqa: A002
    """No text of an alert breaks a line in two or sends an escape sequence to the terminal."""
    stream = io.StringIO()
    connector = console(stream, format=format)
    alerts = [*hostile_alerts(), *odd_alerts()]
    for one in alerts:
        printed(connector, stream, alert=one)
    lines = stream.getvalue().splitlines()
    assert len(lines) == len(alerts)
    assert not any("\x1b" in line or "\x9b" in line for line in lines)


def test_a_terminal_that_knows_ascii_alone_gets_every_line() -> None:
    """Under a C locale an arrow comes out as an escape, not as an error."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    outstanding = delivery(kind=Kind.UPDATE, changes=(Change(field="severity", old="high", new="critical"),))
    connector = console(stream)
    assert isinstance(connector.deliver(outstanding, connector.render(outstanding)), Delivered)
    assert b"high \\u2192 critical" in buffer.getvalue()


def test_without_a_stream_it_prints_on_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """The standard output of the moment is used, not the one of the start."""
    outstanding = delivery()
    connector = console()
    connector.deliver(outstanding, connector.render(outstanding))
    assert "CVE-2026-10001" in capsys.readouterr().out


class Failing(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def flush(self) -> None:
        if not self.closed:
            raise self.error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (BrokenPipeError(errno.EPIPE, "broken pipe"), Broken("nobody reads the standard output any more")),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            Retry("the standard output takes nothing: No space left on device"),
        ),
    ],
)
def test_a_stream_that_fails_is_told(error: OSError, outcome: Outcome) -> None:
    """A reader that left breaks the destination; a full disk is tried again."""
    outstanding = delivery()
    connector = console(Failing(error))
    assert connector.deliver(outstanding, connector.render(outstanding)) == outcome


def test_a_closed_stream_breaks_the_destination() -> None:
    """A closed standard output is told by a delivery and by a check."""
    stream = io.StringIO()
    stream.close()
    outstanding = delivery()
    connector = console(stream)
    assert isinstance(connector.deliver(outstanding, connector.render(outstanding)), Broken)
    assert [finding.ok for finding in connector.check()] == [False]


class Yielding(io.StringIO):
    """A stream that lets other threads in between the two halves of a text."""

    def write(self, text: str) -> int:
        middle = len(text) // 2
        written = super().write(text[:middle])
        os.sched_yield()
        return written + super().write(text[middle:])


def test_consoles_that_share_a_stream_mix_no_lines() -> None:
    """Many threads over two consoles write whole lines."""
    stream = Yielding()
    connectors = [console(stream, format="json"), console(stream, format="json")]

    def send(number: int) -> None:
        outstanding = delivery(alert=alert(title=f"alert {number}"))
        connector = connectors[number % 2]
        connector.deliver(outstanding, connector.render(outstanding))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(400)))
    titles = {json.loads(line)["title"] for line in stream.getvalue().splitlines()}
    assert titles == {f"alert {number}" for number in range(400)}
