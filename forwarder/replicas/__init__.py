"""Several processes that share the work on one database: which roles there are, how they spread, and who has which."""

from __future__ import annotations
