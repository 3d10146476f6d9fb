"""The config: what people write in one YAML file, read, checked and shown."""

from forwarder.config.advice import advice
from forwarder.config.json_schema import json_schema
from forwarder.config.loading import load
from forwarder.config.masking import dump, secrets_of
from forwarder.config.model import (
    AlarmsConfig,
    Config,
    HeartbeatConfig,
    Listen,
    LogConfig,
    Route,
    SentrytexConfig,
    StartFrom,
    WebConfig,
)
from forwarder.config.outline import Outline, outline
from forwarder.config.problems import ConfigError, Problem
from forwarder.config.restart import needs_restart

__all__ = [
    "AlarmsConfig",
    "Config",
    "ConfigError",
    "HeartbeatConfig",
    "Listen",
    "LogConfig",
    "Outline",
    "Problem",
    "Route",
    "SentrytexConfig",
    "StartFrom",
    "WebConfig",
    "advice",
    "dump",
    "json_schema",
    "load",
    "needs_restart",
    "outline",
    "secrets_of",
]
