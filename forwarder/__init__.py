"""sentrytex-forwarder: every Sentrytex alert where it should be, once."""

from __future__ import annotations

__version__: str


def __getattr__(name: str) -> str:
    # Only where it is asked for: the import takes longer than anything else before signals are put off.
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version

    return version("sentrytex-forwarder")
