"""Issues in a repository on GitHub, on github.com and on GitHub Enterprise Server."""

from connectors.github.config import GitHubConfig
from connectors.github.connector import GitHub

__all__ = ["GitHub", "GitHubConfig"]
