"""Encryption of secrets at rest: AES-256-GCM with the keys of one small file.

A line of it is ``key-id base64key``. The newest key comes first.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
import tempfile
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
        """Read the key file, or make one with a new key. Raises ``ConfigurationError``."""
        try:
            _create(path)
        except FileExistsError:
            pass
        except OSError as error:
            raise ConfigurationError(f"key file {path}: {error.strerror}") from error
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> KeyRing:
        """Of a file that is there, and its owner's alone (mode 0600). Raises ``ConfigurationError``."""
        return cls(_parse(_read(path), path))

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all keys, the newest first."""
        return tuple(self._keys)

    def encrypt(self, secret: str, *, bound_to: str) -> str:
        """``key-id:base64``; only opens again for the same ``bound_to``."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._keys[self._newest]).encrypt(nonce, secret.encode(), bound_to.encode())
        return f"{self._newest}:{base64.b64encode(nonce + sealed).decode()}"

    def decrypt(self, text: str, *, bound_to: str) -> str | None:
        """The secret, or ``None`` if no key here opens it."""
        encoded = text.partition(":")[2]
        key = self._keys.get(key_id_of(text))
        if key is None:
            return None
        try:
            data = base64.b64decode(encoded, validate=True)
            nonce, sealed = data[:NONCE_BYTES], data[NONCE_BYTES:]
            return AESGCM(key).decrypt(nonce, sealed, bound_to.encode()).decode()
        except (InvalidTag, ValueError):
            return None


def key_id_of(text: str) -> str:
    """The id of the key that made this ``key-id:base64``."""
    return text.partition(":")[0]


def add_key(path: Path) -> tuple[str, ...]:
    """Put a new key before those of the file, or make the file; the ids, the new one first.

    The file is replaced as a whole: a crash leaves the old one or the new one. Raises
    ``ConfigurationError``, also for a file that the service would not take.
    """
    try:
        _create(path)
        text = _read(path)
    except FileExistsError:
        text = _line() + _read(path)
        _parse(text, path)
        _replace(path, text)
    except OSError as error:
        raise ConfigurationError(f"key file {path}: {error.strerror}") from error
    return tuple(_parse(text, path))


def _create(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(_line())
        file.flush()
        os.fsync(file.fileno())


def _line() -> str:
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return f"{secrets.token_hex(4)} {key}\n"


def _replace(path: Path, text: str) -> None:
    """Keeps the owner: root may run this for a service that is not root."""
    path = path.resolve()
    try:
        owner = path.stat()
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            try:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigurationError(f"key file {path}: {error.strerror}") from error


def _read(path: Path) -> str:
    """Of a file that only its owner can read."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"key file {path} cannot be read: {error}") from error
    if mode & (0o007 if _is_credential(path) else 0o077):
        raise ConfigurationError(
            f"key file {path} may be read by others (mode {mode:o})", hint=f"chmod 600 {path}"
        )
    return text


def _is_credential(path: Path) -> bool:
    """Whether systemd handed it over (``LoadCredential=``): it lets the service in by an access list.

    That shows in the mode as the group's right to read, in a folder that nobody else can enter.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return folder is not None and path.absolute().parent == Path(folder)


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
