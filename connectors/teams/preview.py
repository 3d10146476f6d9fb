"""A card as people see it in Teams, in plain text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any


def preview(card: Mapping[str, Any]) -> str:
    """``card`` as people see it, in plain text."""
    lines = ["Through the workflow:"]
    lines += [f"▌ {line}".rstrip() for element in card["body"] for line in _drawn(element).split("\n")]
    lines += [f"[{button['title']}] {button['url']}" for button in card.get("actions", ())]
    return "\n".join(lines)


def _drawn(element: Mapping[str, Any]) -> str:
    match element["type"]:
        case "RichTextBlock":
            return "".join(str(run["text"]) for run in element["inlines"])
        case "Container":
            return "\n".join(map(_drawn, element["items"]))
        case "ColumnSet":
            return " | ".join("\n".join(map(_drawn, column["items"])) for column in element["columns"])
    return "".join(_read(str(element["text"])))


def _read(markdown: str) -> Iterator[str]:
    """Our own Markdown as it reads: links by their words, mentions by their names."""
    shown = re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"\1 (\2)", markdown)
    shown = re.sub(r"<at>(.*?)</at>", r"@\1", shown)
    yield shown.replace("**", "").replace("`", "")
