"""Slack."""

from connectors.slack.config import SlackConfig
from connectors.slack.connector import Slack

__all__ = ["Slack", "SlackConfig"]
