"""What Slack refuses in Block Kit, and what in a text would ping people.

Limits: https://docs.slack.dev/reference/block-kit/blocks and .../composition-objects/text-object
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

MAX_BLOCKS: Final = 50
MAX_CHARS: Final = 13_000
"""Of the blocks as JSON. Undocumented; met in practice as ``msg_blocks_too_long`` (github.com/slackapi/bolt-js)."""
MAX_SECTION: Final = 3000
MAX_HEADER: Final = 150
MAX_FIELDS: Final = 10
MAX_FIELD: Final = 2000
MAX_CONTEXT: Final = 10
MAX_ACTIONS: Final = 25
MAX_BUTTON: Final = 75
MAX_URL: Final = 3000
MAX_VALUE: Final = 2000
MAX_ID: Final = 255

_TEXT_KEYS: Final = {"mrkdwn": {"type", "text", "verbatim"}, "plain_text": {"type", "text", "emoji"}}
_BUTTON_KEYS: Final = {
    "type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"
}  # fmt: skip
_KEYS: Final = {
    "section": {"type", "block_id", "text", "fields", "accessory", "expand"},
    "header": {"type", "block_id", "text"},
    "divider": {"type", "block_id"},
    "context": {"type", "block_id", "elements"},
    "actions": {"type", "block_id", "elements"},
}
_UNCHECKED: Final = {"image", "rich_text", "markdown", "video"}

_EXPLICIT_PING: Final = re.compile(r"<(![a-z]+(?:\^[A-Z0-9]+)?|@[UW][A-Z0-9]*)(?:\|[^>]*)?>")
_BARE_PING: Final = re.compile(r"(?<![\w@<])@(channel|here|everyone)\b")


def problems(blocks: Any) -> list[str]:
    """What is wrong with ``blocks``, each with its JSON pointer; empty where Slack would take them."""
    if not isinstance(blocks, list):
        return ["must be an array [json-pointer:/blocks]"]
    found = list(_in_blocks(blocks))
    if len(blocks) > MAX_BLOCKS:
        found.append(f"no more than {MAX_BLOCKS} items allowed [json-pointer:/blocks]")
    ids = [block.get("block_id") for block in blocks if isinstance(block, dict)]
    found += [f"block_id `{name}` already exists [json-pointer:/blocks]" for name in _repeated(ids)]
    return found


def size(blocks: Any) -> int:
    """Characters of ``blocks`` as compact JSON."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":")))


def pings(text: str, blocks: Any, attachments: Any) -> list[str]:
    """What would ping people, as Slack reads it: ``!channel``, ``@U012AB``, ``@here``."""
    found = _explicit(text)
    for value in _text_objects([blocks, attachments]):
        if value.get("type") == "mrkdwn":
            found += _explicit(value["text"])
            if value.get("verbatim") is not True:
                found += [f"@{name}" for name in _BARE_PING.findall(value["text"])]
    for attachment in attachments if isinstance(attachments, list) else []:
        if isinstance(attachment, dict):
            texts = (attachment.get(key) for key in ("pretext", "text", "title", "fallback"))
            found += [ping for value in texts if isinstance(value, str) for ping in _explicit(value)]
    return found


def _explicit(text: str) -> list[str]:
    return [name for name in _EXPLICIT_PING.findall(text) if not name.startswith("!date")]


def _text_objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _text_objects(item)
    elif isinstance(value, dict):
        if isinstance(value.get("text"), str) and "type" in value:
            yield value
        for item in value.values():
            yield from _text_objects(item)


def _in_blocks(blocks: list[Any]) -> Iterator[str]:
    for index, block in enumerate(blocks):
        at = f"/blocks/{index}"
        if not isinstance(block, dict):
            yield _at("must be an object", at)
            continue
        kind = block.get("type")
        if kind in _UNCHECKED:
            continue
        if not isinstance(kind, str) or kind not in _KEYS:
            yield _at(f"unsupported type: {kind}", at)
            continue
        yield from _extra(block, _KEYS[kind], at)
        if len(str(block.get("block_id", ""))) > MAX_ID:
            yield _at(f"must be less than {MAX_ID + 1} characters", f"{at}/block_id")
        yield from _CHECKS.get(kind, _nothing)(block, at)


def _nothing(_block: dict[str, Any], _at: str) -> Iterator[str]:
    yield from ()


def _in_section(block: dict[str, Any], at: str) -> Iterator[str]:
    text, fields = block.get("text"), block.get("fields")
    if text is None and fields is None:
        yield _at("must have a text or fields", at)
    if text is not None:
        yield from _in_text(text, f"{at}/text", MAX_SECTION)
    if fields is not None:
        if not isinstance(fields, list) or not 1 <= len(fields) <= MAX_FIELDS:
            yield _at(f"must have 1 to {MAX_FIELDS} items", f"{at}/fields")
        for index, one in enumerate(fields if isinstance(fields, list) else []):
            yield from _in_text(one, f"{at}/fields/{index}", MAX_FIELD)
    accessory = block.get("accessory")
    if isinstance(accessory, dict) and accessory.get("type") == "button":
        yield from _in_button(accessory, f"{at}/accessory")


def _in_header(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from _in_text(block.get("text"), f"{at}/text", MAX_HEADER, plain=True)


def _in_context(block: dict[str, Any], at: str) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_CONTEXT:
        yield _at(f"must have 1 to {MAX_CONTEXT} items", f"{at}/elements")
        return
    for index, element in enumerate(elements):
        if not (isinstance(element, dict) and element.get("type") == "image"):
            yield from _in_text(element, f"{at}/elements/{index}", MAX_SECTION)


def _in_actions(block: dict[str, Any], at: str) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_ACTIONS:
        yield _at(f"must have 1 to {MAX_ACTIONS} items", f"{at}/elements")
        return
    for index, element in enumerate(elements):
        if isinstance(element, dict) and element.get("type") == "button":
            yield from _in_button(element, f"{at}/elements/{index}")
        else:
            yield _at("unsupported element", f"{at}/elements/{index}")
    ids = [element.get("action_id") for element in elements if isinstance(element, dict)]
    yield from (_at(f"action_id `{name}` already exists", f"{at}/elements") for name in _repeated(ids))


_CHECKS: Final[Mapping[str, Callable[[dict[str, Any], str], Iterator[str]]]] = {
    "section": _in_section,
    "header": _in_header,
    "context": _in_context,
    "actions": _in_actions,
}


def _in_button(button: dict[str, Any], at: str) -> Iterator[str]:
    yield from _extra(button, _BUTTON_KEYS, at)
    yield from _in_text(button.get("text"), f"{at}/text", MAX_BUTTON, plain=True)
    for key, limit in (("url", MAX_URL), ("value", MAX_VALUE), ("action_id", MAX_ID)):
        value = button.get(key)
        if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= limit):
            yield _at(f"must be 1 to {limit} characters", f"{at}/{key}")
    if button.get("url") is not None and not re.match(r"[a-z][a-z0-9+.-]*:\S+$", str(button["url"]), re.IGNORECASE):
        yield _at("must be a valid URL", f"{at}/url")
    if button.get("style") not in (None, "primary", "danger"):
        yield _at("must be primary or danger", f"{at}/style")


def _in_text(value: Any, at: str, limit: int, *, plain: bool = False) -> Iterator[str]:
    if not isinstance(value, dict) or value.get("type") not in _TEXT_KEYS:
        yield _at("must be a text object", at)
        return
    if plain and value["type"] != "plain_text":
        yield _at("must be plain_text", f"{at}/type")
    yield from _extra(value, _TEXT_KEYS[value["type"]], at)
    text = value.get("text")
    if not isinstance(text, str) or not text:
        yield _at("must be more than 0 characters", f"{at}/text")
    elif len(text) > limit:
        yield _at(f"must be less than {limit + 1} characters", f"{at}/text")


def _extra(value: dict[str, Any], known: set[str], at: str) -> Iterator[str]:
    yield from (_at(f"invalid additional property: {key}", at) for key in sorted(set(value) - known))


def _repeated(names: list[Any]) -> list[str]:
    given = [name for name in names if isinstance(name, str)]
    return sorted({name for name in given if given.count(name) > 1})


def _at(what: str, where: str) -> str:
    return f"{what} [json-pointer:{where}]"
