"""Named moments at which the crash tests have the process end; for everybody else each does nothing.

``ASYNCMAIL_FAILPOINT=dot.replied:3`` ends the process when that point is passed for the third time, as
``kill -9`` would. The variable is read once, when this module is imported.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "ASYNCMAIL_FAILPOINT"
EXIT_CODE: Final = 137  # what a shell shows of a process that was killed

FAILPOINTS: Final = {
    "accept.before_tx": "a batch is judged, its transaction has not begun",
    "accept.in_tx": "its rows are written, not committed",
    "accept.committed": "it is committed, the reply has not begun",
    "claim.committed": "messages are claimed, nothing is started",
    "build.done": "the bytes of a message are made",
    "connect.done": "a connection is open and logged in",
    "mail.done": "MAIL is answered",
    "rcpt.done": "a RCPT is answered",
    "data.intent_before": "under hold: the intent to write the dot is not recorded yet",
    "data.intent_committed": "under hold: it is recorded",
    "data.354": "DATA is answered",
    "body.half": "a part of a long message has been written",
    "dot.before": "all that is missing is the piece with the dot",
    "dot.written": "the dot has left",
    "dot.replied": "the dot is answered",
    "result.in_batch": "results are written, not committed",
    "result.committed": "results are committed, their slots are not free yet",
    "report.before": "a list of results is about to be reported",
    "report.posted": "the receiver has answered",
    "report.ack_committed": "its acknowledgement is committed",
    "retention.mid": "messages are deleted, what belongs to them is not, nothing is committed",
    "migrate.mid": "the schema is made, its version is not recorded",
    "suspend.committed": "sending is switched off, claims are not given back yet",
    "drain.mid": "a stop was asked for; what has not begun is given back",
}
"""Every point, in the order of a message's way, and what is true there."""

_WRITTEN: Final = "dot.written"  # here the event loop gets the time to write what it was handed
_WRITING_SECONDS: Final = 0.002


def _pass(name: str) -> None:
    """Nothing ends here."""


def _armed(wanted: str | None) -> Callable[[str], None]:
    """The function that the code calls at every point."""
    if not wanted:
        return _pass
    point, _, number = wanted.partition(":")
    if point not in FAILPOINTS or not (number or "1").isdecimal():
        raise SystemExit(f"{VARIABLE}={wanted}: there is no such failpoint")
    left = int(number or 1)

    def count_down(name: str) -> None:
        nonlocal left
        if name != point:
            return
        left -= 1
        if left == 0 and name == _WRITTEN:
            asyncio.get_running_loop().call_later(_WRITING_SECONDS, os._exit, EXIT_CODE)
        elif left == 0:
            os._exit(EXIT_CODE)

    return count_down


failpoint: Final = _armed(os.environ.get(VARIABLE))
