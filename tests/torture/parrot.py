"""Services that repeat every secret they know in every refusal, and everything that the forwarder shows meanwhile."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import httpx2

from forwarder.sandbox import Fault, FaultKind, Sandbox
from tests.torture.leaks import leaks
from tests.torture.world import HASTE, TARGET, World

NAMES: Final = tuple(
    name
    for name in (
        *("slack-token", "slack-webhook", "teams", "pagerduty", "jsm", "jira-cloud", "github", "webhook", "email"),
        "apprise",
    )
    if name in TARGET
)
REFUSALS: Final = (500, 429, 400, 404)
REFUSALS_OF_MAIL: Final = (*REFUSALS[:-1], 535)
"""The last one breaks every destination, so that its pause tells a reason too."""
PAGES: Final = ("/", "/alerts", "/dead-letters", "/gaps", "/set-aside", "/sign-in", "/metrics", "/healthz", "/readyz")
COMMANDS: Final = (
    ("check", "--live"),
    ("status", "--json"),
    ("deliveries", "--json"),
    ("alerts",),
    ("health",),
    ("preview", "jira-cloud"),
    ("test", "slack-webhook"),
)


def run(folder: Path) -> list[str]:
    """Where a secret was shown; empty where none was."""
    mark = secrets.token_hex(8)
    with Sandbox(limits=False) as sandbox:
        sandbox.sentrytex.token = f"vk_{mark}-feed"
        sandbox.slack.token = f"xoxb-{mark}-slack"
        sandbox.jira.token = f"{mark}-jira"
        sandbox.github.token = f"{mark}-github"
        sandbox.pagerduty.routing_key = f"{mark}{mark}"
        sandbox.teams.signature = f"{mark}-signature"
        sandbox.jsm.api_key = f"{mark}-duty"
        sandbox.webhook.token = f"{mark}-webhook"
        sandbox.email.password = f"{mark}-email"
        sandbox.apprise.token = f"{mark}-token"
        port, web_token = _free_port(), f"{mark}-web-token"
        beat = f"http://127.0.0.1:{port}/{mark}/heartbeat"
        more = {"web": {"listen": f"127.0.0.1:{port}", "token": web_token}, "heartbeat": {"url": beat}}
        patient = {name: {**HASTE[name], "give_up_after": "1h"} for name in NAMES}
        place = World(folder, sandbox, NAMES, settings=patient, more=more)
        planted = place.secrets | {beat, web_token}
        _teach(place)
        alerts = place.publish(len(REFUSALS) + 1)
        with place.start() as daemon:
            daemon.until(lambda: place.said('"started"') and _all_paused(place), "every connector is paused")
            shown = [*_pages(port, web_token, alerts[0].id), *_commands(place, alerts[0].id)]
            assert daemon.stop() == 0
    # The config is where the web's token and the heartbeat stand; nothing else may show them.
    place.config.unlink()
    found = leaks(folder, planted)
    return found + [name for name, text in shown if any(secret in text for secret in planted)]


def _teach(place: World) -> None:
    """Lets each service repeat what it was sent of secrets; no service knows another's."""
    for target in place.targets.values():
        body = _repeating(target.secrets(place.sandbox))
        for status in REFUSALS if target.http else REFUSALS_OF_MAIL:
            target.service(place.sandbox).inject(
                Fault(
                    kind=FaultKind.STATUS,
                    status=status,
                    headers={"Retry-After": "0.1"},
                    body=body,
                    path=target.send,
                    times=None if status in (REFUSALS[-1], REFUSALS_OF_MAIL[-1]) else 1,
                )
            )
    body = _repeating([place.sandbox.sentrytex.token])
    place.sandbox.sentrytex.inject(*(Fault(kind=FaultKind.STATUS, status=status, body=body) for status in (500, 400)))


def _repeating(secrets: Iterable[str]) -> str:
    words = f"you sent {' and '.join(secrets)}"
    return json.dumps({"ok": False, "error": words, "errors": [words], "errorMessages": [words], "message": words})


def _all_paused(place: World) -> bool:
    with place.store() as store:
        return all(queue.pause for queue in store.queries.queues(list(place.targets)))


def _pages(port: int, token: str, alert_id: str) -> Iterator[tuple[str, str]]:
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20.0) as client:
        for path in (*PAGES, f"/alerts/{alert_id}", "/nowhere"):
            answer = client.get(path)
            assert answer.status_code < 500, f"the page {path} failed"
            yield f"the page {path}", f"{answer.headers}\n{answer.text}"


def _commands(place: World, alert_id: str) -> Iterator[tuple[str, str]]:
    for arguments in (*COMMANDS, ("explain", alert_id)):
        ran = place.command(*arguments)
        assert "Traceback" not in ran.stderr, ran.stderr
        yield f"forwarder {' '.join(arguments)}", ran.stdout + ran.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
