"""Every statement of the store is read by PostgreSQL as well, whether or not a test carries it out there."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

import forwarder.store
from forwarder.store import Store
from forwarder.store.postgres.dialect import translated
from forwarder.store.postgres.wire import connect
from tests.kit import postgres

SQLITE_ALONE: Final = {f"forwarder.store.{name}" for name in ("owner", "schema", "sides", "sqlite")}
"""Modules of a file, and of a move's side that is one; the steps of its schema (``_steps``) have others on a server."""

_STATEMENT: Final = re.compile(r"\s*(--[^\n]*\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
# What a part of a statement is put into, or follows.
_IN_PART: Final = re.compile(r"\{\w*\}|\bAND\s*$")


def of_both() -> Iterator[str]:
    """The modules whose statements both kinds of database carry out, by name."""
    for module in pkgutil.iter_modules(forwarder.store.__path__, "forwarder.store."):
        if not (module.ispkg or module.name in SQLITE_ALONE or module.name.endswith("_steps")):
            yield module.name


def texts(value: object) -> Iterable[str]:
    """The texts of a constant, which may be several."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts(one)]
    return [text for one in value for text in texts(one)] if isinstance(value, tuple) else []


def statements(name: str) -> list[str]:
    """What a module has of them: its constants, and what stands where it is carried out."""
    module = importlib.import_module(name)
    found = [text for value in vars(module).values() for text in texts(value)]
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
    found += [
        call.args[0].value
        for call in calls
        if call.func.attr in ("execute", "executemany")  # type: ignore[attr-defined]
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]
    whole = (text for text in dict.fromkeys(found) if _STATEMENT.match(text))
    return [text for text in whole if not _IN_PART.search(re.sub(r"'[^']*'", "", text))]


@pytest.mark.parametrize("name", list(of_both()))
def test_postgresql_reads_each_statement(name: str, server: postgres.Server) -> None:
    """The kind of a parameter is told with its value only."""
    place = server.empty_store()
    Store.open_exclusive(place).close()
    refused = {}
    with connect(place) as raw:
        raw.execute("SET search_path = forwarder, pg_catalog")
        for number, statement in enumerate(statements(name)):
            try:
                raw.execute(f"PREPARE s{number} AS {translated(statement).sql}".encode())
            except (psycopg.errors.IndeterminateDatatype, psycopg.errors.AmbiguousFunction):
                continue
            except psycopg.Error as error:
                refused[statement] = str(error)
    assert not refused
