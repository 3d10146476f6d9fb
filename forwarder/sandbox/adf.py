"""The Atlassian Document Format, as far as it must be checked and read.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_INLINE: Final = {"text", "hardBreak", "mention", "emoji", "inlineCard", "date", "status"}
_BLOCKS: Final = {
    "paragraph", "heading", "bulletList", "orderedList", "codeBlock", "blockquote", "panel", "rule", "table", "expand",
    "mediaSingle", "mediaGroup", "blockCard",
}  # fmt: skip
_CHILDREN: Final[Mapping[str, set[str]]] = {
    "doc": _BLOCKS,
    "paragraph": _INLINE,
    "heading": _INLINE,
    "codeBlock": {"text"},
    "bulletList": {"listItem"},
    "orderedList": {"listItem"},
    "listItem": {"paragraph", "bulletList", "orderedList", "codeBlock", "mediaSingle"},
    "blockquote": {"paragraph", "bulletList", "orderedList", "codeBlock"},
    "panel": {"paragraph", "heading", "bulletList", "orderedList", "codeBlock", "rule"},
    "expand": _BLOCKS,
    "table": {"tableRow"},
    "tableRow": {"tableCell", "tableHeader"},
    "tableCell": _BLOCKS,
    "tableHeader": _BLOCKS,
}
_NEEDS_CONTENT: Final = {"bulletList", "orderedList", "listItem", "blockquote", "panel", "expand", "table", "tableRow"}
_MARKS: Final = {"link", "strong", "em", "code", "strike", "underline", "subsup", "textColor", "backgroundColor"}


def problem(document: Any) -> str | None:
    """The first thing that is wrong with ``document``; None where Jira would take it."""
    if not isinstance(document, dict) or document.get("type") != "doc":
        return "must be an Atlassian Document"
    if document.get("version") != 1:
        return "version must be 1"
    return next(_in_node(document), None)


def to_text(document: Any) -> str:
    """The text of ``document`` with a line for each block."""
    if not isinstance(document, dict):
        return ""
    if document.get("type") == "text":
        return str(document.get("text", ""))
    if document.get("type") == "hardBreak":
        return "\n"
    parts = [to_text(child) for child in document.get("content") or []]
    inline = document.get("type") in ("paragraph", "heading", "codeBlock")
    return ("" if inline else "\n").join(parts)


def from_text(text: str) -> dict[str, Any]:
    """``text`` as a document, a paragraph a line."""
    lines = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []} for line in text.split("\n")
    ]
    return {"type": "doc", "version": 1, "content": lines}


def _in_node(node: dict[str, Any]) -> Iterator[str]:
    kind = node["type"]
    if kind == "text":
        yield from _in_text(node)
        return
    if kind == "heading" and (node.get("attrs") or {}).get("level") not in range(1, 7):
        yield "heading needs a level from 1 to 6"
    content = node.get("content", [])
    if not isinstance(content, list):
        yield f"the content of {kind} must be an array"
        return
    if not content and kind in _NEEDS_CONTENT:
        yield f"{kind} must have content"
    for child in content:
        name = child.get("type") if isinstance(child, dict) else None
        if name not in _CHILDREN.get(kind, ()):
            yield f"{name} is not allowed in {kind}"
            return
        yield from _in_node(child)


def _in_text(node: dict[str, Any]) -> Iterator[str]:
    if not isinstance(node.get("text"), str) or not node["text"]:
        yield "a text node must not be empty"
    for mark in node.get("marks") or []:
        name = mark.get("type") if isinstance(mark, dict) else None
        if name not in _MARKS:
            yield f"unknown mark {name}"
        elif name == "link" and not isinstance((mark.get("attrs") or {}).get("href"), str):
            yield "a link needs an href"
