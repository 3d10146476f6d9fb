"""A YAML file's text, read into a document: what its values are, and what is wrong with them, in words for people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from forwarder.config.document import Document, NotYaml, Where
from forwarder.config.variables import UnknownVariable

MAX_VALUES: Final = 200_000
"""A section that is referred to from everywhere stands there as often: a few lines can come to more than any memory."""

_TAG: Final = "tag:yaml.org,2002:"
_TEXTS: Final = frozenset({_TAG + "str", _TAG + "timestamp"})
_SCALARS: Final = frozenset({_TAG + "null", _TAG + "bool", _TAG + "int", _TAG + "float"})
_HALF: Final = re.compile("[\ud800-\udfff]")
_QUOTED: Final = re.compile(r"'([^']*)'")


def document_of(text: str, expand: Callable[[str], str]) -> Document:
    """The document that ``text`` is, with every text in it sent through ``expand``; raises NotYaml."""
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        node = yaml.compose(text)
        document = Document(lines={(): 1})
        document.values = None if node is None else _Reader(yaml, document, expand).value(node, ())
    except ReaderError as error:
        raise NotYaml(text.count("\n", 0, error.position) + 1, "contains a character not allowed in YAML") from None
    except MarkedYAMLError as error:
        raise NotYaml(*_why(error)) from None
    except (YAMLError, RecursionError):
        raise NotYaml(1, "cannot be read as YAML") from None
    return document


def _why(error: MarkedYAMLError) -> tuple[int, str]:
    mark = error.problem_mark or error.context_mark
    problem, context = error.problem or "something is wrong here", error.context or ""
    for begins, said, at_its_begin in _SAID:
        if f"{context} {problem}".startswith(begins) or problem.startswith(begins):
            # What is not closed shows only at the end of the file.
            mark = (error.context_mark or mark) if at_its_begin else mark
            return mark.line + 1 if mark else 1, said
    if begin := _BEGINS.match(problem):
        return mark.line + 1 if mark else 1, f"a value that begins with {begin[1]} must be in quotes"
    reason = " ".join(part for part in (context, problem) if part)
    # Signs and the parser's own <words> help; a longer piece of the file may be a secret.
    reason = _QUOTED.sub(lambda match: match[0] if len(match[1]) == 1 or match[1].startswith("<") else "…", reason)
    return (mark.line + 1 if mark else 1), f"cannot be read as YAML: {reason}"


_BEGINS: Final = re.compile(r"found character '([^\w\s\\])' that cannot start any token")
_SAID: Final = (
    ("found character '\\t'", "contains a tab where YAML wants blanks: indent with blanks", False),
    # The name of an alias may be a password that begins with a star.
    ("found undefined alias", "a value that begins with * must be in quotes", False),
    ("while scanning an alias", "a value that begins with * must be in quotes", False),
    ("while scanning a quoted scalar", "a quote is opened and not closed", True),
    ("while parsing a flow sequence", "a [ is opened and not closed with ]", True),
    (
        "while parsing a flow mapping",
        "a { is opened and not closed with }: a text that begins with { needs quotes",
        True,
    ),
    ("while scanning a simple key", "a key needs a colon and a blank after it", False),
    (
        "mapping values are not allowed here",
        "has a colon where none may be: put a text with a colon in quotes, and indent keys alike that belong together",
        False,
    ),
    (
        "while parsing a block mapping expected <block end>, but found '<block",
        "is indented neither as the lines before it nor as their section",
        False,
    ),
    (
        "while parsing a block collection expected <block end>, but found '<block",
        "is indented neither as the lines before it nor as their list",
        False,
    ),
    ("expected a single document", "begins a second document: leave out the line ---", False),
)
"""How what YAML's parser says begins, what that is for people, and whether it is told of the line where it began."""


class _Reader:
    """Turns nodes into values and notes their lines and faults in the document."""

    def __init__(self, yaml: YAML, document: Document, expand: Callable[[str], str]) -> None:
        self._yaml = yaml
        self._document = document
        self._expand = expand
        self._open: set[int] = set()
        self._count = 0

    def value(self, node: Node, where: Where) -> Any:
        self._count_one(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node, where)
        if id(node) in self._open:
            return self._fault(where, "refers to itself")
        self._open.add(id(node))
        try:
            return self._mapping(node, where) if isinstance(node, MappingNode) else self._sequence(node.value, where)
        finally:
            self._open.discard(id(node))

    def _sequence(self, items: list[Node], where: Where) -> list[Any]:
        values = []
        for place, item in enumerate(items):
            self._document.lines[*where, place] = item.start_mark.line + 1
            values.append(self.value(item, (*where, place)))
        return values

    def _mapping(self, node: MappingNode, where: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, line, item, merged in self._entries(node, where):
            at = (*where, key)
            if key not in values:
                self._document.lines[at] = line
                values[key] = self.value(item, at)
            elif not merged:
                self._fault(at, f"is set twice, on lines {self._document.lines[at]} and {line}")
                self._document.lines[at] = line
        return values

    def _entries(self, node: MappingNode, where: Where) -> Iterator[tuple[str, int, Node, bool]]:
        """Key, line, value and whether it was merged in (``<<``); what stands in the mapping itself comes first."""
        merges: list[Node] = []
        for key, item in node.value:
            self._count_one(key)
            line = key.start_mark.line + 1
            if key.tag == _TAG + "merge":
                merges += item.value if isinstance(item, SequenceNode) else [item]
            elif isinstance(key, ScalarNode):
                yield key.value, line, item, False
            else:
                self._document.lines[*where, "?"] = line
                self._fault((*where, "?"), "a key must be text")
        for merge in merges:
            if isinstance(merge, MappingNode) and id(merge) not in self._open:
                yield from ((key, line, item, True) for key, line, item, _ in self._entries(merge, where))
            else:
                self._document.lines[*where, "<<"] = merge.start_mark.line + 1
                self._fault((*where, "<<"), "must refer to a section whose keys to merge")

    def _scalar(self, node: ScalarNode, where: Where) -> Any:
        if _HALF.search(node.value):
            return self._fault(where, "holds half a character (\\ud800 to \\udfff), which stands in no text")
        if node.tag in _TEXTS:
            try:
                return self._expand(node.value)
            except UnknownVariable as error:
                return self._fault(where, str(error))
        if node.tag in _SCALARS:
            try:
                return self._yaml.constructor.construct_object(node)
            except (YAMLError, ValueError, AttributeError):
                return self._fault(where, "is not a valid value for its tag")
        return self._fault(where, "has an unknown tag: text that begins with ! must be in quotes")

    def _count_one(self, node: Node) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            told = f"has more than {MAX_VALUES:,} keys and values, with all that * and << repeat"
            raise NotYaml(node.start_mark.line + 1, told)

    def _fault(self, where: Where, message: str) -> str:
        self._document.faults[where] = message
        return ""
