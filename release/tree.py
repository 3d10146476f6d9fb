"""The commit that is released: its files in a folder of their own, its moment, and the version that it makes."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

CHART: Final = Path("deploy", "helm", "sentrytex-forwarder")


class Refused(Exception):
    """Why there can be no release of this commit; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version as Python writes it (PEP 440), and as charts and images do (SemVer, without the plus of a build)."""

    python: str
    chart: str
    tagged: bool
    """Whether the commit has the tag of this version. Without one it is on the way to the next."""


def version_of(declared: str, tags: frozenset[str], here: frozenset[str], commits: int, commit: str) -> Version:
    """The version of a commit, where pyproject.toml says ``declared``.

    ``tags`` are the repository's, ``here`` the commit's own, such as v1.2.3; ``commits`` counts those up to it. Raises
    Refused where the commit's tag is another version's.
    """
    releases = {tag for tag in here if re.fullmatch(r"v\d+\.\d+\.\d+", tag)}
    if releases - {f"v{declared}"}:
        raise Refused(f"The commit is tagged {', '.join(sorted(releases))}, but pyproject.toml says {declared}.")
    if releases:
        return Version(python=declared, chart=declared, tagged=True)
    major, minor, patch = map(int, declared.split("."))
    # What comes after a release sorts after it, whether somebody has thought of the next number yet or not.
    upcoming = f"{major}.{minor}.{patch + (f'v{declared}' in tags)}"
    return Version(
        python=f"{upcoming}.dev{commits}+g{commit[:9]}", chart=f"{upcoming}-dev.{commits}.g{commit[:9]}", tagged=False
    )


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A commit's files, without anything that is not committed."""

    folder: Path
    version: Version
    epoch: int
    """The commit's moment, in seconds since 1970: the time of every file in the release."""


def git(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, check=False)
    if done.returncode:
        raise Refused(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def export(root: Path, folder: Path) -> Tree:
    """The commit that is checked out at ``root``, in ``folder``, with its version written where it is read."""
    with tarfile.open(fileobj=BytesIO(git(root, "archive", "--format=tar", "HEAD"))) as archive:
        archive.extractall(folder, filter="data")
    declared = str(tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["version"])
    version = version_of(
        declared,
        frozenset(git(root, "tag").decode().split()),
        frozenset(git(root, "tag", "--points-at", "HEAD").decode().split()),
        int(git(root, "rev-list", "--count", "HEAD")),
        git(root, "rev-parse", "HEAD").decode().strip(),
    )
    _write(folder / "pyproject.toml", r'^version = ".*"$', f'version = "{version.python}"')
    _write(folder / CHART / "Chart.yaml", r"^version: .*$", f"version: {version.chart}")
    _write(folder / CHART / "Chart.yaml", r"^appVersion: .*$", f"appVersion: {version.chart}")
    return Tree(folder=folder, version=version, epoch=int(git(root, "log", "-1", "--format=%ct")))


def _write(path: Path, pattern: str, line: str) -> None:
    text, times = re.subn(pattern, line, path.read_text("utf-8"), flags=re.MULTILINE)
    if times != 1:
        raise Refused(f"{path.name} has {times} lines like {pattern}, and not one.")
    path.write_text(text, "utf-8")
