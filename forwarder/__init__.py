"""sentrytex-forwarder: every Sentrytex alert where it should be, once."""

from importlib.metadata import version

__version__ = version("sentrytex-forwarder")
