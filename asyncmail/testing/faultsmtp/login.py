"""AUTH PLAIN and LOGIN, from the server's side (RFC 4954, RFC 4616)."""

from __future__ import annotations

import base64
import binascii


class Login:
    """One login while it goes on: ``prompt`` is the next challenge, ``None`` when all has been said."""

    def __init__(self, mechanism: str) -> None:
        self._prompts = ["Username:", "Password:"] if mechanism == "LOGIN" else [""]
        self._said: list[bytes] = []

    @property
    def prompt(self) -> str | None:
        """The challenge in base64."""
        if len(self._said) == len(self._prompts):
            return None
        return base64.b64encode(self._prompts[len(self._said)].encode()).decode()

    def feed(self, response: bytes) -> bool:
        """Take the client's response; False if it is not base64."""
        try:
            self._said.append(base64.b64decode(response, validate=True))
        except binascii.Error:
            return False
        return True

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password as the client gave them."""
        said = self._said[0].split(b"\0")[1:] if len(self._said) == 1 else self._said
        user, password, *_ = [*said, b"", b""]
        return user.decode(errors="replace"), password.decode(errors="replace")
