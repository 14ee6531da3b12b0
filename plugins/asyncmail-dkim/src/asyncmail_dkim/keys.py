"""Private keys: read from files that nobody else may read, and used to sign (RFC 8301, RFC 8463)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from asyncmail.errors import ConfigurationError
from asyncmail_dkim.settings import KeySettings

MIN_RSA_BITS = 1024  # RFC 8301 3.2: verifiers must not accept less
GOOD_RSA_BITS = 2048
MAX_FILE_BYTES = 65_536


@dataclass(frozen=True)
class SigningKey:
    """A key, ready to sign. ``bits``: of an RSA key; ``None`` for Ed25519."""

    settings: KeySettings
    private: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    @property
    def bits(self) -> int | None:
        return self.private.key_size if isinstance(self.private, RSAPrivateKey) else None

    def sign(self, content: bytes) -> bytes:
        """The signature of the canonical header. Both algorithms give the same one every time."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(content, PKCS1v15(), hashes.SHA256())
        return self.private.sign(sha256(content).digest())  # RFC 8463 3: of the hash, not the text


def load_key(settings: KeySettings) -> SigningKey:
    """Read a key; blocks. Raises ``ConfigurationError`` with the file and what is wrong with it."""
    what = f"DKIM key {settings.file}"
    try:
        # The mode of the very file that is read, whatever happens to its name meanwhile.
        with settings.file.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigurationError(f"{what} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigurationError(
            f"{what} is open to others (mode {mode & 0o777:o})",
            hint=f"chmod 600 {settings.file}",
        )
    try:
        private = load_pem_private_key(text, password=None)
    except TypeError as error:
        raise ConfigurationError(
            f"{what} has a passphrase", hint="keep it without one, mode 0600"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{what} is not a private key in PEM") from error
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise ConfigurationError(f"{what} is neither an RSA nor an Ed25519 key")
    if isinstance(private, RSAPrivateKey) and private.key_size < MIN_RSA_BITS:
        raise ConfigurationError(
            f"{what} has {private.key_size} bits, receivers refuse less than {MIN_RSA_BITS}",
            hint=f"make one of {GOOD_RSA_BITS}",
        )
    return SigningKey(settings, private)
