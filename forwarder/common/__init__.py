"""What everything is made of: units, the clock, backoff, addresses, texts. Small and pure."""
