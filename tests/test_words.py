"""What people are told of an alert, in words that every chat shows alike."""

from __future__ import annotations

import pytest

from forwarder import words
from forwarder.connector import Change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(field="severity", old="high", new="critical"), "⬆️ Severity: high → critical"),
        (Change(field="severity", old="high", new="low"), "Severity: high → low"),
        (Change(field="cisa_kev", old=False, new=True), "🔥 Now on CISA KEV: known to be exploited"),
        (Change(field="cisa_kev", old=True, new=False), "No longer on CISA KEV"),
        (Change(field="cvss_score", old=None, new=9.8), "CVSS: none → 9.8"),
        (Change(field="cve_id", old=None, new="CVE-2026-1"), "CVE: none → CVE-2026-1"),
        (Change(field="affected_vendors", old=["a", "b"], new=["b", "c"]), "Vendors: + c, − a"),
        (Change(field="new_field", old=1, new={"a": 2}), "new_field: 1 → {'a': 2}"),
    ],
)
def test_a_change_is_put_in_words(change: Change, said: str) -> None:
    """Each field that can change has a sentence, and so has one that nobody thought of."""
    assert words.sentence(change) == said
