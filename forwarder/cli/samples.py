"""The alert that `preview` and `test` show where none is named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from forwarder.alert import Alert, Severity, Vendor, Vendors

SAMPLE_VENDORS: Final[Vendors] = {"apache": Vendor(key="apache", name="Apache", categories=("web",))}
SAMPLE_EVIDENCE: Final[tuple[str, ...]] = ("state: verified", "sources: 2")
"""What the stack and the API could say of it."""

_SCORES = {Severity.CRITICAL: 10.0, Severity.HIGH: 8.1, Severity.MEDIUM: 5.3, Severity.LOW: 3.1}


def sample_alert(severity: Severity, alert_id: str = "00000000-0000-4000-8000-000000000000") -> Alert:
    """A made-up alert about a real CVE, complete in every field."""
    return Alert.parse(
        {
            "id": alert_id,
            "cve_id": "CVE-2021-44228",
            "title": "Log4Shell: Apache Log4j runs code from a logged text",
            "description": "Apache Log4j 2 up to 2.14.1 looks up names that stand in the texts it logs. Whoever gets a "
            "text into a log can make the server load and run code from elsewhere. Upgrade to 2.17.1 or later.",
            "severity": severity.value,
            "cvss_score": _SCORES[severity],
            "epss_score": 0.944,
            "published_at": datetime.now(UTC).replace(microsecond=0).isoformat(),
            "source_urls": [
                "https://nvd.nist.gov/vuln/detail/CVE-2021-44228",
                "https://logging.apache.org/security.html",
            ],
            "affected_vendors": ["apache"],
            "cisa_kev": True,
            "alert_type": "cve",
        }
    )
