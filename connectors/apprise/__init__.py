"""A hundred services and more, each by the one address that the library Apprise knows it by."""

from connectors.apprise.config import AppriseConfig
from connectors.apprise.connector import Apprise

__all__ = ["Apprise", "AppriseConfig"]
