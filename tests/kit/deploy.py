"""What tests of the deployment files share: the files as data, the tools that read them, configs with their secrets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from forwarder.config import Config, load

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"

SECRET_FILES: Final = re.compile(r"\$\{file:/run/secrets/(\w+)\}")


def run(*command: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def installed(tool: str, package: str) -> str:
    """The path of a tool that no Python package brings; the test is skipped where it is missing."""
    beside = Path(sys.executable).with_name(tool)
    found = str(beside) if beside.is_file() else shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed ({package})")
    return found


def documents(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def instructions(name: str) -> list[str]:
    """The arguments of a Dockerfile's instructions of one kind, continuation lines joined."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def load_container_config(folder: Path, text: str) -> Config:
    """The config with its secret files in ``folder``; each holds as many characters as the strictest key asks for."""
    for name in SECRET_FILES.findall(text):
        (folder / name).write_text(f"{name:x<32}\n")
    (folder / "config.yaml").write_text(text.replace("/run/secrets", str(folder)))
    return load(folder / "config.yaml", env={})


def assert_valid(files: Iterable[Path]) -> None:
    """Each file is a manifest that fits Kubernetes' own schema, with no key that it does not know."""
    wanted = list(files)
    result = run(Path(sys.executable).with_name("kubernetes-validate"), "--strict", *wanted)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (result.stdout + result.stderr).count("passed for resource") == len(wanted)
