"""Extensions that hang on purpose; ``install`` makes a package of this very file."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from asyncmail import Attempt, Filter, Offer, Transport, Validator, hookimpl
from asyncmail.model import Account, Delivery, Envelope, Message

FLAG = Path(__file__).with_name("hang")  # while this file is there, validator and filter hang


async def hesitate() -> None:
    while FLAG.exists():  # noqa: ASYNC110 - the sign comes from another process
        await asyncio.sleep(0.05)


class Stuck(Transport):
    """Never sends anything, and never says so."""

    async def send(self, envelope: Envelope, account: Account, attempt: Attempt) -> Delivery:
        await asyncio.Event().wait()
        raise AssertionError


class HesitantValidator(Validator):
    """Has no objections, if it comes to say so."""

    async def validate(self, message: Message, account: Account) -> None:
        await hesitate()


class HesitantFilter(Filter):
    """Changes nothing, if it comes to that."""

    async def apply(self, data: bytes, message: Message, account: Account) -> bytes:
        await hesitate()
        return data


@hookimpl
def asyncmail_transports() -> Iterable[Offer[Transport]]:
    return (Offer("stuck", lambda settings, context: Stuck()),)


@hookimpl
def asyncmail_validators() -> Iterable[Offer[Validator]]:
    return (Offer("hesitant", lambda settings, context: HesitantValidator()),)


@hookimpl
def asyncmail_filters() -> Iterable[Offer[Filter]]:
    return (Offer("hesitant", lambda settings, context: HesitantFilter()),)


def install(folder: Path) -> Path:
    """Put the package into a folder that PYTHONPATH then names; the flag to hang by."""
    information = folder / "trouble-1.0.dist-info"
    information.mkdir(parents=True)
    shutil.copy(__file__, folder / "trouble.py")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[asyncmail.v1]\ntrouble = trouble\n")
    return folder / "hang"
