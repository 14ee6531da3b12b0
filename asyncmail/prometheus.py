"""The metrics: counters kept as plain numbers, gauges read at each scrape, rendered as Prometheus text.

Events are counted from the event loop by adding to an integer; the objects of the client library exist
only while a scrape is rendered. So there are no locks, no ``_created`` series and no global registry.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import accumulate
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from asyncmail.model import Delivery, Priority

log: Final = logging.getLogger("asyncmail.metrics")

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_ACCOUNTS: Final = 200  # accounts with series of their own; all others share OTHER
DEFAULT: Final = "default"  # stands in while there is no account, so that the series exist
OTHER: Final = "other"
UNKNOWN: Final = "unknown"  # mail of accounts that are not registered (any more)

_SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LONG: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", OTHER)
_EVENTS: Final = {
    "sent": "Messages taken by the smarthost for every recipient.",
    "errors": "Messages that ended in an error, partial deliveries included.",
    "deferred": "Postponements of messages: retries and rate limits.",
    "rate_limited": "Messages that found no unit of their account's rate limit left.",
    "uncertain": "Attempts after which nobody knows whether the message was taken.",
}

T = TypeVar("T")


async def _no_number() -> float | None:
    return None


async def _no_lags() -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Where the values come from that are read at each scrape.

    A source that raises leaves its metric out of that scrape, and the others stay. Times are seconds.
    """

    pending: Callable[[], int] = lambda: 0
    queue_oldest_seconds: Callable[[], Awaitable[float | None]] = _no_number
    report_lag_seconds: Callable[[], Awaitable[Mapping[str, float]]] = _no_lags  # by sink
    connections: Callable[[], Mapping[str, int]] = dict  # busy and idle, of all transports
    open_breakers: Callable[[], Collection[str]] = tuple  # account ids
    plugins: Callable[[], Mapping[tuple[str, str], bool]] = (
        dict  # (plugin, kind) to whether it works
    )
    store_healthy: Callable[[], bool] = lambda: True
    disk_free_bytes: Callable[[], int | None] = lambda: None
    loop_lag_seconds: Callable[[], float | None] = lambda: 0.0
    disk_reserve_bytes: int = 0  # below this nothing is accepted (``min_free_bytes``)


class _Account:
    """The counters of one ``account_id`` label."""

    __slots__ = ("deferred", "errors", "rate_limited", "sent", "uncertain")

    def __init__(self) -> None:
        self.sent = self.errors = self.deferred = self.rate_limited = self.uncertain = 0


class _Histogram:
    """How many observations fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Iterable[str] = ()) -> None:
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family.add_metric(list(labels), buckets, self._sum)


@dataclass(frozen=True, slots=True)
class _Readings:
    """The gauges of one scrape; ``None``: there is no value."""

    pending: int | None = 0
    queue_oldest: float | None = 0.0
    report_lag: Mapping[str, float] = field(default_factory=dict)
    connections: Mapping[str, int] = field(default_factory=dict)
    open_breakers: Collection[str] = ()
    plugins: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    store_healthy: bool | None = True
    disk_free: int | None = None
    loop_lag: float | None = 0.0


class MailMetrics:
    """All metrics of one service. The methods named after events may be called for every message."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges = Gauges()
        self._readings = _Readings()
        self._registered: Collection[str] = ()
        self._own: dict[str, _Account] = {}  # replaced, never changed: scrapes read it on a thread
        self._shared: dict[str, _Account] = {}
        self._delivery = _Histogram(_SHORT)
        self._waits = {int(priority): _Histogram(_LONG) for priority in Priority}
        self._responses = dict.fromkeys(_CLASSES, 0)
        self._plugin_errors: dict[tuple[str, str], int] = {}
        self._observer_dropped: dict[str, int] = {}
        self._build = (version("asyncmail"), platform.python_version())
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    # --- events ---

    def sent(self, account_id: str) -> None:
        self._account(account_id).sent += 1

    def error(self, account_id: str) -> None:
        self._account(account_id).errors += 1

    def deferred(self, account_id: str) -> None:
        self._account(account_id).deferred += 1

    def rate_limited(self, account_id: str) -> None:
        self._account(account_id).rate_limited += 1

    def uncertain(self, account_id: str) -> None:
        self._account(account_id).uncertain += 1

    def queue_wait(self, priority: int, seconds: float) -> None:
        """A message is started that could have been started so long ago."""
        self._waits[priority].observe(max(seconds, 0.0))

    def delivery(self, account_id: str, delivery: Delivery, seconds: float) -> None:
        """An attempt is over. The account is no label here: it would multiply the buckets."""
        self._delivery.observe(seconds)
        for outcome in delivery.outcomes:
            if outcome.code is not None:
                kind = f"{outcome.code // 100}xx"
                self._responses[kind if kind in self._responses else OTHER] += 1

    def plugin_error(self, plugin: str, kind: str) -> None:
        """An extension failed, answered nonsense or not in time."""
        self._plugin_errors[plugin, kind] = self._plugin_errors.get((plugin, kind), 0) + 1

    def observer_dropped(self, observer: str, count: int) -> None:
        """Events that an observer will not see: too many waited for it. 0 makes the series exist."""
        self._observer_dropped[observer] = self._observer_dropped.get(observer, 0) + count

    # --- what there is to measure ---

    def accounts_changed(self, account_ids: Iterable[str]) -> None:
        """Tell which accounts are registered now; the series of all others go.

        An account keeps its series for as long as it is registered.
        """
        self._registered = dict.fromkeys(account_ids)
        own = {name: row for name, row in self._own.items() if name in self._registered}
        for name in self._registered:
            if len(own) >= MAX_ACCOUNTS:
                break
            own.setdefault(name, _Account())
        self._own = own

    def watch(self, gauges: Gauges) -> None:
        """Read these at each scrape from now on."""
        self._gauges = gauges

    # --- scrape ---

    async def render(self) -> bytes:
        """The metrics as Prometheus text (``CONTENT_TYPE``), rendered beside the event loop."""
        gauges = self._gauges

        async def oldest() -> float:
            return await gauges.queue_oldest_seconds() or 0.0

        lags = await _awaited(gauges.report_lag_seconds)
        self._readings = _Readings(
            pending=_called(gauges.pending),
            queue_oldest=await _awaited(oldest),
            report_lag=lags or {},
            connections=_called(gauges.connections) or {},
            open_breakers=_called(gauges.open_breakers) or (),
            plugins=_called(gauges.plugins) or {},
            store_healthy=_called(gauges.store_healthy),
            disk_free=_called(gauges.disk_free_bytes),
            loop_lag=_called(gauges.loop_lag_seconds),
        )
        return await asyncio.to_thread(generate_latest, self.registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing to declare: the registry would collect to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics as the client library wants them; called by the registry, on any thread."""
        yield from self._collect_accounts()
        yield from self._collect_queue()
        yield from self._collect_smtp()
        yield from self._collect_plugins()
        yield from self._collect_store()
        labels = ["version", "python_version"]
        build = GaugeMetricFamily("asyncmail_build_info", "What is running.", labels=labels)
        build.add_metric(self._build, 1)
        yield build

    def _collect_accounts(self) -> Iterator[Metric]:
        rows = {**self._shared, **(self._own or {DEFAULT: _Account()})}
        for event, help_text in _EVENTS.items():
            counter = CounterMetricFamily(f"asyncmail_{event}", help_text, labels=["account_id"])
            for label, row in rows.items():
                counter.add_metric([label], getattr(row, event))
            yield counter
        breakers = GaugeMetricFamily(
            "asyncmail_breaker_open",
            "1 while the account's mail waits because the account or its smarthost failed.",
            labels=["account_id"],
        )
        waiting = [self._account(account_id) for account_id in self._readings.open_breakers]
        for label, row in rows.items():
            breakers.add_metric([label], row in waiting)
        yield breakers

    def _collect_queue(self) -> Iterator[Metric]:
        now = self._readings
        yield _gauge(
            "pending_messages", "Messages that are queued, sending or deferred.", now.pending
        )
        yield _gauge(
            "queue_oldest_seconds",
            "How long the oldest message that could be started has waited.",
            now.queue_oldest,
        )
        waits = HistogramMetricFamily(
            "asyncmail_queue_wait_seconds",
            "From the moment when a message could be started to its start.",
            labels=["priority"],
        )
        for priority in Priority:
            self._waits[priority].add_to(waits, [priority.name.lower()])
        yield waits
        lags = GaugeMetricFamily(
            "asyncmail_report_lag_seconds",
            "Age of the oldest result that this sink has not acknowledged.",
            labels=["sink"],
        )
        for sink, seconds in now.report_lag.items():
            lags.add_metric([sink], seconds)
        yield lags

    def _collect_smtp(self) -> Iterator[Metric]:
        durations = HistogramMetricFamily(
            "asyncmail_delivery_duration_seconds",
            "From the first byte of an attempt to its outcome.",
        )
        self._delivery.add_to(durations)
        yield durations
        responses = CounterMetricFamily(
            "asyncmail_smtp_responses",
            "Final replies for recipients by the first digit of their code.",
            labels=["class"],
        )
        for kind, count in self._responses.items():
            responses.add_metric([kind], count)
        yield responses
        connections = GaugeMetricFamily(
            "asyncmail_smtp_connections", "Open connections to smarthosts.", labels=["state"]
        )
        for state, count in {"busy": 0, "idle": 0, **self._readings.connections}.items():
            connections.add_metric([state], count)
        yield connections

    def _collect_plugins(self) -> Iterator[Metric]:
        plugins = self._readings.plugins
        labels = ["plugin", "kind"]
        up = GaugeMetricFamily(
            "asyncmail_plugin_up", "1 if it works; 0 if it failed or is quarantined.", labels=labels
        )
        for names, works in plugins.items():
            up.add_metric(names, works)
        yield up
        errors = CounterMetricFamily(
            "asyncmail_plugin_errors",
            "Calls that failed, answered nonsense or not in time, or blocked the event loop.",
            labels=labels,
        )
        for names, count in {**dict.fromkeys(plugins, 0), **self._plugin_errors}.items():
            errors.add_metric(names, count)
        yield errors
        dropped = CounterMetricFamily(
            "asyncmail_observer_dropped",
            "Events that an observer did not get because too many waited for it.",
            labels=["observer"],
        )
        for observer, count in dict(self._observer_dropped).items():
            dropped.add_metric([observer], count)
        yield dropped
        yield _gauge(
            "loop_lag_seconds",
            "The longest time that ready work waited for the event loop, of the last minute.",
            self._readings.loop_lag,
        )

    def _collect_store(self) -> Iterator[Metric]:
        now = self._readings
        yield _gauge("store_healthy", "1 if the store takes what it is given.", now.store_healthy)
        yield _gauge("disk_free_bytes", "Free space where the store lives.", now.disk_free)
        yield _gauge(
            "disk_reserve_bytes",
            "With less free space than this nothing is accepted.",
            self._gauges.disk_reserve_bytes,
        )

    def _account(self, account_id: str) -> _Account:
        return self._own.get(account_id) or self._shared_row(account_id)

    def _shared_row(self, account_id: str) -> _Account:
        """For what has no series of its own; an account may bear the name of one of these."""
        name = OTHER if account_id in self._registered else UNKNOWN
        return self._own.get(name) or self._shared.setdefault(name, _Account())


def _gauge(name: str, help_text: str, value: float | None) -> Metric:
    """A gauge without labels; without a value it has no sample."""
    return GaugeMetricFamily(f"asyncmail_{name}", help_text, value=value)


def _called(source: Callable[[], T]) -> T | None:
    try:
        return source()
    except Exception as error:
        log.warning("a gauge could not be read: %r", error)
        return None


async def _awaited(source: Callable[[], Awaitable[T]]) -> T | None:
    try:
        return await source()
    except Exception as error:
        log.warning("a gauge could not be read: %r", error)
        return None
