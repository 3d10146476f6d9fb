"""A person at a terminal."""

from __future__ import annotations

import json
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from forwarder.cli.root import group, main
from forwarder.sandbox import Sandbox
from tests.kit.core import EVERYTHING, command, secrets, settings, written


class Desk:
    """A person at a terminal, with a config for the sandbox."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.config: dict[str, Any] = {**settings(sandbox), "routes": [EVERYTHING]}
        self.write()

    @property
    def env(self) -> dict[str, str]:
        place = {"FORWARDER_CONFIG": str(self.folder / "config.yaml"), "COLUMNS": "200"}
        return {**secrets(self.sandbox), **place}

    def write(self) -> None:
        written(self.folder, self.config)

    def run(self, *args: str, **env: str) -> Result:
        """A command in this process: quick, since to start another one costs half a second of a core."""
        return CliRunner().invoke(group, args, catch_exceptions=False, env={**self.env, **env})

    def says(self, *args: str) -> str:
        result = self.run(*args)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self.says(*args, "--json"))

    def ends(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A command as it ends for who calls it in the config's folder, with its exit status, in this process."""
        env = {**self.env, "FORWARDER_CONFIG": "config.yaml"}
        with chdir(self.folder), CliRunner().isolation(env=env) as (out, err, _):
            try:
                main(args)
                status = 0
            except SystemExit as left:
                status = int(left.code or 0)
            return subprocess.CompletedProcess(args, status, out.getvalue().decode(), err.getvalue().decode())

    def process(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A command in a process of its own: where a signal, a log or what the system gives it matters."""
        return command(self.folder, *args, env={**self.env, "FORWARDER_CONFIG": "config.yaml"})

    def once(self) -> subprocess.CompletedProcess[str]:
        """`once` as cron runs it. Where it only brings about what a test looks at, ``run("once")`` does."""
        return self.process("once")
