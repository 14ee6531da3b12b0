"""What a scrape shows, and what counting costs."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Mapping

import pytest
from programs import require_program
from prometheus_client.parser import text_string_to_metric_families

from asyncmail.model import Delivery, Disposition, Priority, RecipientOutcome
from asyncmail.prometheus import MAX_ACCOUNTS, Gauges, MailMetrics

ACCOUNT_COUNTERS = (
    "asyncmail_sent_total",
    "asyncmail_errors_total",
    "asyncmail_deferred_total",
    "asyncmail_rate_limited_total",
    "asyncmail_uncertain_total",
)


async def scrape(metrics: MailMetrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Sample name to labels to value; fails on a series that appears twice, as Prometheus does."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families((await metrics.render()).decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in series, f"{sample.name} has {labels} twice"
            series[labels] = sample.value
    return found


def account(name: str) -> tuple[tuple[str, str], ...]:
    return (("account_id", name),)


async def test_all_series_exist_before_anything_happens() -> None:
    found = await scrape(MailMetrics())
    for name in ACCOUNT_COUNTERS:
        assert found[name] == {account("default"): 0}
    assert found["asyncmail_pending_messages"] == {(): 0}
    assert found["asyncmail_queue_oldest_seconds"] == {(): 0}
    assert set(found["asyncmail_queue_wait_seconds_count"]) == {
        (("priority", name),) for name in ("immediate", "high", "medium", "low")
    }
    assert set(found["asyncmail_smtp_connections"]) == {(("state", s),) for s in ("busy", "idle")}
    assert set(found["asyncmail_smtp_responses_total"].values()) == {0}
    assert list(found["asyncmail_build_info"].values()) == [1]


async def test_there_are_no_created_series_and_no_global_registry() -> None:
    first, second = MailMetrics(), MailMetrics()
    first.accounts_changed(["a"])
    second.accounts_changed(["a"])
    first.sent("a")
    assert b"_created" not in await first.render()
    assert (await scrape(second))["asyncmail_sent_total"][account("a")] == 0


async def test_each_event_has_its_counter() -> None:
    metrics = MailMetrics()
    metrics.accounts_changed(["a", "b"])
    events = (
        metrics.sent,
        metrics.error,
        metrics.deferred,
        metrics.rate_limited,
        metrics.uncertain,
    )
    for times, event in enumerate(events, start=1):
        for _ in range(times):
            event("a")
    found = await scrape(metrics)
    assert [found[name][account("a")] for name in ACCOUNT_COUNTERS] == [1, 2, 3, 4, 5]
    assert [found[name][account("b")] for name in ACCOUNT_COUNTERS] == [0, 0, 0, 0, 0]
    assert set(found["asyncmail_sent_total"]) == {account("a"), account("b")}


async def test_the_series_of_an_account_go_with_it_and_stay_otherwise() -> None:
    metrics = MailMetrics()
    metrics.accounts_changed(["a", "b"])
    metrics.sent("a")
    metrics.accounts_changed(["a", "c"])
    assert (await scrape(metrics))["asyncmail_sent_total"] == {account("a"): 1, account("c"): 0}
    metrics.accounts_changed([])
    assert (await scrape(metrics))["asyncmail_sent_total"] == {account("default"): 0}


async def test_mail_of_an_account_that_is_not_registered_is_counted_as_unknown() -> None:
    metrics = MailMetrics()
    metrics.accounts_changed(["a"])
    for name in ("gone", "gone as well"):
        metrics.error(name)
    found = await scrape(metrics)
    assert found["asyncmail_errors_total"] == {account("a"): 0, account("unknown"): 2}


async def test_accounts_beyond_the_cap_share_one_series() -> None:
    metrics = MailMetrics()
    names = [f"account-{number}" for number in range(MAX_ACCOUNTS + 50)]
    metrics.accounts_changed(names)
    for name in names:
        metrics.sent(name)
    series = (await scrape(metrics))["asyncmail_sent_total"]
    assert len(series) == MAX_ACCOUNTS + 1
    assert series[account("other")] == 50
    metrics.accounts_changed(names[1:])
    series = (await scrape(metrics))["asyncmail_sent_total"]
    assert series[account(names[MAX_ACCOUNTS])] == 0  # moved up, from now on by itself
    assert series[account(names[1])] == 1


@pytest.mark.parametrize("name", ["other", "unknown", "default"])
async def test_an_account_may_bear_the_name_of_a_shared_series(name: str) -> None:
    metrics = MailMetrics()
    metrics.sent("nobody")
    metrics.accounts_changed([name, *(str(number) for number in range(MAX_ACCOUNTS + 1))])
    metrics.sent(name)
    metrics.sent(str(MAX_ACCOUNTS))
    metrics.sent("nobody")
    assert (await scrape(metrics))["asyncmail_sent_total"][account(name)] >= 1


async def test_a_hostile_account_id_is_only_a_label_value() -> None:
    metrics = MailMetrics()
    hostile = '"} evil{x="\\ \n asyncmail_sent_total 99'
    metrics.accounts_changed([hostile])
    metrics.sent(hostile)
    assert (await scrape(metrics))["asyncmail_sent_total"] == {account(hostile): 1}


async def test_replies_are_counted_by_the_first_digit_of_their_code() -> None:
    metrics = MailMetrics()
    codes = (250, 251, 450, 550, 354, 999, None)
    outcomes = tuple(RecipientOutcome("a@example.org", Disposition.ACCEPTED, c) for c in codes)
    metrics.delivery("a", Delivery(outcomes), 0.02)
    found = await scrape(metrics)
    counts = {labels[0][1]: v for labels, v in found["asyncmail_smtp_responses_total"].items()}
    assert counts == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "other": 1}
    assert found["asyncmail_delivery_duration_seconds_count"] == {(): 1}
    assert found["asyncmail_delivery_duration_seconds_sum"] == {(): pytest.approx(0.02)}


async def test_histograms_are_cumulative_and_include_their_bounds() -> None:
    metrics = MailMetrics()
    for seconds in (-1.0, 0.01, 0.3, 1e9):
        metrics.queue_wait(Priority.HIGH, seconds)
    found = await scrape(metrics)
    buckets = {
        dict(labels)["le"]: value
        for labels, value in found["asyncmail_queue_wait_seconds_bucket"].items()
        if dict(labels)["priority"] == "high"
    }
    assert (buckets["0.01"], buckets["0.1"], buckets["0.5"]) == (2, 2, 3)
    assert (buckets["86400.0"], buckets["+Inf"]) == (3, 4)
    high = (("priority", "high"),)
    assert found["asyncmail_queue_wait_seconds_count"][high] == 4
    assert found["asyncmail_queue_wait_seconds_sum"][high] == pytest.approx(1e9 + 0.31)


async def lags() -> Mapping[str, float]:
    return {"genropy": 12.5}


async def oldest() -> float | None:
    return 90.0


async def test_gauges_are_read_at_each_scrape() -> None:
    metrics = MailMetrics()
    metrics.accounts_changed(["a", "b"])
    pending = 3
    metrics.watch(
        Gauges(
            pending=lambda: pending,
            queue_oldest_seconds=oldest,
            report_lag_seconds=lags,
            connections=lambda: {"busy": 2},
            open_breakers=lambda: ["b", "never heard of"],
            plugins=lambda: {("genropy", "sink"): True, ("checks", "validator"): False},
            store_healthy=lambda: False,
            disk_free_bytes=lambda: 1000,
            disk_reserve_bytes=2000,
        )
    )
    found = await scrape(metrics)
    assert found["asyncmail_pending_messages"] == {(): 3}
    assert found["asyncmail_queue_oldest_seconds"] == {(): 90}
    assert found["asyncmail_report_lag_seconds"] == {(("sink", "genropy"),): 12.5}
    assert found["asyncmail_smtp_connections"] == {(("state", "busy"),): 2, (("state", "idle"),): 0}
    assert found["asyncmail_breaker_open"] == {account("a"): 0, account("b"): 1}
    works = {
        dict(labels)["plugin"]: value for labels, value in found["asyncmail_plugin_up"].items()
    }
    assert works == {"genropy": 1, "checks": 0}
    assert found["asyncmail_store_healthy"] == {(): 0}
    assert found["asyncmail_disk_free_bytes"] == {(): 1000}
    assert found["asyncmail_disk_reserve_bytes"] == {(): 2000}
    pending = 4
    assert (await scrape(metrics))["asyncmail_pending_messages"] == {(): 4}


async def test_a_gauge_that_cannot_be_read_is_left_out_and_the_others_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken() -> float | None:
        raise OSError("the disk is gone")

    def broken_too() -> int:
        raise OSError("the disk is gone")

    metrics = MailMetrics()
    metrics.watch(Gauges(pending=broken_too, queue_oldest_seconds=broken, report_lag_seconds=lags))
    found = await scrape(metrics)
    assert "asyncmail_pending_messages" not in found
    assert "asyncmail_queue_oldest_seconds" not in found
    assert found["asyncmail_report_lag_seconds"] == {(("sink", "genropy"),): 12.5}
    assert "the disk is gone" in caplog.text


async def test_a_plugin_has_an_error_series_before_its_first_error() -> None:
    metrics = MailMetrics()
    metrics.watch(Gauges(plugins=lambda: {("genropy", "sink"): True}))
    labels = (("kind", "sink"), ("plugin", "genropy"))
    assert (await scrape(metrics))["asyncmail_plugin_errors_total"] == {labels: 0}
    metrics.plugin_error("genropy", "sink")
    metrics.plugin_error("genropy", "sink")
    assert (await scrape(metrics))["asyncmail_plugin_errors_total"] == {labels: 2}


async def test_rendering_happens_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = MailMetrics()
    collect, threads = metrics.collect, set()

    def noted():  # type: ignore[no-untyped-def]
        threads.add(threading.get_ident())
        return collect()

    monkeypatch.setattr(metrics, "collect", noted)
    await metrics.render()
    assert threads
    assert threading.get_ident() not in threads


async def test_scrapes_and_changes_may_overlap() -> None:
    metrics = MailMetrics()
    metrics.accounts_changed(map(str, range(150)))
    scrapes = asyncio.gather(*(scrape(metrics) for _ in range(5)))
    number = 0
    while not scrapes.done():
        number += 1
        metrics.accounts_changed(map(str, range(number % 200)))
        metrics.sent(str(number % 300))
        metrics.plugin_error(f"plugin-{number % 50}", "sink")
        await asyncio.sleep(0)
    await scrapes


@pytest.mark.parametrize("event", ["sent", "queue_wait", "delivery", "plugin_error"])
def test_counting_costs_less_than_two_microseconds(event: str) -> None:
    metrics = MailMetrics()
    metrics.accounts_changed(["a"])
    delivery = Delivery.of_all(["a@example.org"], Disposition.ACCEPTED, "ok", code=250)
    arguments = {
        "sent": ("a",),
        "queue_wait": (2, 0.1),
        "delivery": ("a", delivery, 0.1),
        "plugin_error": ("genropy", "sink"),
    }[event]
    count = getattr(metrics, event)
    best = float("inf")
    for _ in range(20):  # the best of many: the machine may be busy with something else
        start = time.perf_counter()
        for _ in range(500):
            count(*arguments)
        best = min(best, (time.perf_counter() - start) / 500)
    assert best < 2e-6


async def test_promtool_finds_nothing_to_say_about_the_metrics() -> None:
    promtool = require_program("promtool", "prometheus")
    metrics = MailMetrics()
    metrics.accounts_changed(["a", 'b"'])
    metrics.watch(
        Gauges(
            report_lag_seconds=lags,
            plugins=lambda: {("genropy", "sink"): True},
            disk_free_bytes=lambda: 1,
        )
    )
    text = await metrics.render()
    check = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
