"""The step that made claims quick beside much that waits for its time: what is due stands together."""

from __future__ import annotations

from typing import Final

CLAIMS: Final = """
-- Whether its time had not come yet when that was last looked at: each claim puts right what has changed.
ALTER TABLE deliveries ADD COLUMN early INTEGER NOT NULL DEFAULT 0 CHECK (early IN (0, 1));
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (connector, early, due_at) WHERE state IN ('ready', 'uncertain');
DROP INDEX deliveries_failing;
CREATE INDEX deliveries_failing ON deliveries (connector, early, rank, published_at, id)
  WHERE state IN ('ready', 'uncertain') AND failing_since IS NOT NULL;
CREATE INDEX deliveries_due_next ON deliveries (connector, rank, published_at, id)
  WHERE state IN ('ready', 'uncertain') AND early = 0;
CREATE INDEX deliveries_tried ON deliveries (connector, tried_at{nulls_first}, rank, published_at, id)
  WHERE state IN ('ready', 'uncertain') AND early = 0;
"""
"""``nulls_first`` is what has to be said where what was never tried would stand last."""
