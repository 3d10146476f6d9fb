"""By what it is judged whether replicas kept the order and the rates: the database itself, and the stand-ins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from forwarder.sandbox import Sandbox

# Writes come one after the other, whichever replica's they are. So whoever claims has seen what is owed at that moment,
# and nothing has to be guessed from dates.
WATCH: Final = """
CREATE TABLE forwarder.overtaken (connector text, claimed text, waiting text, times bigint);
CREATE FUNCTION forwarder.note_overtaken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO forwarder.overtaken
  SELECT NEW.connector, min(NEW.alert_id), min(d.alert_id), count(*) FROM forwarder.deliveries AS d
  WHERE d.connector = NEW.connector AND d.kind = 'open' AND d.state = 'ready' AND d.attempts = 0
    AND d.rank < NEW.rank AND d.due_at <= NEW.tried_at
  HAVING count(*) > 0;
  RETURN NULL;
END $$;
CREATE TRIGGER note_overtaken AFTER UPDATE OF state ON forwarder.deliveries FOR EACH ROW
WHEN (NEW.state = 'sending' AND OLD.state = 'ready' AND OLD.attempts = 0 AND OLD.kind = 'open')
EXECUTE FUNCTION forwarder.note_overtaken();
"""
"""What lets the database note each claim of a delivery for the first time while a more severe one was due."""
OVERTAKEN: Final = "SELECT connector, claimed, waiting, times FROM forwarder.overtaken"


def excess(times: Sequence[float], rate: float) -> float:
    """How many more than ``rate`` a second lets through there were, in whichever stretch that was most.

    ``times`` are in order; the first of a stretch is free.
    """
    least, most = float("inf"), 0.0
    for number, at in enumerate(times):
        level = number - rate * at
        least = min(least, level)
        most = max(most, level - least)
    return most


def refused(sandbox: Sandbox) -> list[str]:
    """The services that had to refuse a request for its rate, each as often as it did."""
    services = (sandbox.slack, sandbox.pagerduty, sandbox.jira)
    return [service.name for service in services for seen in service.requests if seen.status == 429]
