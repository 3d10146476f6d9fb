"""``python -m forwarder.new_connector``: what it says, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from forwarder.new_connector import main, written


def test_it_writes_the_package_and_says_what_to_do_next(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = CliRunner().invoke(main, ["acme-chat", str(folder)])
    assert done.exit_code == 0
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(written("acme-chat"))
    assert f"pytest {folder}" in done.output


@pytest.mark.parametrize("name", ["Acme", "1st", "a b", "a--b", "../up", "x" * 41, ""])
def test_a_name_that_is_none_is_refused_with_the_way_out(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [name, str(tmp_path / "new")])
    assert done.exit_code == 1
    assert "such as acme-chat" in done.output
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["slack", "none", "connector", "delivery", "target", "path"])
def test_a_name_that_cannot_be_had_is_refused_with_another(name: str, tmp_path: Path) -> None:
    """What is installed, what Python keeps for itself, and what the code has beside the connector."""
    done = CliRunner().invoke(main, [name, str(tmp_path / "new")])
    assert done.exit_code == 1
    assert f"such as acme-{name}." in done.output
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["intake2", "my-intake", "forwarder-intake"])
def test_a_name_may_hold_words_of_the_template(name: str) -> None:
    """Each is put in once, and what is installed is what the entry point names."""
    made, module = written(name), f"forwarder_{name.replace('-', '_')}"
    assert f"src/{module}/__init__.py" in made
    assert f'{name} = "{module}:' in made["pyproject.toml"]
    assert f'name = "forwarder-{name}"' in made["pyproject.toml"]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", "utf-8")
    done = CliRunner().invoke(main, ["acme", str(tmp_path)])
    assert done.exit_code == 1
    assert "name another folder" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    done = CliRunner().invoke(main, ["acme", str(tmp_path / "file" / "new")])
    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert "Traceback" not in done.output
