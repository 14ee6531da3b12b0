"""Keys that may not or cannot be used keep the service from starting, and the error says which."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from dkim_world import require_program, write_key

from asyncmail.errors import ConfigurationError

Start = Callable[..., Any]


def settings(path: Path) -> list[dict[str, Any]]:
    return [{"domain": "shop.test", "selector": "s", "file": str(path)}]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
async def test_a_key_that_others_can_open_is_refused(
    tmp_path: Path, started: Start, mode: int
) -> None:
    path = write_key(tmp_path / "key.pem", Ed25519PrivateKey.generate())
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"open to others \(mode {mode:o}\).*chmod 600"):
        await started(keys=settings(path))
    path.chmod(0o400)
    await started(keys=settings(path))


async def test_files_that_are_no_usable_key_are_refused(tmp_path: Path, started: Start) -> None:
    secret = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj"
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text(f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n")
    nonsense.chmod(0o600)
    curve = write_key(tmp_path / "curve.pem", ec.generate_private_key(ec.SECP256R1()))
    sealed = write_key(tmp_path / "sealed.pem", Ed25519PrivateKey.generate(), b"words")
    for path, words in (
        (nonsense, "not a private key in PEM"),
        (curve, "neither an RSA nor an Ed25519 key"),
        (sealed, "has a passphrase"),
        (tmp_path / "missing.pem", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigurationError, match=words) as caught:
            await started(keys=settings(path))
        assert str(path) in str(caught.value)
        assert secret not in str(caught.value)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """An RSA key of 768 bits, which cryptography itself would not make."""
    path = tmp_path / "short.pem"
    openssl = require_program("openssl", "openssl")
    subprocess.run([openssl, "genrsa", "-out", path, "768"], check=True, capture_output=True)
    path.chmod(0o600)
    return path


async def test_a_short_rsa_key_is_refused_and_a_small_one_is_warned_of(
    tmp_path: Path, short: Path, started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError, match="has 768 bits"):
        await started(keys=settings(short))
    with caplog.at_level(logging.WARNING):
        await started(keys=settings(write_key(tmp_path / "k", generate_private_key(65537, 1024))))
    assert "s._domainkey.shop.test has 1024 bits; 2048 are recommended" in caplog.text


async def test_a_key_in_the_traditional_format_will_do(
    tmp_path: Path, started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    private = generate_private_key(65537, 2048)
    path = tmp_path / "key.pem"
    text = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    path.write_bytes(text)
    path.chmod(0o600)
    with caplog.at_level(logging.INFO):
        await started(keys=settings(path))
    assert "signs with s._domainkey.shop.test (rsa-sha256, 2048 bits)" in caplog.text
