"""``python -m forwarder.new_connector NAME`` writes the package of a connector, with its tests, to begin from.

What it writes is the connector of the page "Write your own connector", under your name for it. It works as it is.
"""

from __future__ import annotations

import ast
import keyword
import re
from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from forwarder.plugins import connector_types

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
    # All in one go: a name may hold one of these words itself.
    ours = re.compile("|".join(word for word, _ in words))
    theirs = dict(words)
    return {
        path: ours.sub(lambda found: theirs[found[0]], (template / source).read_text("utf-8"))
        for path, source in paths.items()
    }


def why_taken(name: str) -> str:
    """What keeps a connector from a name that is one otherwise, as the rest of a sentence; empty where nothing does."""
    if name in connector_types():
        return "is a type that is installed here already"
    word = "".join(part.capitalize() for part in re.split("[-_]", name))
    if keyword.iskeyword(word) or {word, f"{word}Config", word.upper()} & _needed():
        return "is a word that its code needs for something else"
    return ""


def _needed() -> set[str]:
    """What else than the connector the code names at its top."""
    found: set[str] = set()
    for path, text in written("intake").items():
        for node in ast.walk(ast.parse(text)) if path.endswith(".py") else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                found |= {one.name for one in node.names}
            elif isinstance(node, ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and node.id.isupper():
                found.add(node.id)
    return {one for one in found if "intake" not in one.lower()}


@click.command()
@click.argument("name")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def main(name: str, folder: Path | None) -> None:
    """Write the package of a connector of type NAME into FOLDER, by default forwarder-NAME."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise click.ClickException(
            f"{name!r} is no name for a type: up to {_LONGEST} small letters, digits, hyphens are, such as acme-chat."
        )
    if why := why_taken(name):
        raise click.ClickException(f"{name!r} {why}: choose another name, such as acme-{name[:30]}.")
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
