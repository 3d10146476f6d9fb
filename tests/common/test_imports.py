"""What is not used any more is let go of, and is there again for whoever needs it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from forwarder.common.imports import forget

NAMES = ("parser", "parser.inner", "parser.inner.deep", "parsers")


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package, one whose name begins alike, and all that is within them."""
    for name in ("parser", "parser/inner", "parsers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "parser" / "inner" / "deep.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in NAMES:
        importlib.import_module(name)
        monkeypatch.setitem(sys.modules, name, sys.modules[name])
    # A package need not stand before what is within it.
    sys.modules["parser"] = sys.modules.pop("parser")


@pytest.mark.usefixtures("imported")
def test_a_package_is_forgotten_with_all_that_is_within_it() -> None:
    """What only begins with its name stays, and who imports it next gets another one."""
    before = sys.modules["parser"]
    forget("parser")
    assert [name for name in NAMES if name in sys.modules] == ["parsers"]
    assert importlib.import_module("parser.inner.deep") is sys.modules["parser.inner.deep"]
    assert sys.modules["parser"] is not before
    assert before.inner.deep is not sys.modules["parser.inner.deep"]


@pytest.mark.usefixtures("imported")
def test_a_module_is_forgotten_by_its_package_as_well() -> None:
    """The package keeps nothing under its name, and stays as it is."""
    package = sys.modules["parser"]
    forget("parser.inner")
    assert not hasattr(package, "inner")
    assert [name for name in NAMES if name in sys.modules] == ["parser", "parsers"]


@pytest.mark.usefixtures("imported")
def test_a_module_that_somebody_keeps_is_not_forgotten() -> None:
    """It is the same one for the package that is imported anew."""
    before = sys.modules["parser.inner.deep"]
    forget("parser", but="parser.inner.deep")
    importlib.import_module("parser.inner")
    assert importlib.import_module("parser.inner.deep") is before
