"""The labels of issues: that they may be set at all, that they were, and that the severity's follows the severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from connectors.github.client import Api, RequestFailed
from connectors.github.config import GitHubConfig
from connectors.github.issue import label_names
from connectors.github.standing import Place
from forwarder.alert import Severity
from forwarder.connector import Broken, Delivery, RateLimited
from forwarder.ticket import LABEL

_COLOR: Final = "5319e7"
_ABOUT: Final = "A security alert of Sentrytex, opened by sentrytex-forwarder"


class Labels:
    """Labels in the config's repository. Every method but ``complete`` raises RequestFailed."""

    def __init__(self, api: Api, config: GitHubConfig) -> None:
        self._api, self._config = api, config
        self._proven = False

    def prove(self) -> None:
        """Makes sure that the account may set labels, once, by making the one that every issue has.

        From one who may not, GitHub takes an issue without its labels, and says nothing of that: it would not be found
        again. https://docs.github.com/en/rest/issues/issues#create-an-issue
        """
        if self._proven:
            return
        label = {"name": LABEL, "color": _COLOR, "description": _ABOUT}
        try:
            self._api.ask("POST", f"repos/{quote(self._config.repository)}/labels", body=label)
        except RequestFailed as failed:
            if failed.status in (403, 404) and not isinstance(failed.outcome, RateLimited):
                reason = (
                    f"GitHub lets the account set no labels in {self._config.repository}, by which issues are found "
                    f"again ({failed.outcome.reason}); the account needs the role Write there"
                )
                raise RequestFailed(Broken(reason), status=failed.status) from None
            if failed.status != 422:  # it is there already
                raise
        self._proven = True

    def complete(self, place: Place, answer: Mapping[str, Any], wanted: Sequence[str]) -> str:
        """Adds those of ``wanted`` that GitHub left out of a new issue; what kept it from that, in words."""
        there = {name.lower() for name in label_names(answer)}
        missing = [name for name in wanted if name.lower() not in there]
        if not missing:
            return ""
        self._proven = False
        try:
            self._api.ask("POST", f"{place.path}/labels", body={"labels": missing})
        except RequestFailed as failed:
            return f"opened without its labels: {failed.outcome.reason}"
        return ""

    def follow(self, delivery: Delivery, place: Place) -> None:
        """Puts the label of an alert's new severity in the place of the old one, unless people took that away."""
        change = next((change for change in delivery.changes if change.field == "severity"), None)
        before = _label_of(change.old, self._config) if change else None
        now = self._config.severity_labels.get(delivery.alert.severity)
        if before is None or now is None or before == now:
            return
        found = self._api.ask("GET", place.path)
        there = {name.lower() for name in label_names(found)} if isinstance(found, Mapping) else set()
        if before.lower() not in there:
            return
        self._api.ask("POST", f"{place.path}/labels", body={"labels": [now]})
        try:
            self._api.ask("DELETE", f"{place.path}/labels/{quote(before, safe='')}")
        except RequestFailed as failed:
            if failed.status != 404:  # somebody else was quicker
                raise


def _label_of(severity: object, config: GitHubConfig) -> str | None:
    try:
        return config.severity_labels.get(Severity(str(severity)))
    except ValueError:
        return None
