"""What is wrong with the database, in sentences."""

from __future__ import annotations


class StoreError(Exception):
    """The database cannot be used, or could not take a write; the message is a sentence with the way out."""


class AlreadyRunning(StoreError):
    """Another process owns the database."""


class LeaseLost(StoreError):
    """Another replica has the role that a write was for: what it was to say is for that one to find out."""


class Overtaken(Exception):
    """What was routed has changed since it was read: nothing was written, and it is to be routed again."""

    def __init__(self) -> None:
        super().__init__("An alert was changed, or first seen, by the feed of another account meanwhile.")
