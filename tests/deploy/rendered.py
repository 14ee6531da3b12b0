"""The names of all metrics that a service shows, histogram buckets included."""

from __future__ import annotations

import re
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from asyncmail.prometheus import Gauges, MailMetrics

METRIC = re.compile(r"\b(?:asyncmail|process)_[a-z_]+\b")


async def _lags() -> Mapping[str, float]:
    return {"genropy": 0.0}


async def rendered_names() -> set[str]:
    """Every name that has at least one sample once all gauges have a value."""
    metrics = MailMetrics()
    metrics.watch(
        Gauges(
            report_lag_seconds=_lags,
            plugins=lambda: {("genropy", "sink"): True},
            disk_free_bytes=lambda: 1,
        )
    )
    text = (await metrics.render()).decode()
    families = text_string_to_metric_families(text)
    return {sample.name for family in families for sample in family.samples}


def metrics_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression names."""
    return set(METRIC.findall(expression))
