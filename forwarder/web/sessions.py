"""What lets a visitor in, and what shows that a form was ours."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

_BEARER: Final = "bearer "


class Keys:
    """The config's token, and what is derived from it for one process: a restart signs everybody out.

    ``token`` of None is a page that anyone on this machine may read.
    """

    def __init__(self, token: str | None, key: bytes | None = None) -> None:
        self.open = token is None
        self._token = (token or "").encode()
        key = secrets.token_bytes(32) if key is None else key
        self.session = hmac.digest(key, b"session " + self._token, "sha256").hex()
        """What the cookie of a signed-in visitor holds; the token cannot be derived from it."""
        self.form = hmac.digest(key, b"form " + self._token, "sha256").hex()
        """What every form of ours carries; another site can make a browser post, but not know this."""

    def admits(self, token: str) -> bool:
        """Whether ``token`` is the one that signs in."""
        return not self.open and hmac.compare_digest(token.encode(errors="replace"), self._token)

    def admits_header(self, authorization: str) -> bool:
        """Whether a program shows the token: ``Authorization: Bearer …``."""
        return authorization[: len(_BEARER)].lower() == _BEARER and self.admits(authorization[len(_BEARER) :].strip())

    def admits_session(self, cookie: str) -> bool:
        """Whether a cookie is of somebody who signed in since the start."""
        return hmac.compare_digest(cookie.encode(errors="replace"), self.session.encode())

    def admits_form(self, value: str) -> bool:
        """Whether a form was made by one of our pages."""
        return hmac.compare_digest(value.encode(errors="replace"), self.form.encode())
