"""The sink ``webhook``: posts a list's reports side by side, and acknowledges each by its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from asyncmail import Ack, Context, Sink, SinkRefused, SinkUnavailable
from asyncmail.model import Report
from asyncmail_webhook.endpoint import Endpoint, Outcome, Verdict
from asyncmail_webhook.events import event_type
from asyncmail_webhook.settings import WebhookSettings

POSTING_SECONDS = 30.0  # of one call, in which new POSTs may begin


@dataclass(slots=True)
class _Round:
    """The POSTs of one call: the reports not yet tried, and what became of the others, by id."""

    left: Iterator[Report]
    end: float  # of the loop's time
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    down: bool = False


class WebhookSink(Sink):
    """One POST per report. A report that is refused holds up no other."""

    max_batch = 100

    def __init__(self, settings: WebhookSettings, context: Context) -> None:
        self._settings = settings
        self._clock = context.clock
        self._log = context.logger
        self._endpoint = Endpoint(settings, context.clock)
        self._stack = AsyncExitStack()
        self.timeout = POSTING_SECONDS + settings.timeout_seconds + 5.0

    async def start(self) -> None:
        await self._stack.enter_async_context(self._endpoint)

    async def stop(self) -> None:
        await self._stack.aclose()

    async def deliver(self, reports: Sequence[Report]) -> Ack:
        wanted = [report for report in reports if event_type(report) in self._settings.events]
        outcomes = await self._post_all(wanted)
        failures = [o for o in outcomes.values() if o.verdict is not Verdict.TAKEN]
        taken = {id for id, outcome in outcomes.items() if outcome.verdict is Verdict.TAKEN}
        missed = frozenset(report.id for report in wanted if report.id not in taken)
        if not missed:
            return Ack()
        why = failures[0].words if failures else "time was up"
        words = f"{len(missed)} of {len(wanted)} webhooks were not taken: {why}"
        wish = max((outcome.retry_after or 0.0 for outcome in failures), default=0.0)
        if len(missed) == len(reports):
            if all(outcome.verdict is Verdict.REFUSED for outcome in failures):
                raise SinkRefused(words)
            raise SinkUnavailable(words, retry_after=wish or None)
        self._log.warning("%s", words)
        return Ack(
            accepted=frozenset(report.id for report in reports) - missed,
            retry=missed,
            not_before=self._clock.wall() + wish if wish else None,
        )

    async def _post_all(self, reports: Sequence[Report]) -> dict[str, Outcome]:
        """The outcomes by id, without those that were not tried: once the receiver turns out to take
        none, or when time is up, no new POST begins."""
        end = asyncio.get_running_loop().time() + POSTING_SECONDS
        posting = _Round(iter(reports), end)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._settings.concurrency, len(reports))):
                group.create_task(self._post_some(posting))
        return posting.outcomes

    async def _post_some(self, posting: _Round) -> None:
        loop = asyncio.get_running_loop()
        for report in posting.left:
            outcome = await self._endpoint.post(report)
            posting.outcomes[report.id] = outcome
            posting.down = posting.down or outcome.verdict is Verdict.DOWN
            if posting.down or loop.time() >= posting.end:
                return
