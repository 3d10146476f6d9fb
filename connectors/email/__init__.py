"""E-mail, over SMTP."""

from connectors.email.config import EmailConfig
from connectors.email.connector import Email

__all__ = ["Email", "EmailConfig"]
