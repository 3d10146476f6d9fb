"""Alerts and deliveries for tests: plain ones to vary, hostile ones, odd ones, and real ones where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


def real_alerts() -> list[dict[str, Any]]:
    """Alerts in the API's shape made from real CVEs; skips the test where the file is absent."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "alerts.jsonl"
    path = Path(os.environ.get("FORWARDER_SAMPLE_ALERTS", beside))
    if not path.is_file():
        pytest.skip("no file of real alerts: name one, a JSON object a line, in FORWARDER_SAMPLE_ALERTS")
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]
