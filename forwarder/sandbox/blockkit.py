"""What Slack refuses in Block Kit, and what in a text would ping people.

Limits: https://docs.slack.dev/reference/block-kit/blocks and .../composition-objects/text-object
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from forwarder.sandbox.blockkit_elements import ACTIONS, INPUTS, MAX_ID, extra, in_element, in_text, wrong

MAX_BLOCKS: Final = 50
MAX_CHARS: Final = 13_000
"""Of the blocks as JSON. Undocumented; met in practice as ``msg_blocks_too_long`` (github.com/slackapi/bolt-js)."""
MAX_SECTION: Final = 3000
MAX_HEADER: Final = 150
MAX_FIELDS: Final = 10
MAX_FIELD: Final = 2000
MAX_CONTEXT: Final = 10
MAX_ACTIONS: Final = 25
MAX_LABEL: Final = 2000

_KEYS: Final = {
    "section": {"type", "block_id", "text", "fields", "accessory", "expand"},
    "header": {"type", "block_id", "text"},
    "divider": {"type", "block_id"},
    "context": {"type", "block_id", "elements"},
    "actions": {"type", "block_id", "elements"},
    "input": {"type", "block_id", "label", "element", "hint", "optional", "dispatch_action"},
}
_UNCHECKED: Final = {"image", "rich_text", "markdown", "video"}

_EXPLICIT_PING: Final = re.compile(r"<(![a-z]+(?:\^[A-Z0-9]+)?|@[UW][A-Z0-9]*)(?:\|[^>]*)?>")
_BARE_PING: Final = re.compile(r"(?<![\w@<])@(channel|here|everyone)\b")


def problems(blocks: Any, root: str = "/blocks", most: int = MAX_BLOCKS) -> list[str]:
    """What is wrong with ``blocks``, each with its JSON pointer; empty where Slack would take them."""
    if not isinstance(blocks, list):
        return [wrong("must be an array", root)]
    found = list(_in_blocks(blocks, root))
    if len(blocks) > most:
        found.append(wrong(f"no more than {most} items allowed", root))
    ids = [block.get("block_id") for block in blocks if isinstance(block, dict)]
    found += [wrong(f"block_id `{name}` already exists", root) for name in _repeated(ids)]
    return found


def named(blocks: Any) -> list[dict[str, Any]]:
    """``blocks`` with the block ids and action ids that Slack gives where there are none."""
    return [_named({"block_id": f"b{number}", **block}, f"e{number}") for number, block in enumerate(blocks or [])]


def _named(block: dict[str, Any], name: str) -> dict[str, Any]:
    found = dict(block)
    for key in ("accessory", "element"):
        if isinstance(found.get(key), dict) and found[key].get("type") in ACTIONS | INPUTS:
            found[key] = {"action_id": name, **found[key]}
    if found.get("type") == "actions":
        elements = enumerate(found["elements"])
        found["elements"] = [{"action_id": f"{name}{number}", **one} for number, one in elements]
    return found


def interactive(blocks: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every element that people can act on, with its block; of blocks that are ``named``."""
    for block in blocks:
        for element in (block.get("accessory"), block.get("element"), *block.get("elements", [])):
            if isinstance(element, dict) and element.get("type") in ACTIONS | INPUTS:
                yield block, element


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


def _in_blocks(blocks: list[Any], root: str) -> Iterator[str]:
    for index, block in enumerate(blocks):
        at = f"{root}/{index}"
        if not isinstance(block, dict):
            yield wrong("must be an object", at)
            continue
        kind = block.get("type")
        if kind in _UNCHECKED:
            continue
        if not isinstance(kind, str) or kind not in _KEYS:
            yield wrong(f"unsupported type: {kind}", at)
            continue
        yield from extra(block, _KEYS[kind], at)
        if len(str(block.get("block_id", ""))) > MAX_ID:
            yield wrong(f"must be less than {MAX_ID + 1} characters", f"{at}/block_id")
        yield from _CHECKS.get(kind, _nothing)(block, at)


def _nothing(_block: dict[str, Any], _at: str) -> Iterator[str]:
    yield from ()


def _in_section(block: dict[str, Any], at: str) -> Iterator[str]:
    text, fields = block.get("text"), block.get("fields")
    if text is None and fields is None:
        yield wrong("must have a text or fields", at)
    if text is not None:
        yield from in_text(text, f"{at}/text", MAX_SECTION)
    if fields is not None:
        if not isinstance(fields, list) or not 1 <= len(fields) <= MAX_FIELDS:
            yield wrong(f"must have 1 to {MAX_FIELDS} items", f"{at}/fields")
        for index, one in enumerate(fields if isinstance(fields, list) else []):
            yield from in_text(one, f"{at}/fields/{index}", MAX_FIELD)
    accessory = block.get("accessory")
    if accessory is not None and not (isinstance(accessory, dict) and accessory.get("type") == "image"):
        yield from in_element(accessory, f"{at}/accessory", ACTIONS)


def _in_header(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from in_text(block.get("text"), f"{at}/text", MAX_HEADER, plain=True)


def _in_context(block: dict[str, Any], at: str) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_CONTEXT:
        yield wrong(f"must have 1 to {MAX_CONTEXT} items", f"{at}/elements")
        return
    for index, element in enumerate(elements):
        if not (isinstance(element, dict) and element.get("type") == "image"):
            yield from in_text(element, f"{at}/elements/{index}", MAX_SECTION)


def _in_actions(block: dict[str, Any], at: str) -> Iterator[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_ACTIONS:
        yield wrong(f"must have 1 to {MAX_ACTIONS} items", f"{at}/elements")
        return
    for index, element in enumerate(elements):
        yield from in_element(element, f"{at}/elements/{index}", ACTIONS)
    ids = [element.get("action_id") for element in elements if isinstance(element, dict)]
    yield from (wrong(f"action_id `{name}` already exists", f"{at}/elements") for name in _repeated(ids))


def _in_input(block: dict[str, Any], at: str) -> Iterator[str]:
    yield from in_text(block.get("label"), f"{at}/label", MAX_LABEL, plain=True)
    if block.get("hint") is not None:
        yield from in_text(block["hint"], f"{at}/hint", MAX_LABEL, plain=True)
    yield from in_element(block.get("element"), f"{at}/element", INPUTS)


_CHECKS: Final[Mapping[str, Callable[[dict[str, Any], str], Iterator[str]]]] = {
    "section": _in_section,
    "header": _in_header,
    "context": _in_context,
    "actions": _in_actions,
    "input": _in_input,
}


def _repeated(names: list[Any]) -> list[str]:
    given = [name for name in names if isinstance(name, str)]
    return sorted({name for name in given if given.count(name) > 1})
