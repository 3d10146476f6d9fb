"""What `make release` makes: the same from the same commit, and a wheel that works far from its source."""

from __future__ import annotations

import re
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Final

import pytest
import yaml

from forwarder import __version__
from release.__main__ import compare
from release.artifacts import IMAGE, IMAGE_LOCK, make, notes
from release.sbom import bill, pins
from release.tree import Refused, Tree, Version, export, version_of
from release.trial import run, try_out
from tests.kit.deploy import DEPLOY, ROOT, instructions

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
RELEASED: Final = Version(python="1.2.3", chart="1.2.3", tagged=True)
CHANGELOG: Final = """# Changelog

## [Unreleased]

- New.

## [1.2.3] - 2026-11-26

- Old.

## [1.2.2] - 2026-10-01

- Older.
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of the repository, so there is no commit to release")
    return export(ROOT, tmp_path_factory.mktemp("release") / "tree")


@pytest.fixture(scope="module")
def made(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a release, by what their names end with."""
    files = make(tree, tmp_path_factory.mktemp("release") / "files")
    ends = (".whl", "context.tar.gz", ".tar.gz", ".tgz", ".cdx.json", ".md", "SHA256SUMS")
    return {next((end for end in ends if path.name.endswith(end)), path.name): path for path in files}


def test_a_tagged_commit_is_that_version() -> None:
    """The tag and pyproject.toml say the same, or there is no release."""
    tags = frozenset({"v0.9.0", "v1.2.3"})
    assert version_of("1.2.3", tags, frozenset({"v1.2.3", "latest"}), 99, COMMIT) == RELEASED
    with pytest.raises(Refused, match=r"is tagged v1\.2\.3, but pyproject\.toml says 1\.3\.0"):
        version_of("1.3.0", tags, frozenset({"v1.2.3"}), 99, COMMIT)


@pytest.mark.parametrize(("tags", "upcoming"), [(set(), "1.2.3"), ({"v1.2.3"}, "1.2.4")])
def test_a_commit_without_a_tag_is_on_the_way_to_the_next_version(tags: set[str], upcoming: str) -> None:
    """It sorts before what is to come and after what was released, and an image may have its name as a tag."""
    version = version_of("1.2.3", frozenset(tags), frozenset(), 516, COMMIT)
    assert version == Version(
        python=f"{upcoming}.dev516+g012345678", chart=f"{upcoming}-dev.516.g012345678", tagged=False
    )


def test_the_notes_are_the_section_of_the_version() -> None:
    """Without a tag, what is unreleased; without a section, there is no release."""
    assert notes(CHANGELOG, RELEASED) == "- Old.\n"
    assert notes(CHANGELOG, Version(python="1.2.4.dev1", chart="1.2.4-dev.1", tagged=False)) == "- New.\n"
    with pytest.raises(Refused, match=r"no section \[1\.2\.4\]"):
        notes(CHANGELOG, Version(python="1.2.4", chart="1.2.4", tagged=True))


def test_the_bill_of_materials_names_the_whole_lock() -> None:
    """Each package with its version and the hashes that the lock holds it to, and the same text each time."""
    lock = (ROOT / IMAGE_LOCK).read_text(encoding="utf-8")
    found = bill("sentrytex-forwarder", "1.2.3", lock, 1_795_700_000)
    assert found == bill("sentrytex-forwarder", "1.2.3", lock, 1_795_700_000)
    assert len(found["components"]) == len(re.findall(r"^\S+==", lock, re.MULTILINE))
    listed = [one["externalReferences"][0]["hashes"] for one in found["components"]]
    assert sum(map(len, listed)) == lock.count("--hash=sha256:")
    (driver,) = (one for one in found["components"] if one["name"] == "psycopg-binary")
    assert driver["purl"] == f"pkg:pypi/psycopg-binary@{driver['version']}"
    assert driver["properties"] == [{"name": "python:marker", "value": "implementation_name != 'pypy'"}]
    assert {one["ref"] for one in found["dependencies"]} == {
        found["metadata"]["component"]["bom-ref"],
        *(one["bom-ref"] for one in found["components"]),
    }
    assert all(pin.hashes for pin in pins(lock))


def test_the_image_context_is_what_docker_is_shown(made: dict[str, Path]) -> None:
    """What .dockerignore lets through, and the Dockerfile, so that the image is built from the archive alone."""
    shown = re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(IMAGE) == sorted(shown)
    with tarfile.open(made["context.tar.gz"]) as archive:
        names = archive.getnames()
    assert {name.split("/")[0] for name in names} == {*IMAGE, "deploy"}
    assert "deploy/Dockerfile" in names
    copied = [part.rstrip("/") for line in instructions("COPY") if "--from" not in line for part in line.split()[:-1]]
    assert set(copied) <= {name.split("/")[0] for name in names}


def test_a_release_made_again_is_the_same(tree: Tree, made: dict[str, Path], tmp_path: Path) -> None:
    """From another folder, byte by byte; and what differs is named."""
    again = make(export(ROOT, tmp_path / "elsewhere" / "tree"), tmp_path / "files")
    compare(list(made.values()), again)
    again[0].write_bytes(b"another")
    with pytest.raises(Refused, match=re.escape(again[0].name)):
        compare(list(made.values()), again)


def test_the_checksums_are_those_of_all_files(made: dict[str, Path]) -> None:
    """`sha256sum --check` says so."""
    folder = made["SHA256SUMS"].parent
    checked = run(["sha256sum", "--check", "--strict", "SHA256SUMS"], str(folder))
    assert checked.count(": OK") == len(list(folder.iterdir())) - 1


def test_the_chart_is_of_the_same_version(tree: Tree, made: dict[str, Path]) -> None:
    """It is packed as Helm packs one, in a folder of its name, and names the image of its own version."""
    with tarfile.open(made[".tgz"]) as archive:
        told = archive.extractfile("sentrytex-forwarder/Chart.yaml")
        assert told is not None
        chart = yaml.safe_load(told.read())
    assert (chart["version"], chart["appVersion"]) == (tree.version.chart, tree.version.chart)
    assert made[".tgz"].name == f"sentrytex-forwarder-{tree.version.chart}.tgz"
    packed = DEPLOY / "helm" / "sentrytex-forwarder"
    with tarfile.open(made[".tgz"]) as archive:
        names = {name.removeprefix("sentrytex-forwarder/") for name in archive.getnames()}
    assert names == {str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()}


@pytest.mark.thorough  # `make release` tries the wheel on every Python
def test_the_wheel_works_far_from_its_source(tree: Tree, made: dict[str, Path], tmp_path: Path) -> None:
    """Installed from the wheel, it knows its version, runs its demo to the end, and reads the example config."""
    home = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(home)])
    (inside,) = home.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
    run([*pip, "--no-deps", "--no-index", "--no-compile", str(made[".whl"])])
    # What it depends on is taken from here; a .pth file in a folder that one names is not read, so our source is not.
    (inside / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    code = "import forwarder; print(forwarder.__file__)"
    where = run([str(home / "bin" / "python"), "-c", code], str(home))
    assert Path(where.strip()).is_relative_to(inside)
    try_out(home / "bin", tree.version.python, tree.folder / "config.example.yaml", demo="2s")


def test_every_file_says_the_same_version() -> None:
    """Whatever is bumped by hand is bumped together."""
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "helm.md").read_text(encoding="utf-8")
    assert set(re.findall(r"sentrytex-forwarder:(\d+\.\d+\.\d+)", page)) == {__version__}
