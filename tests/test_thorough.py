"""What `make test` leaves out, and that it says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.kit.core import PATIENCE
from tests.kit.thorough import beyond, covering, spread

ROOT: Final = Path(__file__).resolve().parent.parent
FILE: Final = """
import pytest
from tests.kit.thorough import beyond

@pytest.mark.thorough
def test_long(): pass

@pytest.mark.parametrize("case", beyond("b", "abc"))
def test_some(case): pass

@pytest.mark.each_once
@pytest.mark.parametrize("one", "xyz")
@pytest.mark.parametrize("two", range(2))
def test_pairs(one, two): pass

@pytest.mark.few(2)
@pytest.mark.parametrize("case", "abcde")
def test_list(case): pass
"""


def ran(folder: Path, *options: str) -> tuple[set[str], str]:
    """The tests that a run of ``FILE`` had, and what it said."""
    (folder / "test_it.py").write_text(FILE, "utf-8")
    told = ("-v", "-c", ROOT / "pyproject.toml", "--rootdir", folder, "-p", "no:cacheprovider", "test_it.py")
    plugin = ("-p", "tests.kit.thorough")
    command: list[str | Path] = [sys.executable, "-m", "pytest", *plugin, *told, *options]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    passed = re.findall(r"PASSED test_it.py::(\S+)|test_it.py::(\S+) PASSED", done.stdout)
    return {one or other for one, other in passed}, done.stdout


def test_a_run_has_the_usual_cases_and_tells_of_the_others(tmp_path: Path) -> None:
    """With workers, too, as `make test` has them; and by itself pytest leaves nothing out."""
    names, said = ran(tmp_path, "-m", "not thorough", "--numprocesses", "1")
    pairs = {name for name in names if name.startswith("test_pairs")}
    assert names - pairs == {"test_some[b]", "test_list[a]", "test_list[e]"}
    assert {name[11] for name in pairs} == {"0", "1"}
    assert {name[13] for name in pairs} == {"x", "y", "z"}
    assert len(pairs) == 3
    assert "9 thorough tests were left out: `make test-all` runs them, too." in said
    names, said = ran(tmp_path, "-k", "not long")
    assert len(names) == 14
    assert "left out" not in said


def test_as_few_as_have_each_value() -> None:
    """Of two parameters as many cases as the longer has values; of one alone, all."""
    table = [{"one": one, "two": two} for one in range(6) for two in range(4)]
    chosen = [table[number] for number in covering(table)]
    assert len(chosen) == 6
    assert {case["two"] for case in chosen} == set(range(4))
    assert covering([{"one": number, "same": number} for number in range(5)]) == set(range(5))


def test_a_few_are_spread_evenly() -> None:
    """With the first and the last; where there are not so many, all of them."""
    assert spread(3, 11) == {0, 5, 10}
    assert spread(1, 11) == {0}
    assert spread(4, 3) == {0, 1, 2}


def test_a_usual_case_that_is_none_is_told() -> None:
    """A case that was renamed does not leave every run unnoticed."""
    with pytest.raises(AssertionError, match="gone"):
        beyond(["gone"], ["here"])


def test_make_leaves_out_what_is_thorough_and_nothing_else() -> None:
    """`make test` does, `make test-all` and a release's CI do not."""
    for target, left_out in (("test", True), ("test-all", False), ("test-python", True)):
        assert ("-m 'not thorough'" in would(target)) is left_out
    assert "not thorough" not in would("test-python", "ALL=1")


def would(*target: str) -> str:
    """The run of the tests that `make` would begin, whatever the `make` was told that has begun this one."""
    told = ["make", "--dry-run", *target]
    env = {"PATH": os.environ["PATH"]}
    done = subprocess.run(told, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return "\n".join(line for line in done.stdout.splitlines() if "bin/pytest" in line)
