"""The only wiring: from settings to a running service, and the order in which it starts and stops."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from shutil import disk_usage
from typing import Any, Final

from asyncmail.api import ApiParts, create_api
from asyncmail.clock import Clock, SystemClock
from asyncmail.config import Settings
from asyncmail.intake import Intake
from asyncmail.outcome import Policy
from asyncmail.plugins.extensions import Extensions
from asyncmail.plugins.guard import ExtensionFailed, ExtensionQuarantined, Guard
from asyncmail.plugins.kinds import Kind
from asyncmail.plugins.manager import PluginManager, Status
from asyncmail.plugins.secrets import SecretRegistry
from asyncmail.plugins.watchdog import Watchdog
from asyncmail.prometheus import Gauges, MailMetrics
from asyncmail.scheduler.accounts import AccountDirectory
from asyncmail.scheduler.attempt import Attempts
from asyncmail.scheduler.breaker import Breaker
from asyncmail.scheduler.budget import ByteBudget
from asyncmail.scheduler.dispatch import Dispatcher
from asyncmail.scheduler.events import EventStream
from asyncmail.scheduler.fetching import Fetcher
from asyncmail.scheduler.lanes import Lanes, Slots
from asyncmail.scheduler.loop import Scheduler
from asyncmail.scheduler.observers import ObserverLane
from asyncmail.scheduler.report import Reporter
from asyncmail.scheduler.sweep import Sweeper
from asyncmail.store.base import Store
from asyncmail.store.keys import KeyRing
from asyncmail.store.sqlite import SQLiteStore

Application = Callable[[Any, Any, Any], Awaitable[None]]  # ASGI: scope, receive, send

log: Final = logging.getLogger("asyncmail")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: what tests and the program hold in their hands."""

    settings: Settings
    store: Store
    scheduler: Scheduler
    intake: Intake
    metrics: MailMetrics
    secrets: SecretRegistry
    guard: Guard
    api: Application

    async def stop(self) -> None:
        """Take no new work, finish what is past the dot, record everything."""
        await self.scheduler.stop(self.settings.server.shutdown_grace_seconds)


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    clock: Clock | None = None,
    init: bool = False,
    secrets: SecretRegistry | None = None,
) -> AsyncIterator[Service]:
    """A service that runs inside the block and is stopped in order behind it.

    ``secrets``: a registry that logging already knows.

    Raises what the configuration, the plugins or the database have to say against starting.
    """
    clock = clock or SystemClock()
    secrets = secrets or SecretRegistry()
    _register_secrets(settings, secrets)
    metrics = MailMetrics()
    guard = Guard(
        clock,
        on_failure=lambda loaded, _: metrics.plugin_error(loaded.name, loaded.kind),
        mask=secrets.mask,
        trace=settings.plugins.trace,
    )
    plugins = PluginManager(settings.plugins.disabled, secrets=secrets)
    plugins.discover()
    extensions = plugins.build(chosen_plugins(settings), plugin_tables(settings), clock)
    async with AsyncExitStack() as stack:
        watchdog = stack.enter_context(Watchdog(guard, extensions))
        store = SQLiteStore(
            settings.storage.path,
            clock=clock,
            keys=KeyRing.load(settings.storage.key_file),
            min_free_bytes=settings.storage.min_free_bytes,
            ballast_bytes=settings.storage.ballast_bytes,
            init=init,
            active=settings.scheduler.active,
        )
        await store.open()
        stack.push_async_callback(store.close)
        await stack.enter_async_context(extensions.running(guard))
        service = _assemble(
            settings, clock, store, plugins, extensions, guard, watchdog, secrets, metrics
        )
        stack.push_async_callback(service.stop)
        await _activate_sinks(store, extensions)
        await service.scheduler.start()
        yield service


async def _activate_sinks(store: Store, extensions: Extensions) -> None:
    """A sink gets the results from its first activation on; what a removed one still wanted is gone."""
    dropped = await store.activate_sinks([sink.name for sink in extensions.sinks])
    for name, count in dropped.items():
        log.warning("sink '%s' is no longer configured; %d reports to it are dropped", name, count)


def _assemble(
    settings: Settings,
    clock: Clock,
    store: Store,
    plugins: PluginManager,
    extensions: Extensions,
    guard: Guard,
    watchdog: Watchdog,
    secrets: SecretRegistry,
    metrics: MailMetrics,
) -> Service:
    """Make the parts and tie them together; nothing runs yet."""
    delivery = settings.delivery
    policy = Policy(
        retry_delays=delivery.retry_delays,
        max_attempts=delivery.max_attempts,
        max_age=delivery.max_age_seconds,
        max_uncertain=delivery.max_uncertain,
    )
    slots = Slots(delivery.concurrency, delivery.max_connections, delivery.batch_size_per_account)
    lanes = Lanes(slots, Breaker)
    accounts = AccountDirectory(
        store, on_uncertain=delivery.on_uncertain, on_secret=secrets.register
    )
    observers = [ObserverLane(one, guard, clock, metrics) for one in extensions.observers]
    events = EventStream(clock, observers, mask=secrets.mask)
    attempts = Attempts(
        store,
        extensions,
        Fetcher(store, extensions.attachments, guard),
        clock,
        policy,
        budget=ByteBudget(delivery.max_inflight_bytes),
        max_message_bytes=delivery.max_message_bytes,
        mask=secrets.mask,
    )
    dispatcher = Dispatcher(
        store,
        attempts,
        accounts,
        lanes,
        guard,
        clock,
        metrics,
        events,
        max_inflight_bytes=delivery.max_inflight_bytes,
        report_deferrals=settings.client.report_deferrals,
    )
    sweeper = Sweeper(store, extensions.retention, guard, clock, dispatcher, lanes, policy, events)
    reporters = [
        Reporter(store, sink, guard, clock, metrics, events, test_mode=delivery.test_mode)
        for sink in extensions.sinks
    ]
    scheduler = Scheduler(
        store,
        dispatcher,
        sweeper,
        reporters,
        accounts,
        lanes,
        clock,
        metrics,
        events,
        test_mode=delivery.test_mode,
        longest_sleep=delivery.send_interval_seconds,
    )
    intake = Intake(
        store,
        accounts,
        scheduler,
        guard,
        clock,
        events,
        validators=extensions.validators,
        default_priority=delivery.default_priority,
        max_message_bytes=delivery.max_message_bytes,
        max_queued=settings.storage.max_queued,
        replace=delivery.on_duplicate == "replace",
    )
    metrics.watch(_gauges(settings, clock, store, lanes, guard, watchdog, plugins, extensions))
    api = create_api(
        ApiParts(
            server=settings.server,
            store=store,
            intake=intake,
            scheduler=scheduler,
            metrics=metrics,
            plugins=plugins,
            transports=extensions.transports,
        )
    )
    return Service(settings, store, scheduler, intake, metrics, secrets, guard, api)


# --- settings of the parts -----------------------------------------------------------------------


def chosen_plugins(settings: Settings) -> Mapping[Kind, tuple[str, ...]]:
    """The extensions to use, by kind and in order; without a URL there is no genropy sink."""
    chosen = settings.plugins
    sinks = chosen.sinks
    if not settings.client.proxy_sync_url:
        sinks = tuple(name for name in sinks if name != "genropy")
    return {
        Kind.VALIDATOR: chosen.validators,
        Kind.FILTER: chosen.filters,
        Kind.TRANSPORT: chosen.transports,
        Kind.SINK: sinks,
        Kind.RETENTION: chosen.retention,
        Kind.ATTACHMENT: chosen.attachments,
        Kind.OBSERVER: chosen.observers,
    }


def plugin_tables(settings: Settings) -> Mapping[str, Mapping[str, Any]]:
    """``[plugins.<name>]`` as written, over what other sections say of the built-in plugins."""
    delivery, client = settings.delivery, settings.client
    tables: dict[str, dict[str, Any]] = {
        "smtp": {
            "max_connections": delivery.max_connections,
            "timeouts": asdict(delivery.timeouts),
        },
        "days": {"seconds": delivery.delivery_report_retention_seconds},
        "genropy": client.model_dump(exclude={"report_deferrals"}),
    }
    for name, table in settings.plugins.tables.items():
        tables[name] = {**tables.get(name, {}), **table}
    return tables


def _register_secrets(settings: Settings, secrets: SecretRegistry) -> None:
    for secret in (
        settings.server.api_token,
        settings.server.api_token_previous,
        settings.client.proxy_sync_password,
        settings.client.proxy_sync_token,
    ):
        secrets.register(secret.get_secret_value())


def _gauges(
    settings: Settings,
    clock: Clock,
    store: Store,
    lanes: Lanes,
    guard: Guard,
    watchdog: Watchdog,
    plugins: PluginManager,
    extensions: Extensions,
) -> Gauges:
    """Where the metrics read at each scrape."""

    async def oldest() -> float | None:
        ready = await store.oldest_ready()
        return None if ready is None else max(clock.steady() - ready, 0.0)

    async def lags() -> Mapping[str, float]:
        found: dict[str, float] = {}
        for sink in extensions.sinks:
            recorded = await store.oldest_unreported(sink.name)
            found[sink.name] = 0.0 if recorded is None else max(clock.wall() - recorded, 0.0)
        return found

    def connections() -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for transport in extensions.transports.values():
            with suppress(ExtensionFailed, ExtensionQuarantined):  # logged by the guard
                total.update(
                    guard.decide(transport, transport.extension.connections, expect=_counts)
                )
        return total

    def plugins_up() -> Mapping[tuple[str, str], bool]:
        used = {(e.name, e.kind.value): not guard.is_quarantined(e) for e in extensions}
        failed = [info.name for info in plugins.listing() if info.status is Status.FAILED]
        return used | dict.fromkeys([(name, "plugin") for name in failed], False)

    return Gauges(
        pending=store.pending,
        queue_oldest_seconds=oldest,
        report_lag_seconds=lags,
        connections=connections,
        open_breakers=lambda: [s.lane.account_id for s in lanes if s.breaker.is_open],
        plugins=plugins_up,
        store_healthy=lambda: store.health().ok,
        disk_free_bytes=lambda: disk_usage(settings.storage.path.parent).free,
        disk_reserve_bytes=settings.storage.min_free_bytes,
        loop_lag_seconds=lambda: watchdog.lag,
    )


def _counts(answer: Mapping[str, int]) -> dict[str, int]:
    return {str(state): int(count) for state, count in answer.items()}
