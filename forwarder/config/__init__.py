"""The config: what people write in one YAML file, read, checked and shown."""

from forwarder.config.loading import load
from forwarder.config.model import (
    Alarms,
    Config,
    Heartbeat,
    Listen,
    Log,
    Route,
    Sentrytex,
    StartFrom,
    Web,
)
from forwarder.config.problems import ConfigError, Problem
from forwarder.config.schema import json_schema
from forwarder.config.showing import dump, secrets_of

__all__ = [
    "Alarms",
    "Config",
    "ConfigError",
    "Heartbeat",
    "Listen",
    "Log",
    "Problem",
    "Route",
    "Sentrytex",
    "StartFrom",
    "Web",
    "dump",
    "json_schema",
    "load",
    "secrets_of",
]
