"""Lists: whole lines for a pipe, and nothing to copy is cut in a terminal, however narrow."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import click
import pytest
from rich.cells import cell_len

SHOW = """
from forwarder.cli.tables import Column, print_table
print_table(
    ["seen", "cve", Column("title", prose=True), "id"],
    [
        ["2026-05-01T12:00:00Z", "CVE-2026-12345", "A flaw " * 12, "0a1b2c3d-0000-4000-8000-00000000000" + str(n)]
        for n in range(3)
    ],
)
"""
WIDTHS = [20, 40, 79, 80, 81, 100, 120, 200]


def in_terminal(width: int) -> str:
    """What a terminal of that width is sent."""
    leader, follower = pty.openpty()
    try:
        environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
        subprocess.run([sys.executable, "-c", SHOW], stdout=follower, env=environment, check=True, timeout=60)
        os.close(follower)
        said = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # Linux says so at the end of a terminal
                break
            if not part:
                break
            said += part
    finally:
        os.close(leader)
    return click.unstyle(said.decode().replace("\r\n", "\n"))


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_copied_is_never_cut(width: int) -> None:
    """Each id, CVE and time stands in one piece, on one line, at any width."""
    lines = in_terminal(width).splitlines()
    for number in range(3):
        assert sum(f"0a1b2c3d-0000-4000-8000-00000000000{number}" in line for line in lines) == 1
    assert sum("CVE-2026-12345" in line for line in lines) == 3
    assert sum("2026-05-01T12:00:00Z" in line for line in lines) == 3


@pytest.mark.parametrize("width", [90, 100, 120])
def test_a_table_that_fits_stays_within_the_terminal(width: int) -> None:
    """Prose gives way, with a sign that it did."""
    lines = in_terminal(width).splitlines()
    assert len(lines) == 4
    assert all(cell_len(line) <= width for line in lines)
    assert "…" in lines[1]


def test_a_pipe_gets_whole_lines() -> None:
    """One line for each row, with all of the title, so that `grep` finds what it looks for."""
    said = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, timeout=60).stdout
    heading, *rows = said.splitlines()
    assert heading.split() == ["seen", "cve", "title", "id"]
    assert len(rows) == 3
    assert all(("A flaw " * 12).strip() in row and "CVE-2026-12345" in row for row in rows)
