"""The step that made reminders quick: when an alert is told again is kept, and none is read before."""

from __future__ import annotations

from typing import Final

REMINDERS: Final = """
-- When the alert is to be told again, if nothing of it moves; NULL where it is told no more.
ALTER TABLE reminded ADD COLUMN again_at REAL;
-- It is not known yet: the first look finds out.
UPDATE reminded SET again_at = 0;
CREATE INDEX reminded_again ON reminded (reminder, again_at) WHERE again_at IS NOT NULL;
CREATE INDEX responses_reopened ON responses (at) WHERE action = 'reopen';
"""
