"""A machine that can be made bad while a process runs on it: a disk full or failing, clocks that jump, no threads."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

import pytest

_SOURCE: Final = Path(__file__).with_name("machine.c")
_AILMENTS: Final = ("sync_fails", "disk_full", "read_only", "wall_seconds", "boot_seconds", "no_threads")
_LAYOUT: Final = struct.Struct(f"={len(_AILMENTS)}q")


class Machine:
    """What ``machine.c`` lets a process believe. ``env`` goes into that process's environment.

    Skips where there is no compiler or no Linux.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None or sys.platform != "linux":
            pytest.skip("a C compiler on Linux is needed to make a machine bad")
        library, self._file = folder / "machine.so", folder / "machine.state"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"],
            check=True,
            capture_output=True,
        )
        self._file.write_bytes(_LAYOUT.pack(*(0 for _ in _AILMENTS)))
        self.env = {"LD_PRELOAD": str(library), "MACHINE": str(self._file)}
        with self._file.open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), _LAYOUT.size)
        self._now = dict.fromkeys(_AILMENTS, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._state.close()

    def falls_ill(self, **ailments: int) -> None:
        """``wall_seconds``, ``boot_seconds``: so far ahead; all others, see ``machine.c``: 1 for yes."""
        self._now |= ailments
        _LAYOUT.pack_into(self._state, 0, *(self._now[name] for name in _AILMENTS))

    def recovers(self) -> None:
        self.falls_ill(**dict.fromkeys(_AILMENTS, 0))
