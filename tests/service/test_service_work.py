"""The work that a message makes, counted in calls, which no busy machine can change."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import asyncmail
from asyncmail.testing.running import RunningService, mail

MESSAGES = 400
CALLS = 297.0  # per message; change it on purpose, when it is known why
TOLERANCE = 0.10

PACKAGE = str(Path(asyncmail.__file__).parent)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Calls of the event loop's thread into asyncmail's functions, by module and name.

    What is not counted: the test's own servers, and comprehensions, which are no calls from 3.12 on.
    """
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and code.co_name[0] != "<":
            module = code.co_filename.removeprefix(PACKAGE + "/")
            if not module.startswith("testing/"):
                calls[f"{module} {code.co_qualname}"] += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def test_a_message_makes_no_more_work_than_it_did(app: RunningService) -> None:
    await app.hand_in(mail("first"))
    await app.dispatch()  # what is done once, is done
    with counted() as calls:
        for batch in range(MESSAGES // 100):
            await app.hand_in(*(mail(f"m{batch}-{n}") for n in range(100)))
        await app.dispatch()
    assert await app.status("m0-99") == "sent"
    per_message = calls.total() / MESSAGES
    most = "\n".join(f"{n / MESSAGES:6.2f} {name}" for name, n in calls.most_common(40))
    assert abs(per_message - CALLS) <= TOLERANCE * CALLS, f"{per_message:.1f} calls:\n{most}"
