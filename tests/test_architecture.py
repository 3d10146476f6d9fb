"""The shape of the house: imports run one way, SQL stays in its room, connectors know nothing but their contract."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

ROOMS: Final = (
    # What everything is made of, and the two contracts.
    *("common", "alert", "outcome", "response", "setup", "memory", "settings", "identity"),
    *("connector", "words", "paging", "places", "ticket", "wire"),
    # Each does one thing, and knows nothing of the daemon.
    *("logs", "plugins", "templates", "config", "routing", "store"),
    # The turns, and what people and monitors hear of them.
    *(
        "events",
        "replicas",
        "lifecycle",
        "feed",
        "delivery",
        "alarms",
        "heartbeat",
        "timer",
        "scheduler",
        "rounds",
        "jobs",
    ),
    # What puts them together, what stands in for the world, and what people meet.
    *("duties", "app", "web", "daemon", "sandbox", "cli"),
    # What whoever writes a connector begins from, and tests it with.
    *("testing", "new_connector"),
)
"""The rooms of ``forwarder``, in order: each may import those before it, and none that comes after."""

TYPES_ONLY: Final = {("identity", "connector"), ("routing", "config"), ("events", "feed")}
"""Imports for the type checker alone, by which a room names what it is given."""

SQL: Final = re.compile(
    r"\s*(SELECT\s.+\sFROM|INSERT\s.*INTO|UPDATE\s.+\sSET|DELETE\s+FROM|(CREATE|DROP|ALTER)\s+(TABLE|INDEX)|PRAGMA)\s",
    re.DOTALL,
)

MOST_LINES: Final = 400
"""Of a module: what is read at one sitting. Past that, a second subject is in it."""

PRODUCT: Final = re.compile("slack|pagerduty|jira", re.IGNORECASE)

NAMES_PRODUCTS: Final = {
    "forwarder/sandbox/": "stands in for the products' APIs",
    "forwarder/cli/demo": "shows the stand-ins at work",
    "forwarder/testing/samples.py": "holds the markup of products, which an alert's text may try",
    "forwarder/logs.py": "silences the products' libraries, and knows their tokens by form wherever they turn up",
}
"""Where the core may name a product, and why."""


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.AST, *, deferred: bool = True) -> Iterator[str]:
    """Every module that is imported in ``tree``; within functions and for the type checker only with ``deferred``."""
    for node in ast.walk(tree) if deferred else ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            base = node.module or ""
            is_package = (ROOT / base.replace(".", "/")).is_dir()
            yield from (_submodule_or(base, alias.name) if is_package else base for alias in node.names)


def _submodule_or(package: str, name: str) -> str:
    """``package.name`` where that is a module, else the package, which holds the name itself."""
    inside = ROOT / package.replace(".", "/") / name
    return f"{package}.{name}" if inside.is_dir() or inside.with_suffix(".py").exists() else package


def room_of(module: str) -> str:
    """``store`` for ``forwarder.store.engine``; empty for the package itself, which holds the version."""
    return module.split(".")[1] if module.count(".") else ""


def rooms_entered(tree: ast.Module) -> set[str]:
    """The rooms of ``forwarder`` that a module imports, the package's own names aside."""
    entered = {room_of(name) for name in imports(tree) if name.split(".")[0] == "forwarder"}
    return {room for room in entered if room and not room.startswith("__")}


def modules(folder: str) -> list[tuple[Path, str, ast.Module]]:
    """Every module below ``folder``: its file, its name, and its tree."""
    return [(path, module_of(path), parse(path)) for path in sources(folder)]


def test_a_module_is_read_at_one_sitting() -> None:
    """No module is longer than that; what outgrows it is split by subject."""
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("forwarder", "connectors")
        for path in sources(folder)
    }
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_imports_run_one_way() -> None:
    """A module imports only from rooms that come before its own."""
    wrong = []
    for _, name, tree in modules("forwarder"):
        room = room_of(name)
        if not room:
            continue
        assert room in ROOMS, f"forwarder.{room} is new: name its place among the rooms"
        later = {other for other in rooms_entered(tree) - {room} if ROOMS.index(other) > ROOMS.index(room)}
        wrong += [(name, other) for other in later if (room, other) not in TYPES_ONLY]
    assert wrong == []


def test_there_is_no_circle() -> None:
    """No module of a room or of a connector imports, by whatever way, itself."""
    graph = {
        name: {other for other in imports(tree, deferred=False) if other != name}
        for folder in ("forwarder", "connectors")
        for _, name, tree in modules(folder)
    }
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"in a circle, or above one: {', '.join(graph)}"


def test_the_sandbox_knows_nothing_of_the_daemon() -> None:
    """The stand-ins are written from the vendors' documents: nothing of the daemon could share an error with them."""
    wrong = [
        (name, room)
        for _, name, tree in modules("forwarder/sandbox")
        for room in rooms_entered(tree) - {"sandbox", "alert", "common"}
    ]
    assert wrong == []


def test_a_connector_knows_its_contract_and_no_more() -> None:
    """A connector imports the alert, the contract, its words and places, what limits a request, and its own folder."""
    wrong = []
    for _, name, tree in modules("connectors"):
        ours = ".".join(name.split(".")[:2])
        wire = {
            f"forwarder.wire.{part}"
            for part in (
                *("adapter", "certificates", "client", "deadline", "direct", "endpoint", "kept", "prepared"),
                "unreachable",
            )
        }
        told = {"forwarder.words", "forwarder.paging", "forwarder.ticket"}
        allowed = {"forwarder.alert", "forwarder.connector", "forwarder.places", *told, *wire}
        wrong += [
            (name, other)
            for other in imports(tree)
            if (other.startswith("forwarder") and other not in allowed)
            or (other.startswith("connectors") and not f"{other}.".startswith(f"{ours}."))
        ]
    assert wrong == []


def test_nothing_imports_a_connector() -> None:
    """Connectors are found through their entry points, ours in the same way as those of other packages."""
    wrong = [
        (name, other)
        for _, name, tree in modules("forwarder")
        for other in imports(tree)
        if other.split(".")[0] == "connectors"
    ]
    assert wrong == []


def code_texts(tree: ast.Module) -> Iterator[str]:
    """Every name and every string constant in ``tree``; docstrings and comments aside."""
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if node not in docstrings:
            yield from (value for _, value in ast.iter_fields(node) if isinstance(value, str))


def test_the_core_names_no_product() -> None:
    """What is special about a product stands in its connector's folder, and on its class."""
    wrong = [
        (name, text)
        for path, name, tree in modules("forwarder")
        if not str(path.relative_to(ROOT)).startswith(tuple(NAMES_PRODUCTS))
        for text in (name, *code_texts(tree))
        if PRODUCT.search(text)
    ]
    assert wrong == []


def test_a_product_is_seen_in_names_and_strings_but_not_in_docstrings() -> None:
    """The rule would see a function, an argument, a key and a part of an f-string that name one."""
    tree = ast.parse(
        '"""Slack."""\ndef ask_jira(pagerduty_url):\n    """Jira."""\n    return {"slack": f"to {0} Jira"}'
    )
    assert sum(bool(PRODUCT.search(text)) for text in code_texts(tree)) == 4


def test_only_the_store_holds_sql() -> None:
    """No other room opens a database or holds a statement."""
    for folder in ("forwarder", "connectors"):
        for path, name, tree in modules(folder):
            if path.is_relative_to(ROOT / "forwarder" / "store"):
                continue
            assert not {"sqlite3", "sqlite_utils"} & {other.split(".")[0] for other in imports(tree)}, name
            texts = [
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            assert not [text for text in texts if SQL.match(text)], name


def test_the_pure_rooms_touch_no_clock_and_no_chance() -> None:
    """Routing, transitions and backoff are given the time and the random numbers, and touch nothing of the world."""
    for module in ("routing", "lifecycle/schedules", "delivery/transitions", "common/backoff", "templates"):
        names = {name.split(".")[0] for name in imports(parse(ROOT / "forwarder" / f"{module}.py"))}
        assert not names & {"time", "random", "os", "threading", "httpx2", "sqlite3"}, module


def test_the_store_loads_no_http_client() -> None:
    """A command that looks into the database pays for no client of a service."""
    heavy = ("httpx2", "requests", "slack_sdk", "jira", "pagerduty", "uvicorn", "apscheduler")
    code = f"import sys, forwarder.store; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"


def test_the_check_of_imports_sees_those_in_functions() -> None:
    """An import within a function counts, under whichever name it comes."""
    tree = ast.parse("def late():\n    from forwarder import store\n    import forwarder.web.app\n")
    assert {room_of(name) for name in imports(tree)} == {"store", "web"}
    assert list(imports(tree, deferred=False)) == []


def test_every_module_can_be_imported() -> None:
    """Also those that no test needs, on each Python that is supported."""
    code = (
        "import importlib, pkgutil, connectors, forwarder\n"
        "for package in (connectors, forwarder):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not found.name.endswith('.__main__'): importlib.import_module(found.name)\n"
        "print(sum(name.startswith(('connectors.', 'forwarder.')) for name in __import__('sys').modules))"
    )
    loaded = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert loaded.stderr == ""
    files = [path for room in ("connectors", "forwarder") for path in (ROOT / room).rglob("*.py")]
    assert int(loaded.stdout) == len([path for path in files if path.name != "__main__.py"]) - 2
