"""Reply codes and what a decent server says with them (RFC 5321 4.2.3, RFC 3463)."""

from __future__ import annotations

_TEXTS: dict[int, tuple[str, str]] = {
    220: ("2.0.0", "ready"),
    221: ("2.0.0", "bye"),
    235: ("2.7.0", "welcome"),
    250: ("2.0.0", "ok"),
    354: ("", "end with a dot on a line by itself"),
    421: ("4.3.2", "service not available, closing the channel"),
    450: ("4.2.0", "mailbox busy"),
    451: ("4.3.0", "local error, try again"),
    452: ("4.5.3", "too many recipients"),
    454: ("4.7.0", "temporarily not available"),
    500: ("5.5.2", "not understood"),
    501: ("5.5.4", "bad argument"),
    502: ("5.5.1", "not implemented"),
    503: ("5.5.1", "bad sequence of commands"),
    504: ("5.5.4", "mechanism not known"),
    530: ("5.7.0", "log in first"),
    535: ("5.7.8", "login refused"),
    550: ("5.1.1", "no such user"),
    552: ("5.3.4", "message too large"),
    553: ("5.6.7", "address needs SMTPUTF8"),
    554: ("5.5.1", "no valid recipients"),
    555: ("5.5.4", "parameter not known"),
}


def reply(code: int, *lines: str, enhanced: bool = True) -> bytes:
    """Return a whole reply; without ``lines`` the usual words, with an enhanced status code."""
    if not lines:
        status, text = _TEXTS.get(code, (f"{code // 100}.0.0", "as scripted"))
        lines = (f"{status} {text}" if enhanced and status else text,)
    *more, last = lines
    return "".join([*(f"{code}-{line}\r\n" for line in more), f"{code} {last}\r\n"]).encode()
