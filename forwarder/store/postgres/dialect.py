"""The statements of the store as PostgreSQL reads them: written once, in words that SQLite knows, and put over here.

What can be said in the same words is said so in the statements themselves. The rest is of three kinds: parameters, a
few words and hints of SQLite's, lists among them (both this module's), and functions, which PostgreSQL is given under
SQLite's names (``functions``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from forwarder.store.connection import Values

_TOKEN: Final = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'|--[^\n]*)|(?P<named>(?<![\w:]):[a-z_]\w*)|(?P<placed>\?\d*)""", re.VERBOSE
)

_FUNCTIONS: Final = {
    "json_group_array": "json_agg",
    "json_group_object": "json_object_agg",
    "json_object": "json_build_object",
    "instr": "strpos",
}
"""Functions that PostgreSQL has under another name."""

_REPLACED: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    # Which index is best PostgreSQL decides by itself, by what it knows of the rows; so the hints mean nothing to it.
    (re.compile(r"\b(INDEXED BY \w+|NOT INDEXED)\b"), ""),
    (re.compile(r"\+(?=[ad]\.\w)"), ""),
    # Of SQLite's writers there is one at a time.
    (re.compile(r"/\* (FOR SHARE OF \w+) \*/"), r"\1"),
    (re.compile(r"\bCROSS JOIN (\w+)( AS \w+)?\s+ON\b"), r"JOIN \1\2 ON"),
    # SQLite's LIKE and NOCASE know no case among ASCII letters. An index holds no text of any length.
    (re.compile(r"\bLIKE\b"), "ILIKE"),
    (
        re.compile(r"([\w.]+) = (\$\d+) COLLATE NOCASE"),
        r"(lower(left(\1, 200)) = lower(left(\2, 200)) AND lower(\1) = lower(\2))",
    ),
    (re.compile(r"([\w.]+) COLLATE NOCASE"), r"lower(\1)"),
    # A limit below zero is none.
    (re.compile(r"\bLIMIT (\$\d+)"), r"LIMIT nullif(greatest(\1::bigint, -1), -1)"),
    (re.compile(rf"\b({'|'.join(_FUNCTIONS)})\("), lambda found: f"{_FUNCTIONS[found[1]]}("),
)

_AMONG: Final = re.compile(
    r"(?P<what>[\w.]+) (?P<none>NOT )?IN"
    r" \(SELECT (?P<value>value|CAST\(value AS BIGINT\)) FROM json_each\((?P<list>\$\d+)\)\)"
)
"""Where something is looked for among what a parameter lists."""
_UNSHOWN: Final = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)
"""What JSON says of what no text here can hold, a zero byte or half a character; a whole one of two halves as well."""
_CANNOT: Final = re.compile("[\0\ud800-\udfff]")


class Statement(NamedTuple):
    """A statement with ``$1`` for its parameters, and what each of these is: a name, or a place counted from 0.

    ``lists`` are the places, counted from 0, of those that are given as a JSON text with a list.
    """

    sql: str
    parameters: tuple[str | int, ...]
    lists: frozenset[int] = frozenset()

    def values(self, given: Values) -> Sequence[Any]:
        """What is given for the parameters, in their order."""
        values: list[Any] = [given[name] for name in self.parameters]  # type: ignore[index]
        for place in self.lists:
            values[place] = _mended(values[place])
        return values


def _mended(told: str) -> str:
    """A JSON text with a list, with the mark for what cannot be shown in place of what no text here can hold."""
    if not _UNSHOWN.search(told):
        return told
    listed = json.loads(told)
    return json.dumps([_CANNOT.sub("\ufffd", one) if isinstance(one, str) else one for one in listed])


@lru_cache(maxsize=1024)
def translated(sql: str) -> Statement:
    """A statement in PostgreSQL's words."""
    parameters: dict[str | int, int] = {}
    kept: list[str] = []
    unnumbered = 0

    def take(found: re.Match[str]) -> str:
        nonlocal unnumbered
        if found["kept"] is not None:
            if found["kept"].startswith("--"):
                return ""
            # Nothing of what follows looks into a text.
            kept.append(found["kept"])
            return f"'{len(kept) - 1}'"
        if found["named"] is not None:
            wanted: str | int = found["named"][1:]
        elif len(found["placed"]) > 1:
            wanted = int(found["placed"][1:]) - 1
        else:
            wanted, unnumbered = unnumbered, unnumbered + 1
        return f"${parameters.setdefault(wanted, len(parameters) + 1)}"

    told = _TOKEN.sub(take, sql)
    for pattern, instead in _REPLACED:
        told = pattern.sub(instead, told)
    lists = set[int]()

    def among(found: re.Match[str]) -> str:
        # The server's own functions, by which it also knows how few these are.
        lists.add(int(found["list"][1:]) - 1)
        listed = f"json_array_elements_text({found['list']}::json){'' if found['value'] == 'value' else '::bigint'}"
        return f"{found['what']} {'<> ALL' if found['none'] else '= ANY'} (ARRAY(SELECT {listed}))"

    told = _AMONG.sub(among, told)
    told = re.sub(r"'(\d+)'", lambda found: kept[int(found[1])], told)
    return Statement(told, tuple(parameters), frozenset(lists))
