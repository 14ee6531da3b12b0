"""A sink for asyncmail that reports every result as a signed webhook (Standard Webhooks 1.0)."""

from __future__ import annotations

from collections.abc import Iterable

from asyncmail import Offer, Sink, hookimpl
from asyncmail_webhook.settings import WebhookSettings
from asyncmail_webhook.sink import WebhookSink

__all__ = ["WebhookSettings", "WebhookSink"]


@hookimpl
def asyncmail_sinks() -> Iterable[Offer[Sink]]:
    return (Offer("webhook", WebhookSink, settings=WebhookSettings),)
