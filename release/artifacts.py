"""The files of a release. Each is made from a commit's tree alone, so whoever makes it again gets the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Final

from release.sbom import bill
from release.tree import CHART, Refused, Tree, Version

NAME: Final = "sentrytex-forwarder"
IMAGE_LOCK: Final = "requirements-postgres.lock"
IMAGE: Final = ("connectors", "forwarder", "LICENSE", "README.md", "pyproject.toml", IMAGE_LOCK)
"""What deploy/Dockerfile copies; a test holds it to .dockerignore."""
LOCKS: Final = ("requirements.lock", IMAGE_LOCK, "requirements-apprise.lock")
SUMS: Final = "SHA256SUMS"


def make(tree: Tree, folder: Path) -> list[Path]:
    """All files of the release in ``folder``, which is made, with their checksums in the last one."""
    folder.mkdir(parents=True)
    version = tree.version
    distributions(tree, folder)
    name = f"{NAME}-{version.python}"
    _tar(folder / f"{NAME}-{version.chart}.tgz", tree.folder / CHART, tree.epoch, prefix=NAME)
    context = [*IMAGE, "deploy/Dockerfile"]
    _tar(folder / f"{name}-image-context.tar.gz", tree.folder, tree.epoch, parts=context)
    lock = (tree.folder / IMAGE_LOCK).read_text("utf-8")
    told = json.dumps(bill(NAME, version.python, lock, tree.epoch), indent=2)
    (folder / f"{name}.cdx.json").write_text(f"{told}\n", "utf-8")
    for lock_name in LOCKS:
        (folder / lock_name).write_bytes((tree.folder / lock_name).read_bytes())
    (folder / "RELEASE_NOTES.md").write_text(notes((tree.folder / "CHANGELOG.md").read_text("utf-8"), version), "utf-8")
    made = sorted(folder.iterdir())
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made)
    (folder / SUMS).write_text(sums, "utf-8")
    return [*made, folder / SUMS]


def distributions(tree: Tree, folder: Path) -> None:
    """The wheel and the source distribution, by the locked build backend, which takes its times from the epoch."""
    told = {**os.environ, "SOURCE_DATE_EPOCH": str(tree.epoch), "PYTHONDONTWRITEBYTECODE": "1"}
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder), "--target"]
    for target in ("sdist", "wheel"):
        done = subprocess.run([*build, target], cwd=tree.folder, env=told, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"The {target} cannot be built: {done.stdout}{done.stderr}")


def notes(changelog: str, version: Version) -> str:
    """The changelog's section of this version, or of what is unreleased where there is no tag. Raises Refused."""
    wanted = version.python if version.tagged else "Unreleased"
    found = re.search(rf"^## \[{re.escape(wanted)}\].*?$(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise Refused(f"CHANGELOG.md has no section [{wanted}], or nothing in it.")
    return f"{found[1].strip()}\n"


def _tar(path: Path, root: Path, epoch: int, *, parts: Iterable[str] = (".",), prefix: str = "") -> None:
    """A compressed archive that depends on names and contents alone: no owner, no time but the epoch's, in order."""
    files = [one for part in parts for one in ([root / part] if (root / part).is_file() else (root / part).rglob("*"))]
    content = BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for one in sorted(files):
            if one.is_file():
                entry = tarfile.TarInfo(str(Path(prefix) / one.relative_to(root)))
                entry.size, entry.mtime, entry.mode = one.stat().st_size, epoch, 0o644
                archive.addfile(entry, BytesIO(one.read_bytes()))
    path.write_bytes(gzip.compress(content.getvalue(), mtime=0))
