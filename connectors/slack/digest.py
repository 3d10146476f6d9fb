"""What a digest shows of its alerts: a line each, as many as one message holds, and how many more there are. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.slack.markup import plain_text
from forwarder.alert import Alert
from forwarder.connector import cut, one_line

MAX_LINE: Final = 200
"""Characters of one alert's line."""

_ROOM_FOR_COUNT: Final = 30
_FRAME: Final = 100  # characters of a section without its text


def sections(alerts: Sequence[Alert], emoji: Mapping[Any, str], longest: int, room: int) -> list[dict[str, Any]]:
    """A line for each of ``alerts``, in sections of ``longest`` characters, within ``room`` characters on the wire."""
    texts, left = [""], room - _FRAME - _ROOM_FOR_COUNT
    for number, alert in enumerate(alerts):
        line = _line(alert, emoji[alert.severity])
        begins = not texts[-1] or len(texts[-1]) + 1 + len(line) + _ROOM_FOR_COUNT > longest
        left -= len(json.dumps(line, ensure_ascii=False)) - 2 + (_FRAME if begins else 2)
        if left < 0:
            texts[-1] += f"\n… and {len(alerts) - number} more"
            break
        if begins and texts[-1]:
            texts.append(line)
        else:
            texts[-1] += line if begins else f"\n{line}"
    return [{"type": "section", "text": plain_text(text.strip())} for text in texts]


def _line(alert: Alert, emoji: str) -> str:
    facts = [alert.cve_id, "on CISA KEV" if alert.cisa_kev else "", one_line(alert.title)]
    return cut(f"{emoji} {' · '.join(fact for fact in facts if fact)}", MAX_LINE)
