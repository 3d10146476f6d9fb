"""What the image consists of, as a CycloneDX bill of materials: each package of the lock, with its hashes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

SPEC: Final = "1.6"
"""https://cyclonedx.org/docs/1.6/json/"""

_PIN: Final = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>[^\s;\\]+)(?: *; *(?P<marker>[^\\\n]+?))? *\\\n"
    r"(?P<hashes>(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A package as the lock names it: where it applies, and the SHA-256 of each file of it that may be used."""

    name: str
    version: str
    marker: str | None
    hashes: tuple[str, ...]


def pins(lock: str) -> Iterator[Pin]:
    """The packages of a lock, in its order."""
    for found in _PIN.finditer(lock):
        hashes = re.findall(r"[0-9a-f]{64}", found["hashes"])
        yield Pin(name=found["name"], version=found["version"], marker=found["marker"], hashes=tuple(hashes))


def bill(name: str, version: str, lock: str, epoch: int) -> dict[str, Any]:
    """The bill of ``name`` and of what ``lock`` installs beside it; the same for the same lock, version and moment."""
    packages = list(pins(lock))
    own = f"pkg:pypi/{name}@{version}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{own} {epoch} {lock}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": name,
                "version": version,
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [_component(pin) for pin in packages],
        # Who needs whom is not in the lock: only that all of it is there for the forwarder.
        "dependencies": [
            {"ref": own, "dependsOn": [_purl(pin) for pin in packages]},
            *({"ref": _purl(pin)} for pin in packages),
        ],
    }


def _purl(pin: Pin) -> str:
    return f"pkg:pypi/{pin.name.lower().replace('_', '-')}@{pin.version}"


def _component(pin: Pin) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _purl(pin),
        "name": pin.name,
        "version": pin.version,
        "scope": "optional" if pin.marker else "required",
        "purl": _purl(pin),
        # A package has a file for each platform, and so several hashes: they belong to its files, wherever those are.
        "externalReferences": [
            {
                "type": "distribution",
                "url": _purl(pin),
                "hashes": [{"alg": "SHA-256", "content": content} for content in pin.hashes],
            }
        ],
    }
    if pin.marker:
        component["properties"] = [{"name": "python:marker", "value": pin.marker}]
    return component
