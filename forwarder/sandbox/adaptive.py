"""What Teams refuses in an Adaptive Card that a workflow posts, and what in it would mention people or lead anywhere.

https://learn.microsoft.com/adaptive-cards/schema-explorer/adaptive-card, and for what Teams makes of it
https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_VERSION: Final = (1, 4)
"""https://github.com/microsoft/AdaptiveCards/issues/8965"""
MAX_BYTES: Final = 28 * 1024
"""Of a message's properties, in which the card is text: a card of 24,453 bytes was refused for its 28,897.
https://github.com/MicrosoftDocs/msteams-docs/issues/11274"""
MAX_ACTIONS: Final = 6

_COMMON: Final = {"type", "id", "spacing", "separator", "isVisible", "height"}
_KEYS: Final[Mapping[str, set[str]]] = {
    "TextBlock": {"text", "wrap", "weight", "size", "color", "isSubtle", "maxLines", "horizontalAlignment", "fontType"},
    "RichTextBlock": {"inlines", "horizontalAlignment"},
    "Container": {"items", "style", "bleed", "minHeight", "verticalContentAlignment", "selectAction"},
    "ColumnSet": {"columns", "style", "bleed", "minHeight", "horizontalAlignment", "selectAction"},
    "FactSet": {"facts"},
    "ActionSet": {"actions"},
}
_NEWER: Final = {"Table": "1.5", "CodeBlock": "Teams alone", "CompoundButton": "1.6", "Icon": "1.6", "Badge": "1.6"}
_COLUMN: Final = {*_COMMON, "width", "items", "style", "bleed", "verticalContentAlignment", "minHeight"}
_RUN: Final = {
    "type",
    "text",
    "weight",
    "size",
    "color",
    "isSubtle",
    "italic",
    "strikethrough",
    "highlight",
    "fontType",
}
_CARD: Final = {"$schema", "type", "version", "body", "actions", "msteams", "fallbackText", "lang", "speak"}
_STYLES: Final = {"default", "emphasis", "good", "attention", "warning", "accent"}
_WIDTH: Final = re.compile(r"auto|stretch|[1-9]\d*(?:px)?")
_URL: Final = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_AT: Final = re.compile(r"</?at\b[^>]*>", re.IGNORECASE)
_MENTION: Final = re.compile(r"<at>[^<>]+</at>")
_LINK: Final = re.compile(r"(!?)\[((?:[^\[\]\\]|\\.)*)\]\(([^)]*)\)")
_PERSON: Final = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def size(card: Any) -> int:
    """Bytes of ``card`` as a message keeps it: as text within JSON."""
    return len(json.dumps(json.dumps(card, ensure_ascii=False, separators=(",", ":")), ensure_ascii=False).encode())


def problems(card: Any) -> list[str]:
    """What is wrong with ``card``; empty where Teams would show it."""
    if not isinstance(card, dict) or card.get("type") != "AdaptiveCard":
        return ["Property 'type' must be 'AdaptiveCard'"]
    found = [f"the card has no {key!r} in {MAX_VERSION}" for key in sorted(set(card) - _CARD)]
    found += _in_version(card.get("version"))
    body = card.get("body")
    found += list(_in_elements(body, "body")) if isinstance(body, list) and body else ["the card has no body"]
    found += _in_actions(card.get("actions", []))
    found += _in_mentions(card)
    if size(card) > MAX_BYTES:
        found.append(f"Message properties size exceeded: {size(card)} bytes, whereas max allowed is {MAX_BYTES} bytes")
    return found


def mentions(card: Mapping[str, Any]) -> list[str]:
    """The ids of those whom ``card`` mentions, in its order."""
    ids = {entity["text"]: entity["mentioned"]["id"] for entity in card.get("msteams", {}).get("entities", [])}
    return [ids[said] for text in markdown(card) for said in _MENTION.findall(text) if said in ids]


def links(card: Mapping[str, Any]) -> list[str]:
    """Where ``card`` leads: by its Markdown, and by its buttons."""
    found = [url for text in markdown(card) for _, _, url in _LINK.findall(text)]
    return found + [action["url"] for action in card.get("actions", [])]


def markdown(value: Any) -> Iterator[str]:
    """Every text in which Markdown and mentions are read."""
    if isinstance(value, list):
        for item in value:
            yield from markdown(item)
    elif isinstance(value, dict):
        if value.get("type") == "TextBlock" and isinstance(value.get("text"), str):
            yield value["text"]
        for fact in value.get("facts", []):
            yield from (str(fact.get("title")), str(fact.get("value")))
        for key in ("body", "items", "columns"):
            yield from markdown(value.get(key))


def _in_version(version: Any) -> Iterator[str]:
    match = re.fullmatch(r"(\d+)\.(\d+)", version) if isinstance(version, str) else None
    if match is None:
        yield "the card has no version"
    elif (int(match[1]), int(match[2])) > MAX_VERSION:
        yield f"version {version} is not supported"


def _in_elements(elements: Any, at: str) -> Iterator[str]:
    if not isinstance(elements, list):
        yield f"{at}: must be an array"
        return
    for number, element in enumerate(elements):
        yield from _in_element(element, f"{at}/{number}")


def _in_element(element: Any, at: str) -> Iterator[str]:
    kind = element.get("type") if isinstance(element, dict) else None
    if not isinstance(element, dict) or not isinstance(kind, str) or kind not in _KEYS:
        yield f"{at}: {kind!r} is no element" + (f" before {_NEWER[kind]}" if kind in _NEWER else "")
        return
    yield from (f"{at}: {kind} has no {key!r}" for key in sorted(set(element) - _COMMON - _KEYS[kind]))
    if element.get("style", "default") not in _STYLES:
        yield f"{at}: there is no style {element['style']!r}"
    match kind:
        case "TextBlock":
            if not isinstance(element.get("text"), str):
                yield f"{at}: a TextBlock needs a text"
        case "RichTextBlock":
            yield from _in_runs(element.get("inlines"), at)
        case "Container":
            yield from _in_elements(element.get("items"), at)
        case "ColumnSet":
            yield from _in_columns(element.get("columns"), at)


def _in_runs(runs: Any, at: str) -> Iterator[str]:
    if not isinstance(runs, list) or not runs:
        yield f"{at}: a RichTextBlock needs inlines"
        return
    for run in runs:
        if not isinstance(run, dict) or run.get("type") != "TextRun" or not isinstance(run.get("text"), str):
            yield f"{at}: a line needs a TextRun with a text"
        elif unknown := set(run) - _RUN:
            yield f"{at}: a TextRun has no {sorted(unknown)}"
        elif _AT.search(run["text"]):
            yield f"{at}: a mention stands where none can be"


def _in_columns(columns: Any, at: str) -> Iterator[str]:
    if not isinstance(columns, list):
        yield f"{at}: a ColumnSet needs columns"
        return
    for column in columns:
        if not isinstance(column, dict) or column.get("type") != "Column" or set(column) - _COLUMN:
            yield f"{at}: what stands in it is no Column"
            continue
        if not _WIDTH.fullmatch(str(column.get("width", "auto"))):
            yield f"{at}: there is no width {column['width']!r}"
        yield from _in_elements(column.get("items"), f"{at}/columns")


def _in_actions(actions: Any) -> Iterator[str]:
    if len(actions) > MAX_ACTIONS:
        yield f"no more than {MAX_ACTIONS} actions are shown"
    for action in actions:
        if action.get("type") != "Action.OpenUrl":
            yield f"{action.get('type')!r} does nothing in a card of a workflow"
        elif not isinstance(action.get("title"), str) or not _URL.fullmatch(str(action.get("url"))):
            yield f"a button needs a title and a web address: {action}"
        elif _AT.search(action["title"]):
            yield "a mention stands in a button"


def _in_mentions(card: Mapping[str, Any]) -> Iterator[str]:
    """Each mention in a text has its entity, and each entity its mention and its person."""
    teams = card.get("msteams", {})
    entities = teams.get("entities", []) if isinstance(teams, dict) else []
    said = [text for text in markdown(card) if _AT.search(text)]
    known = [str(entity.get("text")) for entity in entities]
    if len(set(known)) < len(known):
        yield "two mentions have the same text"
    for entity in entities:
        person = entity.get("mentioned", {})
        if entity.get("type") != "mention" or not person.get("name") or not _PERSON.fullmatch(str(person.get("id"))):
            yield f"an entity mentions nobody: {entity}"
        elif not any(entity["text"] in text for text in said):
            yield f"an entity's text is nowhere in the card: {entity['text']}"
    for text in said:
        rest = functools.reduce(lambda left, one: left.replace(one, ""), known, text)
        if _AT.search(rest):
            yield f"a mention has no entity: {text}"
