"""What a config takes from outside: ``${VAR}``, ``${VAR:-default}`` and ``${file:/run/secrets/name}``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_REFERENCE: Final = re.compile(
    r"""\$(?: (?P<dollar>\$)
            | \{file:(?P<file>[^}]+)\}
            | \{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?: :-(?P<default>[^}]*) )?\}
            | (?P<broken>\{)
        )""",
    re.VERBOSE,
)

_ABSENT: Final = re.compile(r"the (variable|file) .+ (is not set|is empty|cannot be read)\b.*", re.DOTALL)


class UnknownVariable(ValueError):
    """A reference that comes to nothing. The message names the variable or the file, never what is in it."""


def is_absent(message: str) -> bool:
    """Whether a problem of a config is only that what it takes from outside is not there for who reads it."""
    return bool(_ABSENT.fullmatch(message))


class Variables:
    """The environment and the secret files that a config refers to. A file's path counts from ``folder``."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = env
        self._folder = folder
        self.values: set[str] = set()
        """Whatever came from outside so far: it may be secret, whichever key it stands at."""

    def expand(self, text: str) -> str:
        """``text`` with its references replaced, ``$$`` by ``$``, once. Raises UnknownVariable."""
        if "$" not in text:
            return text
        expanded = _REFERENCE.sub(self._resolve, text)
        if "${" in text:
            self.values.add(expanded)
        return expanded

    def _resolve(self, match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["broken"]:
            raise UnknownVariable("contains a ${ without a variable name: write ${NAME}, or $$ for a plain $")
        return self._file(match["file"]) if match["file"] else self._variable(match["name"], match["default"])

    def _variable(self, name: str, default: str | None) -> str:
        value = self._env.get(name, "")
        if value:
            self.values.add(value)
            return value
        if default is not None:
            return default
        if name in self._env:
            raise UnknownVariable(f"the variable {name} is empty: set it, or write ${{{name}:-}} if it may be empty")
        raise UnknownVariable(f"the variable {name} is not set")

    def _file(self, name: str) -> str:
        try:
            value = (self._folder / Path(name.strip()).expanduser()).read_text("utf-8").rstrip("\r\n")
        except (OSError, RuntimeError) as error:
            raise UnknownVariable(f"the file {name} cannot be read: {os_reason(error)}") from None
        except ValueError:
            raise UnknownVariable(f"the file {name} cannot be read: it is not UTF-8 text") from None
        if not value:
            raise UnknownVariable(f"the file {name} is empty")
        self.values.add(value)
        return value


def os_reason(error: Exception) -> str:
    """Why the system refused, in its own words without the path: ``no such file or directory``."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else "it cannot be opened"
