"""Payloads in the form in which they are kept: packed, and without the words that most of them have in common."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

# Read at the start: what was sent could not be settled where the words are missing.
WORDS: Final = b"".join(Path(__file__).with_suffix(".txt").read_bytes().splitlines())
"""What the connectors here send of any alert, a line each; what lies nearest to the end costs least.

A packed payload names them by their checksum, and cannot be read without them: so they are never edited. A payload of
other words is only packed less well. Words for what connectors send by then go into a file of their own.
"""

_WINDOW: Final = 14
"""zlib's ``wbits``: the words and a payload of the usual size lie within 16 kB."""
_MEMORY: Final = 5
"""zlib's ``memLevel``: by 8, its default, it clears a quarter of a megabyte for each payload of 3 kB."""

_PACKING: Final = zlib.compressobj(6, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, WORDS)
"""What has taken in the words: a copy of it is made quicker than another one."""

_JSON: Final = json.JSONEncoder(separators=(",", ":"))


def pack(payload: Mapping[str, Any]) -> bytes:
    """A payload in the form in which it is kept; raises TypeError and ValueError for what JSON does not have."""
    packing = _PACKING.copy()
    return packing.compress(_JSON.encode(payload).encode()) + packing.flush()


def unpack(blob: bytes) -> dict[str, Any]:
    """A payload from that form, or from the one of older versions, which left no words out.

    Raises zlib.error or ValueError where it is damaged.
    """
    unpacking = zlib.decompressobj(zdict=WORDS)
    text = unpacking.decompress(blob)
    if not unpacking.eof:
        raise zlib.error("it ends too early")
    return dict(json.loads(text))
