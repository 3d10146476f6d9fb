"""`make release`: makes the files twice, compares them, and tries the wheel on every Python of this machine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from release.artifacts import make
from release.tree import Refused, export, git
from release.trial import VERSIONS, environment, pythons, try_out

ROOT: Final = Path(__file__).resolve().parent.parent


def release(target: Path) -> None:
    """The files of the release of the commit that is checked out, in ``target``, once they have stood the trial."""
    if git(ROOT, "status", "--porcelain"):
        say("What is not committed is not in the release.")
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        work = Path(name)
        tree = export(ROOT, work / "one")
        made = make(tree, work / "first")
        compare(made, make(export(ROOT, work / "elsewhere" / "two"), work / "second"))
        say(f"{tree.version.python}: {len(made)} files, made twice, the same bytes")
        (wheel,) = (path for path in made if path.suffix == ".whl")
        found = pythons()
        for version, python in found.items():
            programs = environment(work / f"python-{version}", python, wheel, tree.folder / "requirements.lock")
            try_out(programs, tree.version.python, tree.folder / "config.example.yaml")
            say(f"Python {version}: installed, demo run, example config read")
        if missing := [version for version in VERSIONS if version not in found]:
            say(f"Not tried, since not on this machine: Python {', '.join(missing)}")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(work / "first", target)
    if not tree.version.tagged:
        say("No release: the commit has no tag. docs/releasing.md says how one is made.")
    say("Before it is published, CI_ALL=1 .ci/run has to pass on this commit: all tests, on each Python.")
    say(f"In {target}: {', '.join(path.name for path in made)}")


def compare(first: list[Path], second: list[Path]) -> None:
    """Raises Refused where the two are not the same files with the same bytes."""
    if [one.name for one in first] != [two.name for two in second]:
        raise Refused("Made twice, the release has other files.")
    different = [one.name for one, two in zip(first, second, strict=True) if one.read_bytes() != two.read_bytes()]
    if different:
        raise Refused(f"Made twice, these differ: {', '.join(different)}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        release(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist")
    except Refused as refused:
        sys.exit(f"No release: {refused}")
