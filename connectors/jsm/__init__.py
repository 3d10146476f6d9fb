"""Alerts of Jira Service Management, which page people: what Opsgenie was."""

from connectors.jsm.config import JsmConfig
from connectors.jsm.connector import Jsm

__all__ = ["Jsm", "JsmConfig"]
