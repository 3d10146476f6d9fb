"""The config: what people write in one YAML file, read, checked and shown."""

from forwarder.config.advice import advice
from forwarder.config.json_schema import json_schema
from forwarder.config.life import Conditions, Mute, Owners, Reminder, Report
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
from forwarder.config.times import Day, Hours, Moment, Recurring, Schedule

__all__ = [
    "AlarmsConfig",
    "Conditions",
    "Config",
    "ConfigError",
    "Day",
    "HeartbeatConfig",
    "Hours",
    "Listen",
    "LogConfig",
    "Moment",
    "Mute",
    "Outline",
    "Owners",
    "Problem",
    "Recurring",
    "Reminder",
    "Report",
    "Route",
    "Schedule",
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
