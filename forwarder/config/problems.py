"""What is wrong with a config, in one sentence each: none of them shows a value, for it may be a secret."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic_core import ErrorDetails

from forwarder.common.text import clean, cut, one_line
from forwarder.config.document import Where
from forwarder.config.values import NAME

MAX_MESSAGE: Final = 300
"""Characters; a sentence of another package's model may be longer than anyone reads."""
MAX_PATH: Final = 150
"""Characters of a key's path, which may hold whatever somebody took for a key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One mistake: the file as it was named, the line (None for the file as a whole), the key's path, a sentence."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        # A key or a name may be any text: it makes no line of its own, and moves no terminal's cursor.
        path, message = cut(one_line(clean(self.path)), MAX_PATH), cut(one_line(clean(self.message)), MAX_MESSAGE)
        return f"{place}: {path}: {message}" if path else f"{place}: {message}"


class ConfigError(Exception):
    """The config cannot be used; ``problems`` are all its mistakes, by line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.path)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def path_of(where: Where) -> str:
    """A place as people write it: ``routes[0].to[1]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return text.removeprefix(".")


def did_you_mean(word: object, known: Collection[str]) -> str:
    """`` (did you mean x?)`` where one of ``known`` is near, else nothing."""
    near = _near(word, known)
    return f" (did you mean {near}?)" if near else ""


def unknown_name(what: str, name: str, known: Collection[str], secret: Collection[str]) -> str:
    """That nothing of a kind has this name. What can be none is not shown: it may be an address, with its secret."""
    shown = NAME.fullmatch(name) and name not in secret
    named = f"is named '{name}'" if shown else "has this name"
    return f"no {what} {named}{did_you_mean(name, known)}"


def _near(word: object, known: Collection[str]) -> str | None:
    from difflib import get_close_matches  # only a config with a mistake needs it

    names = {name.lower(): name for name in known}
    matches = get_close_matches(word.lower(), names, n=1, cutoff=0.6) if isinstance(word, str) else []
    return names[matches[0]] if matches else None


def sentences(
    errors: Iterable[ErrorDetails], raw: Any, model: type[BaseModel], conceal: Callable[[str], str]
) -> dict[Where, str]:
    """Pydantic's errors about ``raw`` as one sentence for each place in it.

    A union reports every branch: what they ask for is joined. A key that is missing because it is misspelled is one
    mistake, reported at the misspelled key. Words that are not ours go through ``conceal``.
    """
    found: dict[Where, list[str]] = {}
    meant: set[Where] = set()
    for error in errors:
        where = _place(error, raw)
        sentence = _sentence(error, conceal)
        if error["type"] == "extra_forbidden":
            near = _near(where[-1], known_keys(model, where[:-1]))
            sentence = f"unknown key (did you mean {near}?)" if near else "unknown key"
            if near:
                meant.add((*where[:-1], near))
        if sentence not in found.setdefault(where, []):
            found[where].append(sentence)
    return {where: _joined(texts) for where, texts in found.items() if not (where in meant and texts == [_MISSING])}


_MISSING: Final = "is missing"
_SENTENCES: Final = {
    "missing": _MISSING,
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be of one of these kinds: {expected_tags}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "string_type": "must be text: put it in quotes",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a section with keys of its own",
    "model_type": "must be a section with keys of its own",
    "model_attributes_type": "must be a section with keys of its own",
    "mapping_type": "must be a section with keys of its own",
    "path_type": "must be text: put it in quotes",
}
"""Pydantic's error types (https://docs.pydantic.dev/latest/errors/validation_errors/) in words for people."""


def _sentence(error: ErrorDetails, conceal: Callable[[str], str]) -> str:
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "string_too_short" and given == "":
        return "must not be empty"
    if kind == "string_type" and (given is None or isinstance(given, list | dict)):
        return "must be text"
    template = _SENTENCES.get(kind)
    if kind == "value_error":
        text = conceal(str(context["error"]))
    elif template is None:
        text = conceal(error["msg"].replace("Input should be", "must be").replace("String should", "must"))
    elif kind in {"enum", "literal_error"}:
        expected = context["expected"].replace("'", "")
        text = template.format(expected=expected) + did_you_mean(given, expected.replace(" or ", ", ").split(", "))
    else:
        text = template.format(**context)
    return cut(one_line(text), MAX_MESSAGE)


def _joined(found: list[str]) -> str:
    if len(found) > 1 and all(sentence.startswith("must be ") for sentence in found):
        return found[0] + "".join(f" or {sentence.removeprefix('must be ')}" for sentence in found[1:])
    return found[0]


def _place(error: ErrorDetails, raw: Any) -> Where:
    """Where in ``raw`` an error belongs: pydantic's own marks (branches of a union, ``[key]``) name nothing there."""
    where: list[str | int] = []
    for step in error["loc"]:
        inside = isinstance(raw, Mapping) and step in raw
        if inside or (isinstance(raw, list) and isinstance(step, int) and step < len(raw)):
            raw = raw[step]
            where.append(step)
    if error["type"] == "missing":
        where.append(error["loc"][-1])
    return tuple(where)


def known_keys(model: type[BaseModel], where: Where) -> list[str]:
    """The keys of the section at ``where`` below a model's own; none where no model says."""
    found = _model_in(model)
    for step in where:
        if isinstance(step, int) or found is None:
            continue
        names = {field.alias or name: field.annotation for name, field in found.model_fields.items()}
        found = _model_in(names.get(step))
    return [field.alias or name for name, field in found.model_fields.items()] if found else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        return _model_in(annotation.model_fields["root"].annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {Annotated, Union, UnionType, list, tuple}:
        return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
    return None
