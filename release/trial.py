"""A wheel tried as its users will: in a new environment with what the lock names, far from the source."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from release.tree import Refused

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14")
DEMO: Final = "10s"


def pythons() -> dict[str, str]:
    """The Pythons of this machine that we support, by version, each one that can make an environment."""
    found = {}
    for version in VERSIONS:
        installed = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*"))
        candidates = [shutil.which(f"python{version}"), *(str(one / "bin" / "python") for one in installed)]
        works = (one for one in candidates if one and _says([one, "-c", "import ensurepip, sqlite3, ssl"]) is not None)
        if (first := next(works, None)) is not None:
            found[version] = first
    return found


def environment(folder: Path, python: str, wheel: Path, lock: Path) -> Path:
    """A new environment with the wheel and the lock's packages, each held to its hash; the folder of its programs."""
    run([python, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--requirement", str(lock)])
    run([*pip, "--no-deps", "--no-index", str(wheel)])
    run([*pip[:3], "check"])
    return folder / "bin"


def try_out(programs: Path, version: str, example: Path, *, demo: str = DEMO) -> None:
    """The forwarder of an environment, in an empty folder: its version, its demo, and the example config."""
    forwarder = str(programs / "forwarder")
    with tempfile.TemporaryDirectory() as empty:
        told = run([forwarder, "--version"], empty)
        if version not in told:
            raise Refused(f"It says that it is {told.strip()}, and not {version}.")
        run([forwarder, "demo", "--for", demo], empty)
        text = example.read_text("utf-8")
        secrets = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", text), "0" * 32)
        (Path(empty) / "config.yaml").write_text(text, "utf-8")
        run([forwarder, "check"], empty, secrets)


def run(command: list[str], folder: str | None = None, more: dict[str, str] | None = None) -> str:
    """What a command says. Raises Refused, with all of it, where it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FORWARDER"))}
    said: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=folder, env=kept | (more or {}), check=False, **said)
    if done.returncode:
        raise Refused(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return str(done.stdout)


def _says(command: list[str]) -> str | None:
    try:
        return run(command)
    except (Refused, OSError):
        return None
