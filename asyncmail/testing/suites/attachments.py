"""The promises of an attachment source: what it fetches, what it refuses, and where it never reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from asyncmail.errors import AttachmentError
from asyncmail.model import Attachment, AttachmentReference, Message
from asyncmail.plugins.interfaces import AttachmentSource
from asyncmail.testing import samples
from asyncmail.testing.suites.base import Suite
from asyncmail.testing.suites.calls import broken, promise
from asyncmail.testing.suites.rules import reaches_peer

Present = tuple[AttachmentReference, bytes]
ODD_PATHS = ("", " ", "/", "..", "a:b:c", "\0", "é\ud800", "x" * 10_000, "base64:!", "//host/share")


class AttachmentSourceSuite(Suite[AttachmentSource]):
    """Subclass it as ``class TestMine(AttachmentSourceSuite)`` and say ``offer``; see ``Suite``.

    Fixtures to override: ``present``: references with their content, two or more; ``missing``: a
    reference to nothing; ``outside``: references that lead out of what the operator allowed;
    ``foreign``: references that belong to other sources.
    """

    kind = AttachmentSource

    @pytest.fixture
    def present(self) -> Sequence[Present]:
        broken(
            "override the fixture `present`: two or more (reference, content) that can be fetched"
        )

    @pytest.fixture
    def missing(self) -> AttachmentReference:
        broken(
            "override the fixture `missing`: a reference of this source whose content is not there"
        )

    @pytest.fixture
    def outside(self) -> Sequence[AttachmentReference]:
        broken(
            "override the fixture `outside`: references that reach for what the operator did not allow"
        )

    @pytest.fixture
    def foreign(self) -> Sequence[AttachmentReference]:
        return [samples.reference("no-such-scheme-of-anybody:x")]

    @pytest.fixture(autouse=True)
    def _present_for_use(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    async def use(self, extension: AttachmentSource) -> None:
        if "test_the_content_is_fetched" not in self.cannot:
            reference, _ = self._request.getfixturevalue("present")[0]
            await self.fetched(extension, reference)

    async def fetched(
        self,
        source: AttachmentSource,
        reference: AttachmentReference,
        message: Message | None = None,
    ) -> bytes:
        """The content; raises ``AttachmentError``, and nothing else."""
        what = f"{self.called('fetch')} of {reference.storage_path[:60]!r}"
        asked = message or samples.message()
        answer: object = await self.ask(
            what,
            lambda: source.fetch(reference, asked),
            advice="raise AttachmentError(text, permanent=...) for what cannot be fetched",
            answers=(AttachmentError,),
        )
        promise(
            isinstance(answer, Attachment) and type(answer.content) is bytes,
            f"{what} returned {type(answer).__name__}: return Attachment(content) with bytes",
        )
        return answer.content  # type: ignore[attr-defined,no-any-return]

    def handles(self, source: AttachmentSource, reference: AttachmentReference) -> bool:
        what = f"{self.called('handles')} of {reference.storage_path[:60]!r}"
        try:
            answer: object = source.handles(reference)
        except BaseException as error:  # whatever it is, the author has to know
            broken(f"{what} raised {type(error).__name__}: {error}; say False to what is not yours")
        promise(
            isinstance(answer, bool),
            f"{what} returned {type(answer).__name__}: a plain function that returns True or False",
        )
        return bool(answer)

    async def refused(
        self, source: AttachmentSource, reference: AttachmentReference
    ) -> AttachmentError | None:
        try:
            await self.fetched(source, reference)
        except AttachmentError as error:
            return error
        return None

    @reaches_peer
    async def test_the_content_is_fetched(
        self, extension: AttachmentSource, present: Sequence[Present]
    ) -> None:
        promise(len(present) > 1, "the fixture `present` should give two references or more")
        for reference, content in present:
            try:
                got = await self.fetched(extension, reference)
            except AttachmentError as error:
                broken(f"{self.called('fetch')} of {reference.storage_path!r} raised {error!r}")
            promise(
                got == content,
                f"{self.called('fetch')} of {reference.storage_path!r} returned other content:"
                f" {got[:40]!r}, not {content[:40]!r}",
            )

    async def test_it_handles_its_own_references_only(
        self,
        extension: AttachmentSource,
        present: Sequence[Present],
        foreign: Sequence[AttachmentReference],
    ) -> None:
        for reference, _ in present:
            promise(
                self.handles(extension, reference),
                f"{self.called('handles')} says False to {reference.storage_path!r}, which it can fetch",
            )
        for reference in foreign:
            promise(
                not self.handles(extension, reference),
                f"{self.called('handles')} says True to {reference.storage_path!r}: the first source"
                " that says yes gets it, so claim only your own scheme or mode",
            )

    async def test_odd_references_do_no_harm(self, extension: AttachmentSource) -> None:
        for path in ODD_PATHS:
            reference = samples.reference(path)
            if self.handles(extension, reference):
                await self.refused(extension, reference)

    @reaches_peer
    async def test_what_is_missing_is_an_attachment_error(
        self, extension: AttachmentSource, missing: AttachmentReference
    ) -> None:
        promise(
            await self.refused(extension, missing) is not None,
            f"{self.called('fetch')} returned something for what is missing: raise AttachmentError",
        )

    async def test_nothing_outside_of_what_is_allowed_is_reached(
        self, extension: AttachmentSource, outside: Sequence[AttachmentReference]
    ) -> None:
        promise(bool(outside), "the fixture `outside` gives no reference")
        for reference in outside:
            error = await self.refused(extension, reference)
            promise(
                error is not None and error.permanent,
                f"{self.called('fetch')} of {reference.storage_path!r} reaches for what the operator did"
                " not allow: raise AttachmentError(text, permanent=True) before any I/O",
            )

    @reaches_peer
    async def test_content_with_another_md5_is_refused(
        self, extension: AttachmentSource, present: Sequence[Present]
    ) -> None:
        reference = replace(present[0][0], content_md5="0" * 32)
        promise(
            await self.refused(extension, reference) is not None,
            f"{self.called('fetch')} returns content although reference.content_md5 is another one's:"
            " compare it, and raise AttachmentError(text, permanent=True)",
        )

    @reaches_peer
    async def test_many_at_once_do_not_mix(
        self, extension: AttachmentSource, present: Sequence[Present]
    ) -> None:
        asked = [*present] * 10
        got = await asyncio.gather(*(self.fetched(extension, reference) for reference, _ in asked))
        promise(
            got == [content for _, content in asked],
            f"{self.called('fetch')} mixes up contents when many are fetched at once: keep nothing of"
            " a call in self",
        )
