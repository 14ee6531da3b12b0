"""Encryption of secrets at rest: AES-256-GCM with the keys of one small file."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from asyncmail.errors import ConfigurationError

KEY_BYTES = 32
NONCE_BYTES = 12


class KeyRing:
    """Keys by their id. The first one encrypts; all of them decrypt, so that keys can be rotated."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self._newest = next(iter(self._keys))

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Read the key file, or make one with a new key. Raises ``ConfigurationError``.

        A line is ``key-id base64key``; the newest comes first. Mode 0600, or it is refused.
        """
        try:
            _create(path)
        except FileExistsError:
            pass
        except OSError as error:
            raise ConfigurationError(f"key file {path}: {error.strerror}") from error
        try:
            mode = path.stat().st_mode
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"key file {path} cannot be read: {error}") from error
        if mode & 0o077:
            raise ConfigurationError(
                f"key file {path} may be read by others (mode {mode & 0o777:o})",
                hint=f"chmod 600 {path}",
            )
        return cls(_parse(text, path))

    def encrypt(self, secret: str, *, bound_to: str) -> str:
        """``key-id:base64``; only opens again for the same ``bound_to``."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._keys[self._newest]).encrypt(nonce, secret.encode(), bound_to.encode())
        return f"{self._newest}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, *, bound_to: str) -> str | None:
        """The secret, or ``None`` if no key here opens it."""
        key_id, _, encoded = text.partition(":")
        key = self._keys.get(key_id)
        if key is None:
            return None
        try:
            data = base64.b64decode(encoded, validate=True)
            nonce, sealed = data[:NONCE_BYTES], data[NONCE_BYTES:]
            return AESGCM(key).decrypt(nonce, sealed, bound_to.encode()).decode()
        except (InvalidTag, ValueError):
            return None


def _create(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        file.write(f"{secrets.token_hex(4)} {key}\n")
        file.flush()
        os.fsync(file.fileno())


def _parse(text: str, path: Path) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        key_id, _, encoded = line.strip().partition(" ")
        try:
            key = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES or ":" in key_id or key_id in keys:
            raise ConfigurationError(
                f"key file {path}: line {number} is not a new key id and {KEY_BYTES} bytes in base64"
            )
        keys[key_id] = key
    if not keys:
        raise ConfigurationError(f"key file {path} holds no key")
    return keys
