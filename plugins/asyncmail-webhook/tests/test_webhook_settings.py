"""Settings: what is refused, in words that show no secret; and certificates."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from asyncmail_webhook import WebhookSettings
from pydantic import ValidationError
from webhook_receiver import SECRET

from asyncmail import SinkUnavailable
from asyncmail.errors import ConfigurationError
from asyncmail.testing import ReportReceiver

Make = Callable[..., Any]


def mistakes(**settings: Any) -> str:
    """What is wrong with these settings, as the service says it: without the values."""
    with pytest.raises(ValidationError) as caught:
        WebhookSettings(**{"url": "https://app.example/", "secret": SECRET, **settings})
    found = caught.value.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(mistake["msg"] for mistake in found)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("tell-nobody-this-one", "should begin with whsec_"),
        ("whsec_?tell-nobody-this-one", "should be base64 behind whsec_"),
        ("whsec_" + base64.b64encode(b"short").decode(), "24 to 64 bytes, this one has 5"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "24 to 64 bytes, this one has 65"),
    ],
)
def test_a_weak_or_garbled_secret_is_refused_and_not_shown(secret: str, words: str) -> None:
    for name in ("secret", "secret_previous"):
        said = mistakes(**{name: secret})
        assert words in said
        assert secret not in said


def test_a_secret_is_as_good_without_its_padding() -> None:
    bare = WebhookSettings(url="https://app.example/", secret=SECRET.rstrip("="))
    assert bare.keys == WebhookSettings(url="https://app.example/", secret=SECRET).keys


@pytest.mark.parametrize("url", ["app.example/hooks", "ftp://app.example/", "https:///x", ""])
def test_what_is_no_web_address_is_refused(url: str) -> None:
    assert "should be a URL" in mistakes(url=url)


def test_credentials_have_no_place_in_the_url() -> None:
    assert "credentials" in mistakes(url="https://me:hidden@app.example/")


def test_plain_http_to_another_machine_must_be_asked_for() -> None:
    assert "allow_http" in mistakes(url="http://app.example/")
    WebhookSettings(url="http://app.example/", secret=SECRET, allow_http=True)
    for host in ("localhost", "127.0.0.1", "[::1]"):
        WebhookSettings(url=f"http://{host}:8000/", secret=SECRET)


def test_an_unknown_type_is_refused() -> None:
    assert "message.sent" in mistakes(events=["message.snet"])
    assert "at least 1" in mistakes(events=[])


async def test_a_certificate_is_checked_against_the_authority_that_is_named(
    sink: Make, report: Make, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with ReportReceiver(tls=context) as receiver:
        trusting = await sink(url=receiver.url, ca_file=tmp_path / "ca.pem")
        await trusting.deliver([report()])
        doubting = await sink(url=receiver.url)
        with pytest.raises(SinkUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await doubting.deliver([report()])
        assert len(receiver.posts) == 1


async def test_a_missing_authority_stops_the_start_and_is_named(sink: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ca_file .*nowhere\.pem: No such file"):
        await sink(ca_file=tmp_path / "nowhere.pem")
