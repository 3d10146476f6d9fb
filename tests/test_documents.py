"""The documents are true: what they name exists, and what exists they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
from pydantic import BaseModel

from forwarder.cli.root import COMMANDS, group
from forwarder.config import Config
from forwarder.plugins import connector_types, load_type

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = [path for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))) if path.exists()]
MADE_BY: Final = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("hooks/*.py")))
"""What makes pages and files while the site is built: it names them."""
SHELLS: Final = ("", "console", "sh", "bash", "shell", "text")
_FENCE: Final = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(
    r"(?<!\!)\[[^\]\n]*\]\(([^)\s]+)[^)]*\)|!\[[^\]\n]*\]\(([^)\s]+)[^)]*\)|(?:src|href)=\"([^\"]+)\""
)


def text(path: Path) -> str:
    return path.read_text("utf-8")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands_in(page: str) -> Iterator[list[str]]:
    """The arguments of each `forwarder …` line in a page's shell blocks."""
    for language, block in _FENCE.findall(page):
        if language not in SHELLS:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:[$#] )?(?:\w+=\S+ )*(?:\S+/)?forwarder( .*)?$", line)
            if found and "…" not in line:
                yield _arguments(found[1] or "")


def _arguments(line: str) -> list[str]:
    arguments: list[str] = []
    for word in shlex.split(line, comments=True):
        if word in ("|", ">", ">>", "&&", "||", ";", "&") or word.startswith((">", "2>")):
            break
        arguments.append(word)
    return arguments


def parse(arguments: list[str]) -> None:
    """Takes a command line as click does, without carrying it out; raises UsageError where it would."""
    if not arguments or arguments[0] in ("--help", "--version", "-h"):
        return
    found = group.get_command(click.Context(group), arguments[0])
    if found is None:
        raise click.UsageError(f"there is no command {arguments[0]}")
    if {"--help", "-h"} & set(arguments):
        return
    found.make_context(arguments[0], list(arguments[1:]))


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key of a model and of the sections in it."""
    for field_name, field in model.model_fields.items():
        yield field.alias or field_name
        yield from _inner(field.annotation)


def _inner(annotation: Any) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from keys(annotation)
    for part in getattr(annotation, "__args__", ()):
        yield from _inner(part)


def test_every_command_is_documented() -> None:
    """In the README or on a page of the documentation."""
    everything = "\n".join(text(page) for page in PAGES)
    assert [command for command in COMMANDS if f"forwarder {command}" not in everything] == []


def test_every_key_of_the_config_is_documented() -> None:
    """Those of the connectors, too: in the example or on a page."""
    known = {*keys(Config)} | {key for kind in connector_types() for key in keys(load_type(kind).Config)}
    places = [text(ROOT / "config.example.yaml"), *(text(page) for page in PAGES)]
    everything = "\n".join(places)
    assert sorted(key for key in known if not re.search(rf"\b{key}\b", everything)) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_line_works_as_written(page: Path) -> None:
    """Its command exists, and takes these arguments and options."""
    for arguments in commands_in(text(page)):
        try:
            parse(arguments)
        except click.ClickException as error:
            raise AssertionError(f"{name(page)}: forwarder {' '.join(arguments)}: {error.message}") from None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    """Counted from the page it stands on."""
    prose = _FENCE.sub("", text(page))
    links = {next(filter(None, found)).partition("#")[0] for found in _LINK.findall(prose)}
    files = [link for link in links if link and not re.match(r"[a-z]+:", link) and not link.startswith("/")]
    assert [link for link in files if not (page.parent / link).exists() and Path(link).name not in MADE_BY] == []


def test_the_changelog_has_a_place_for_what_is_new() -> None:
    """What was changed since the last release stands under one heading."""
    assert re.search(r"^## \[Unreleased\]$", text(ROOT / "CHANGELOG.md"), re.MULTILINE)


def test_a_command_that_is_wrong_is_noticed() -> None:
    """These tests would see an option that does not exist."""
    page = "```console\n$ forwarder status --jsn | head\n```\n"
    (arguments,) = commands_in(page)
    assert arguments == ["status", "--jsn"]
    with pytest.raises(click.UsageError):
        parse(arguments)
    with pytest.raises(click.UsageError):
        parse(["statsu"])
