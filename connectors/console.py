"""The console: prints each delivery, for a first look and for dry runs."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC
from typing import Any, Final, Literal, TextIO

from pydantic import ConfigDict, Field

from forwarder.alert import Alert
from forwarder.connector import (
    Broken,
    Connector,
    ConnectorConfig,
    Delivered,
    Delivery,
    Finding,
    Kind,
    Origin,
    Outcome,
    Payload,
    Receipt,
    Response,
    Retry,
    Texts,
    clean,
    one_line,
)

_WRITING: Final = threading.Lock()
"""One for all: several consoles may share the standard output, and a line must stay a line."""

_HEADS: Final = {
    Kind.OPEN: "",
    Kind.UPDATE: "changed: ",
    Kind.WITHDRAW: "no longer stands: ",
    Kind.ACKNOWLEDGE: "acknowledged: ",
    Kind.RESOLVE: "resolved: ",
    Kind.REOPEN: "reopened: ",
    Kind.REMIND: "still open: ",
}
_ORIGINS: Final = {
    Origin.FEED: "",
    Origin.ALARM: "ALARM ",
    Origin.TEST: "TEST ",
    Origin.DIGEST: "DIGEST ",
    Origin.REPORT: "REPORT ",
}
_DETAILS: Final = ("cve_id", "cvss_score", "epss_score", "cisa_kev", "affected_vendors", "alert_type", "source_urls")


class ConsoleConfig(ConnectorConfig):
    """Prints each alert on the standard output."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["console"]
    format: Literal["line", "json"] = Field(
        default="line", description="A line for people, or one JSON object a line for programs."
    )


class Console(Connector[ConsoleConfig]):
    """The standard output of this process, or ``stream``."""

    Config = ConsoleConfig
    tells_responses = True

    def __init__(
        self, name: str, config: ConsoleConfig, texts: Texts | None = None, *, stream: TextIO | None = None
    ) -> None:
        super().__init__(name, config, texts)
        self._stream = stream

    def render(self, delivery: Delivery) -> Payload:
        """The facts of the alert under the API's names, with what is told about it."""
        alert = delivery.alert
        return {
            "connector": delivery.connector,
            "kind": delivery.kind.value,
            "origin": delivery.origin.value,
            "id": alert.id,
            "severity": alert.severity_label,
            "title": one_line(clean(self.texts.title(delivery, alert.title))),
            "description": clean(self.texts.text(delivery, alert.description)),
            "published_at": alert.published_at.astimezone(UTC).isoformat(),
            "link": alert.link,
            **({"date_note": alert.date_note} if alert.date_note else {}),
            **_details(alert),
            "vendors": list(delivery.vendor_names),
            "evidence": list(delivery.evidence),
            **({"accounts": list(delivery.accounts)} if delivery.accounts else {}),
            "changes": {
                change.field: {"old": _plain(change.old), "new": _plain(change.new)} for change in delivery.changes
            },
            **({"response": _response(delivery.response)} if delivery.response else {}),
            "links": [{"connector": link.connector, "text": link.text, "url": link.url} for link in delivery.links],
        }

    def deliver(self, delivery: Delivery, payload: Payload) -> Outcome:  # noqa: ARG002
        """Prints the payload as one line."""
        stream = self._stream or sys.stdout
        text = json.dumps(payload) if self.config.format == "json" else _printable(self.preview(payload), stream)
        try:
            with _WRITING:
                stream.write(f"{text}\n")
                stream.flush()
        except BrokenPipeError:
            return Broken("nobody reads the standard output any more")
        except OSError as error:
            return Retry(f"the standard output takes nothing: {error.strerror}")
        except ValueError:
            return Broken("the standard output is closed")
        return Delivered(Receipt(remote_id="stdout"))

    def check(self) -> list[Finding]:
        """Whether there is a stream to print to."""
        if (self._stream or sys.stdout).closed:
            return [Finding(ok=False, text="The standard output is closed: start the forwarder with one.")]
        return [Finding(ok=True, text="Alerts are printed on the standard output.")]

    def preview(self, payload: Payload) -> str:
        """The line for people, whatever the format."""
        facts = [
            payload.get("date_note", ""),
            payload["cve_id"],
            ", ".join(payload["vendors"]),
            f"CVSS {payload['cvss_score']}" if payload["cvss_score"] is not None else "",
            f"EPSS {payload['epss_score']:.1%}" if payload["epss_score"] is not None else "",
            "CISA KEV" if payload["cisa_kev"] else "",
            *(f"{name}: {change['old']} → {change['new']}" for name, change in payload["changes"].items()),
            payload.get("response", {}).get("words", ""),
            *payload["evidence"],
            payload["link"],
            *(link["url"] for link in payload["links"]),
        ]
        level, _, remark = payload["severity"].partition(" ")
        severity = f"{level.upper():<8} {remark}".rstrip()
        head = f"{_ORIGINS[Origin(payload['origin'])]}{severity} {payload['published_at'][:16]}Z"
        title = f"{_HEADS[Kind(payload['kind'])]}{payload['title']}"
        return one_line(" | ".join([f"{head} {title}", *(fact for fact in facts if fact)]))


def _details(alert: Alert) -> dict[str, Any]:
    return {name: _plain(getattr(alert, name)) for name in _DETAILS}


def _response(response: Response) -> dict[str, Any]:
    return {
        "words": response.words,
        "person": response.person,
        "place": response.place,
        "reason": response.reason,
        "resolution": response.resolution,
        "at": response.at.isoformat(),
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _printable(text: str, stream: TextIO) -> str:
    # Under a C locale the stream knows ASCII alone, and an arrow must not cost the line.
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, errors="backslashreplace").decode(encoding)
