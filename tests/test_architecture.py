"""The shape of the house: imports run one way, SQL stays in its room, connectors know nothing but their contract."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent

ROOMS: Final = (
    # What everything is made of.
    *("addresses", "alert", "lean", "units", "backoff", "clock", "connector"),
    # Each does one thing, and knows nothing of the daemon.
    *("logs", "plugins", "wording", "config", "routing", "sentrytex", "store"),
    # The turns.
    *("settling", "poller", "watching", "dispatcher", "alarms", "heartbeat", "jobs"),
    # What puts them together, what stands in for the world, and what people meet.
    *("assembly", "web", "daemon", "sandbox", "cli"),
)
"""The rooms of ``forwarder``, in order: each may import those before it, and none that comes after."""

TYPES_ONLY: Final = {("routing", "config"), ("watching", "poller"), ("watching", "sentrytex")}
"""Imports for the type checker alone, by which a pure module names what it is given."""

SQL: Final = re.compile(
    r"\s*(SELECT\s.+\sFROM|INSERT\s.*INTO|UPDATE\s.+\sSET|DELETE\s+FROM|(CREATE|DROP|ALTER)\s+(TABLE|INDEX)|PRAGMA)\s",
    re.DOTALL,
)


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in ``tree``, within functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            base = node.module or ""
            is_package = (ROOT / base.replace(".", "/")).is_dir()
            yield from (f"{base}.{alias.name}" if is_package else base for alias in node.names)


def room_of(module: str) -> str:
    """``store`` for ``forwarder.store.engine``; empty for the package itself, which holds the version."""
    return module.split(".")[1] if module.count(".") else ""


def rooms_entered(path: Path) -> set[str]:
    """The rooms of ``forwarder`` that a module imports, the package's own names aside."""
    entered = {room_of(name) for name in imports(parse(path)) if name.split(".")[0] == "forwarder"}
    return {room for room in entered if room and not room.startswith("__")}


@pytest.mark.parametrize("path", sources("forwarder"), ids=module_of)
def test_imports_run_one_way(path: Path) -> None:
    """A module imports only from rooms that come before its own."""
    room = room_of(module_of(path))
    if not room:
        return
    assert room in ROOMS, f"forwarder.{room} is new: name its place among the rooms"
    later = {other for other in rooms_entered(path) - {room} if ROOMS.index(other) > ROOMS.index(room)}
    assert not later, f"forwarder.{room} imports what comes after it"


@pytest.mark.parametrize("path", sources("forwarder/sandbox"), ids=module_of)
def test_the_sandbox_knows_nothing_of_the_daemon(path: Path) -> None:
    """The stand-ins are written from the vendors' documents: nothing of the daemon could share an error with them."""
    assert rooms_entered(path) <= {"sandbox", "alert", "units"}


@pytest.mark.parametrize("path", sources("connectors"), ids=module_of)
def test_a_connector_knows_its_contract_and_no_more(path: Path) -> None:
    """A connector imports the alert, the contract and its own parts: another package's connector can do the same."""
    family = module_of(path).removeprefix("connectors.").split("_")[0]
    for name in imports(parse(path)):
        if name.startswith("forwarder"):
            assert name in ("forwarder.alert", "forwarder.connector")
        elif name.startswith("connectors"):
            assert name.split(".")[1].split("_")[0] == family


@pytest.mark.parametrize("path", sources("forwarder"), ids=module_of)
def test_nothing_imports_a_connector(path: Path) -> None:
    """Connectors are found through their entry points, ours in the same way as those of other packages."""
    assert not [name for name in imports(parse(path)) if name.split(".")[0] == "connectors"]


@pytest.mark.parametrize("path", [*sources("forwarder"), *sources("connectors")], ids=module_of)
def test_only_the_store_holds_sql(path: Path) -> None:
    """No other room opens a database or holds a statement."""
    if path.is_relative_to(ROOT / "forwarder" / "store"):
        return
    tree = parse(path)
    assert not {"sqlite3", "sqlite_utils"} & {name.split(".")[0] for name in imports(tree)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in texts if SQL.match(text)]


def test_the_pure_rooms_touch_no_clock_and_no_dice() -> None:
    """Routing, settling and backoff are told the time and the dice, and do nothing else with the world."""
    for room in ("routing", "settling", "backoff", "wording"):
        names = {name.split(".")[0] for name in imports(parse(ROOT / "forwarder" / f"{room}.py"))}
        assert not names & {"time", "random", "os", "threading", "httpx2", "sqlite3"}, room


def test_imports_for_types_alone_stay_for_types_alone() -> None:
    """A room that only names another's types does not load it."""
    for room, other in TYPES_ONLY:
        tree = parse(ROOT / "forwarder" / f"{room}.py")
        at_run_time = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert f"forwarder.{other}" not in list(imports(ast.Module(body=[*at_run_time], type_ignores=[])))


def test_the_check_of_imports_sees_those_in_functions() -> None:
    """An import within a function counts, under whichever name it comes."""
    tree = ast.parse("def late():\n    from forwarder import store\n    import forwarder.web.app\n")
    assert {room_of(name) for name in imports(tree)} == {"store", "web"}
