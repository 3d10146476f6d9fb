"""``python -m forwarder.new_connector NAME`` writes the package of a connector, with its tests, to begin from.

What it writes is the connector of the page "Write your own connector", under your name for it. It works as it is.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Final

import click

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST: Final = 40


def written(name: str) -> dict[str, str]:
    """The files of the package by their path in it, for a connector whose ``type`` in the config is ``name``."""
    module = name.replace("-", "_")
    words = (
        ("forwarder-intake", f"forwarder-{name}"),
        ("forwarder_intake", f"forwarder_{module}"),
        ("INTAKE", module.upper()),
        ("Intake", "".join(part.capitalize() for part in module.split("_"))),
        ("intake", name),
    )
    template = files("forwarder") / "testing" / "template"
    paths = {
        "pyproject.toml": "pyproject.toml.txt",
        f"src/forwarder_{module}/__init__.py": "connector.py.txt",
        f"tests/test_{module}.py": "test_connector.py.txt",
    }
    made = {}
    for path, source in paths.items():
        text = (template / source).read_text("utf-8")
        for ours, theirs in words:
            text = text.replace(ours, theirs)
        made[path] = text
    return made


@click.command()
@click.argument("name")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def main(name: str, folder: Path | None) -> None:
    """Write the package of a connector of type NAME into FOLDER, by default forwarder-NAME."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise click.ClickException(
            f"{name!r} is no name for a type: up to {_LONGEST} small letters, digits, hyphens are, such as acme-chat."
        )
    folder = folder or Path(f"forwarder-{name}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise click.ClickException(f"{folder} is there already, and not empty: name another folder.")
    try:
        for path, text in written(name).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, "utf-8")
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror}.") from None
    click.echo(
        f"{folder} is a connector that posts alerts as JSON. Try it, then make it yours:\n\n"
        f"  pip install -e {folder} 'sentrytex-forwarder[testing]'\n"
        f"  pytest {folder}\n"
    )


if __name__ == "__main__":
    main()
