"""PagerDuty."""

from connectors.pagerduty.config import PagerDutyConfig
from connectors.pagerduty.connector import PagerDuty

__all__ = ["PagerDuty", "PagerDutyConfig"]
