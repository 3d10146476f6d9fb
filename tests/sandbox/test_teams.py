"""The stand-in of a workflow: what it takes, and which cards Teams refuses once it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from forwarder.sandbox import Sandbox, adaptive

CARD: dict[str, Any] = {"type": "AdaptiveCard", "version": "1.4", "body": [{"type": "TextBlock", "text": "Hello"}]}
ADA = {"type": "mention", "text": "<at>Ada</at>", "mentioned": {"id": "ada@example.com", "name": "Ada"}}
UTF8 = {"Content-Type": "application/json; charset=utf-8"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(limits=False) as running:
        yield running


def message(card: Any) -> dict[str, Any]:
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def post(sandbox: Sandbox, said: Any, url: str = "", headers: dict[str, str] = UTF8) -> httpx2.Response:
    return httpx2.post(url or sandbox.teams.url, content=json.dumps(said), headers=headers)


def test_a_card_is_accepted_and_then_posted(sandbox: Sandbox) -> None:
    """The answer names the run, whatever becomes of the card."""
    answers = [post(sandbox, message(card)) for card in (CARD, {**CARD, "version": "1.5"})]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.headers["x-ms-workflow-run-id"] for answer in answers}) == 2
    assert sandbox.teams.cards == [CARD]
    assert sandbox.teams.failed == [["version 1.5 is not supported"]]


def test_what_is_not_for_a_trigger_is_refused(sandbox: Sandbox) -> None:
    """Other addresses, signatures, methods and shapes, each with the code that a workflow gives."""
    url = sandbox.teams.url
    answers = [
        post(sandbox, message(CARD), f"{sandbox.teams.origin}/other"),
        post(sandbox, message(CARD), url[:-1]),
        httpx2.get(url),
        post(sandbox, {"text": "hello"}),
    ]
    sandbox.teams.turn_off()
    answers.append(post(sandbox, message(CARD)))
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
        (404, "WorkflowNotFound"),
        (401, "DirectApiAuthorizationRequired"),
        (404, "TriggerRequestMethodNotValid"),
        (400, "TriggerInputSchemaMismatch"),
        (400, "WorkflowTriggerIsNotEnabled"),
    ]
    assert sandbox.teams.cards == []


def test_emoji_need_a_charset(sandbox: Sandbox) -> None:
    """Without one the card is not shown as it was meant."""
    post(sandbox, message(CARD), headers={"Content-Type": "application/json"})
    assert sandbox.teams.cards == []


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Card"},
        {"version": None},
        {"body": []},
        {"body": [{"type": "TextBlock"}]},
        {"body": [{"type": "TextBlock", "text": "a", "link": "https://example.com"}]},
        {"body": [{"type": "Table", "rows": []}]},
        {"body": [{"type": "RichTextBlock", "inlines": []}]},
        {"body": [{"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": "<at>Ada</at>"}]}]},
        {"body": [{"type": "Container", "style": "purple", "items": []}]},
        {"body": [{"type": "ColumnSet", "columns": [{"type": "Column", "width": "wide", "items": []}]}]},
        {"body": [{"type": "TextBlock", "text": "x" * adaptive.MAX_BYTES}]},
        {"body": [{"type": "TextBlock", "text": "<at>Ada</at>"}]},
        {"msteams": {"entities": [ADA]}},
        {
            "body": [{"type": "TextBlock", "text": "<at>Ada</at>"}],
            "msteams": {"entities": [{**ADA, "mentioned": {"id": "ada", "name": "Ada"}}]},
        },
        {"actions": [{"type": "Action.Submit", "title": "Go"}]},
        {"actions": [{"type": "Action.OpenUrl", "title": "Go", "url": "javascript:alert(1)"}]},
        {"actions": [{"type": "Action.OpenUrl", "title": "Go", "url": "https://example.com"}] * 7},
    ],
)
def test_teams_refuses(changes: dict[str, Any]) -> None:
    """Other versions and newer elements, forms that it does not know, what is too large, and mentions of nobody."""
    assert adaptive.problems(CARD) == []
    assert len(adaptive.problems({**CARD, **changes})) == 1


def test_mentions_and_links_are_seen() -> None:
    """In the texts that read Markdown, wherever they stand."""
    text = {"type": "TextBlock", "text": "<at>Ada</at>: [here](https://example.com/1)"}
    card = {
        **CARD,
        "body": [{"type": "ColumnSet", "columns": [{"type": "Column", "items": [text]}]}],
        "actions": [{"type": "Action.OpenUrl", "title": "Go", "url": "https://example.com/2"}],
        "msteams": {"entities": [ADA]},
    }
    assert adaptive.problems(card) == []
    assert adaptive.mentions(card) == ["ada@example.com"]
    assert adaptive.links(card) == ["https://example.com/1", "https://example.com/2"]
