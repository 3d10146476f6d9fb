"""Microsoft Teams, through a Workflows webhook."""

from connectors.teams.config import TeamsConfig
from connectors.teams.connector import Teams

__all__ = ["Teams", "TeamsConfig"]
