"""What is wrong with the database, in sentences."""

from __future__ import annotations


class StoreError(Exception):
    """The database cannot be used, or could not take a write; the message is a sentence with the way out."""


class AlreadyRunning(StoreError):
    """Another process owns the database."""


class LeaseLost(StoreError):
    """Another process has taken over the database: this one can commit nothing more, and should end."""


class Overtaken(Exception):
    """What was routed has changed since it was read: nothing was written, and it is to be routed again."""
