"""The transport delivers durably, tells one outcome per recipient, and never reaches beyond its root."""

from __future__ import annotations

import mailbox
import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from asyncmail_maildir import MaildirTransport, maildir
from pydantic import ValidationError

from asyncmail import AttemptRevoked, Offer
from asyncmail.model import Account, Disposition

ACCOUNT = Account("staging", transport="maildir")
Make = Callable[..., Any]


def files(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def inode(path: Path) -> int:
    return path.stat().st_ino


def open_to_others(folder: Path) -> list[Path]:
    """What in a folder, itself included, others than the owner may use."""
    return [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_each_recipient_gets_a_copy_that_a_mail_reader_opens(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    to = ("a@x.test", "b@x.test")
    delivery = await transport.send(envelope(*to), ACCOUNT, attempt())
    assert [(o.recipient, o.disposition) for o in delivery.outcomes] == [
        (recipient, Disposition.ACCEPTED) for recipient in to
    ]
    for recipient in to:
        [message] = mailbox.Maildir(root / recipient, create=False)
        assert message["Subject"] == "hello"
        assert (message["Return-Path"], message["Delivered-To"]) == ("<app@app.test>", recipient)
        assert message.get_payload() == "line one\n.line two\n"
        assert listing(root / recipient / "tmp") == []


async def test_nothing_appears_before_the_intent_is_committed(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    seen: list[tuple[int, int]] = []

    def look() -> None:
        box = root / "a@x.test"
        seen.append((len(listing(box / "tmp")), len(listing(box / "new"))))

    noting = attempt(look)
    await transport.send(envelope("a@x.test"), ACCOUNT, noting)
    assert noting.calls == ["begin", "before_dot"]
    assert seen == [(1, 0)]


async def test_a_revoked_attempt_leaves_nothing_behind(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    def revoke() -> None:
        raise AttemptRevoked("the claim was lost")

    with pytest.raises(AttemptRevoked):
        await transport.send(envelope("a@x.test"), ACCOUNT, attempt(revoke))
    assert files(root) == []


async def test_many_copies_for_one_recipient_never_collide(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    for _ in range(50):
        await transport.send(envelope("a@x.test"), ACCOUNT, attempt())
    assert len(listing(root / "a@x.test" / "new")) == 50


@pytest.mark.parametrize(
    "recipient",
    [
        "../../etc/passwd@x.test",
        "..@x.test",
        "/etc@x.test",
        ".hidden@x.test",
        "é/%2e\\@x.test",
        "..",
    ],
)
async def test_no_address_leads_out_of_the_root(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make, recipient: str
) -> None:
    outside = listing(root.parent)
    [outcome] = (await transport.send(envelope(recipient), ACCOUNT, attempt())).outcomes
    assert outcome.disposition is Disposition.ACCEPTED
    assert listing(root.parent) == outside
    [folder] = listing(root)
    assert not folder.startswith(".")
    assert len(listing(root / folder / "new")) == 1


async def test_files_are_for_their_owner_alone(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    await transport.send(envelope("a@x.test"), ACCOUNT, attempt())
    assert len(files(root)) == 1
    assert open_to_others(root) == []


async def test_a_disk_error_is_temporary_and_concerns_its_recipient_alone(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    (root / "bad@x.test").write_text("a file where a folder should be")
    noting = attempt()
    delivery = await transport.send(envelope("bad@x.test", "good@x.test"), ACCOUNT, noting)
    bad, good = delivery.outcomes
    assert (bad.disposition, good.disposition) == (Disposition.TEMPORARY, Disposition.ACCEPTED)
    assert bad.text.startswith("maildir: ")


async def test_where_nothing_could_be_written_no_intent_is_recorded(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    (root / "bad@x.test").write_text("")
    noting = attempt()
    await transport.send(envelope("bad@x.test"), ACCOUNT, noting)
    assert noting.calls == ["begin"]


async def test_a_rename_that_fails_is_temporary_and_leaves_no_draft(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    def take_away_new() -> None:
        (root / "a@x.test" / "new").rmdir()

    [outcome] = (
        await transport.send(envelope("a@x.test"), ACCOUNT, attempt(take_away_new))
    ).outcomes
    assert outcome.disposition is Disposition.TEMPORARY
    assert listing(root / "a@x.test" / "tmp") == []


async def test_everything_is_synced_before_it_counts(
    transport: MaildirTransport,
    root: Path,
    envelope: Make,
    attempt: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    drafts: list[int] = []

    def at_dot() -> None:
        drafts.extend(path.stat().st_ino for path in files(root))
        assert set(drafts) <= set(synced), "the content is durable before the intent"
        synced.clear()

    monkeypatch.setattr(maildir.os, "fsync", noted)
    await transport.send(envelope("a@x.test"), ACCOUNT, attempt(at_dot))
    assert len(drafts) == 1
    assert synced == [inode(root / "a@x.test" / "new")]


async def test_a_copy_that_may_not_be_durable_is_uncertain(
    transport: MaildirTransport,
    envelope: Make,
    attempt: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("input/output error")

    noting = attempt(lambda: monkeypatch.setattr(maildir.os, "fsync", fail))
    [outcome] = (await transport.send(envelope("a@x.test"), ACCOUNT, noting)).outcomes
    assert outcome.disposition is Disposition.UNCERTAIN


async def test_lines_end_as_local_readers_expect(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    await transport.send(envelope("a@x.test"), ACCOUNT, attempt())
    [path] = files(root)
    assert path.read_bytes().endswith(b"\n\nline one\n.line two\n")
    assert b"\r" not in path.read_bytes()


async def test_the_null_reverse_path_is_kept(
    transport: MaildirTransport, root: Path, envelope: Make, attempt: Make
) -> None:
    await transport.send(envelope("a@x.test", sender=""), ACCOUNT, attempt())
    [message] = mailbox.Maildir(root / "a@x.test", create=False)
    assert message["Return-Path"] == "<>"


def test_the_package_announces_the_transport() -> None:
    [entry] = entry_points(group="asyncmail.v1", name="maildir")
    [offer] = entry.load().asyncmail_transports()
    assert isinstance(offer, Offer)
    assert offer.name == "maildir"
    with pytest.raises(ValidationError, match="root"):
        offer.settings()
