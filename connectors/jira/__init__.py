"""Jira, Cloud and Data Center."""

from connectors.jira.config import JiraConfig
from connectors.jira.connector import Jira

__all__ = ["Jira", "JiraConfig"]
