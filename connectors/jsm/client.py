"""The wire of Jira Service Management's integration events: one event in one request, and what each answer means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from connectors.jsm.config import KEY_HINT, JsmConfig
from forwarder.connector import Failed, Rejected
from forwarder.wire.endpoint import Answer, Endpoint

PERIOD: Final = "X-RateLimit-Period-In-Sec"
"""In how many seconds a rate limit counts. https://docs.opsgenie.com/docs/api-rate-limiting"""


class Events(Endpoint):
    """The integration events as the holder of one integration's key sees them."""

    def __init__(self, config: JsmConfig, now: Callable[[], datetime]) -> None:
        key = config.api_key.get_secret_value()
        super().__init__(
            config.base_url,
            config.timeout,
            now,
            setting="base_url",
            takes="the alert",
            headers={"Authorization": f"GenieKey {key}"},
            secrets=(key,),
        )

    def create(self, event: Mapping[str, Any]) -> None:
        """Opens an alert; raises Failed unless it was accepted."""
        self._refused_afterwards(self._accepted(self._post("/alerts", event)))

    def act(self, action: str, alias: str, event: Mapping[str, Any]) -> bool:
        """Acknowledges or closes the alert of that alias, and says whether there is one; raises Failed.

        That is mostly found out afterwards, and then nobody is told. Where it is said at once, the answer has the id of
        the request, which that of an address that leads elsewhere has not.
        """
        answer = self._post(f"/alerts/{quote(alias, safe='')}/{action}?identifierType=alias", event)
        if answer.status == 404 and isinstance(_field(answer, "requestId"), str):
            return False
        self._accepted(answer)
        return True

    def look(self) -> Answer:
        """What is said to a question about a request that never was: whether the key counts. Raises Failed."""
        return self.ask("GET", path="/alerts/requests/00000000-0000-0000-0000-000000000000")

    def _post(self, path: str, event: Mapping[str, Any]) -> Answer:
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        return self.ask("POST", {"Content-Type": "application/json; charset=utf-8"}, body, path=path)

    def _accepted(self, answer: Answer) -> Answer:
        if not answer.accepts or answer.is_page:
            raise Failed(self.refusal(answer, answer.headers.get(PERIOD)))
        return answer

    def _refused_afterwards(self, accepted: Answer) -> None:
        """Raises Failed where the request was accepted and then not carried out: it is processed on its own."""
        request = _field(accepted, "requestId")
        if not isinstance(request, str) or not request.isascii():
            return
        try:
            answer = self.ask("GET", path=f"/alerts/requests/{quote(request, safe='')}")
        except Failed:
            return  # it was accepted, and no more is known of it
        told = _field(answer, "data")
        if answer.status == 200 and isinstance(told, dict) and told.get("isSuccess") is False:
            raise Failed(Rejected(f"{self.host} accepted the alert and did not open it{self.said(answer)}"))

    def why_broken(self, answer: Answer) -> str:
        """What a person must do about an answer after which no other alert will be taken either."""
        status, said = answer.status, self.said(answer)
        if status in (401, 403):
            return f"{self.host} does not accept the key (status {status}{said}): check api_key, {KEY_HINT}"
        return super().why_broken(answer)


def _field(answer: Answer, name: str) -> Any:
    try:
        return json.loads(answer.body or "")[name]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
