"""What is handed in is what a mail server gets: through the REST API, the store, and a real session."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mime_samples import (
    CONTENTS,
    PRINTABLE,
    SPECS,
    assert_wire_safe,
    content,
    mailboxes,
    normalised,
    parse,
)

from asyncmail.testing import FaultSMTP
from asyncmail.testing.clock import ManualClock
from asyncmail.testing.running import RunningService, StartService, mail

ALLOWED = {"addresses": {"allow_single_label": True, "allow_literals": True}}
NUMBERS = count()

VISIBLE = PRINTABLE.filter(lambda character: unicodedata.category(character) != "Cf")
ODD = st.sampled_from("ab ,;:()<>@[]'=?_é日😀.\\\"")
SUBJECTS = st.text(PRINTABLE | ODD, max_size=200).filter(lambda text: "=?" not in text)
NAMES = st.text(VISIBLE | ODD, max_size=60).map(str.strip).filter(lambda text: "=?" not in text)
FILENAMES = st.text(VISIBLE | ODD, min_size=1, max_size=60).filter(
    lambda name: name == name.strip(" ./\\<>\"'") and not {"/", "\\"} & {*name} and "=?" not in name
)
MAILBOXES = st.tuples(NAMES, SPECS)
FILES = st.lists(st.tuples(FILENAMES, st.binary(max_size=2000)), max_size=3)
Mailbox = tuple[str, str]


def written(mailbox: Mailbox) -> str:
    """As a client writes it (RFC 5322 3.4)."""
    name, spec = mailbox
    if not name:
        return spec
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{spec}>'


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def smtp() -> AsyncIterator[FaultSMTP]:
    async with FaultSMTP() as server:
        yield server
        server.assert_clean()


@pytest.fixture(scope="module")
async def application(
    tmp_path_factory: pytest.TempPathFactory, smtp: FaultSMTP
) -> AsyncIterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    async with StartService(folder, ManualClock(), smtp.port, plugins=ALLOWED)() as service:
        await service.account()
        yield service


@settings(
    max_examples=80,
    phases=(Phase.generate, Phase.shrink),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    SUBJECTS,
    MAILBOXES,
    st.lists(MAILBOXES, min_size=1, max_size=3),
    st.lists(MAILBOXES, max_size=2),
    st.lists(MAILBOXES, max_size=2),
    CONTENTS,
    CONTENTS,
    FILES,
)
async def test_what_arrives_is_what_was_handed_in(
    application: RunningService,
    smtp: FaultSMTP,
    subject: str,
    sender: Mailbox,
    to: list[Mailbox],
    cc: list[Mailbox],
    bcc: list[Mailbox],
    text: str,
    html: str,
    files: list[tuple[str, bytes]],
) -> None:
    payload: dict[str, Any] = mail(f"m{next(NUMBERS)}", [written(one) for one in to])
    del payload["body"]
    payload |= {"from": written(sender), "subject": subject, "text": text, "html": html}
    payload |= {"cc": [written(one) for one in cc], "bcc": [written(one) for one in bcc]}
    payload["attachments"] = [
        {"filename": name, "storage_path": "base64:" + base64.b64encode(data).decode()}
        for name, data in files
    ]
    smtp.accepted.clear()
    answer = await application.hand_in(payload)
    assert answer["queued"] == 1, answer
    assert await application.dispatch() == 1
    (copy,) = smtp.accepted

    assert sorted(copy.recipients) == sorted({spec for _, spec in [*to, *cc, *bcc]})
    assert copy.sender == sender[1]
    assert_wire_safe(copy.data)
    read = parse(copy.data)
    assert read["Subject"] == subject
    assert mailboxes(copy.data, "From") == [sender]
    assert mailboxes(copy.data, "To") == to
    assert mailboxes(copy.data, "Cc") == cc
    assert read["Bcc"] is None
    plain, rich = read.get_body(("plain",)), read.get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert (content(plain), content(rich)) == (normalised(text), normalised(html))
    arrived = [
        (part.get_filename(), part.get_payload(decode=True)) for part in read.iter_attachments()
    ]
    assert arrived == files
