"""A domain with keys of both kinds, their records as the DNS would give them, and two verifiers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

DOMAIN = "shop.test"


def write_key(path: Path, private: Any, passphrase: bytes | None = None) -> Path:
    """A private key in PEM, for its owner alone."""
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)
    return path


def record(private: RSAPrivateKey | Ed25519PrivateKey) -> str:
    """The TXT record of a key."""
    public = private.public_key()
    if isinstance(private, Ed25519PrivateKey):
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={b64encode(raw).decode()}"
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={b64encode(der).decode()}"


@dataclass(frozen=True)
class World:
    """``settings`` name both keys; ``records`` are the TXT records by name."""

    folder: Path
    settings: tuple[dict[str, Any], ...]
    records: dict[str, str]

    @classmethod
    def make(cls, folder: Path) -> World:
        privates = {
            "rsa": generate_private_key(65537, 2048),
            "ed": Ed25519PrivateKey.generate(),
        }
        settings = tuple(
            {
                "domain": DOMAIN,
                "selector": selector,
                "file": str(write_key(folder / f"{selector}.pem", private)),
            }
            for selector, private in privates.items()
        )
        records = {f"{s}._domainkey.{DOMAIN}": record(key) for s, key in privates.items()}
        return cls(folder, settings, records)

    def dns(self, name: bytes, timeout: int = 5) -> bytes | None:
        """The look-up that dkimpy does."""
        found = self.records.get(name.decode().rstrip("."))
        return found.encode() if found else None

    def verdicts(self, data: bytes) -> list[bool]:
        """dkimpy's, one for each signature from the top."""
        judge = dkim.DKIM(data)
        count = len(signatures(data))
        return [_verifies(judge, number, self) for number in range(count)]

    def opendkim_verdicts(self, messages: Sequence[bytes]) -> list[list[str]]:
        """OpenDKIM's, one for each signature of each message: ``pass`` or another word."""
        program = require_program("opendkim", "opendkim")
        lines = [f"{name} {text}" for name, text in self.records.items()]
        (self.folder / "records").write_text("\n".join(lines) + "\n")
        (self.folder / "opendkim.conf").write_text(
            f"Mode v\nTestPublicKeys {self.folder}/records\n"
        )
        paths = [self.folder / f"{number}.eml" for number in range(len(messages))]
        for path, data in zip(paths, messages, strict=True):
            path.write_bytes(data)
        names = ",".join(map(str, paths))
        command = [program, "-x", f"{self.folder}/opendkim.conf", "-vvv", "-t", names]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        _, *blocks = ran.stdout.split("### INSHEADER")
        return [re.findall(r"\tdkim=(\w+)", block) for block in blocks]


def _verifies(judge: Any, number: int, world: World) -> bool:
    try:
        return bool(judge.verify(number, dnsfunc=world.dns))
    except dkim.ValidationError:
        return False


def signatures(data: bytes) -> list[dict[str, str]]:
    """The tags of every DKIM-Signature, without white space, from the top."""
    header = re.sub(rb"\r\n[ \t]", b" ", data.partition(b"\r\n\r\n")[0]).decode()
    found = re.findall(r"^DKIM-Signature: (.*)$", header.replace("\r", ""), re.MULTILINE)
    return [
        dict(tag.replace(" ", "").split("=", 1) for tag in field.split(";") if tag.strip())
        for field in found
    ]


def require_program(name: str, package: str) -> str:
    """The path of a program; without it the test is skipped, but never in CI."""
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    if path is not None:
        return path
    words = f"needs the program {name} (Debian package {package})"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)
