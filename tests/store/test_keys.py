"""The key file and what it encrypts."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from asyncmail.errors import ConfigurationError
from asyncmail.store.keys import KeyRing, add_key


def line(key_id: str, fill: bytes) -> str:
    return f"{key_id} {base64.b64encode(fill * 32).decode()}\n"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_file_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed = KeyRing.load(path).encrypt("secret", bound_to="a")
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyRing.load(path).decrypt(sealed, bound_to="a") == "secret"


def test_a_secret_opens_only_for_what_it_is_bound_to(tmp_path: Path) -> None:
    keys = KeyRing.load(tmp_path / "key")
    assert keys.decrypt(keys.encrypt("secret", bound_to="a"), bound_to="b") is None


def test_the_same_secret_never_looks_the_same(tmp_path: Path) -> None:
    keys = KeyRing.load(tmp_path / "key")
    assert keys.encrypt("secret", bound_to="a") != keys.encrypt("secret", bound_to="a")


def test_the_first_key_encrypts_and_older_ones_still_open(tmp_path: Path) -> None:
    old = KeyRing.load(write(tmp_path / "old", line("k1", b"1")))
    rotated = KeyRing.load(write(tmp_path / "new", line("k2", b"2") + line("k1", b"1")))
    assert rotated.decrypt(old.encrypt("secret", bound_to="a"), bound_to="a") == "secret"
    assert rotated.encrypt("secret", bound_to="a").startswith("k2:")
    assert old.decrypt(rotated.encrypt("secret", bound_to="a"), bound_to="a") is None


@pytest.mark.parametrize("text", ["k1:%%%", "k1:", "k1:AAAA", "nothing", ""])
def test_what_was_damaged_does_not_open(tmp_path: Path, text: str) -> None:
    keys = KeyRing.load(write(tmp_path / "key", line("k1", b"1")))
    assert keys.decrypt(text, bound_to="a") is None


@pytest.mark.parametrize(
    "text", ["", "k1\n", "k1 AAAA\n", "k1 %%\n", line("k1", b"1") * 2, line("a:b", b"1")]
)
def test_a_malformed_key_file_is_refused_without_its_content(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="key file") as caught:
        KeyRing.load(write(tmp_path / "key", text))
    assert "MTEx" not in str(caught.value)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "key", line("k1", b"1"), mode=0o640)
    with pytest.raises(ConfigurationError, match="may be read by others"):
        KeyRing.load(tmp_path / "key")


def test_a_key_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        KeyRing.load(tmp_path / "nowhere" / "key")


# --- a new key -----------------------------------------------------------------------------------


def test_a_new_key_comes_first_and_the_older_ones_still_open(tmp_path: Path) -> None:
    path = tmp_path / "key"
    (first,) = add_key(path)
    sealed = KeyRing.read(path).encrypt("secret", bound_to="a")
    second, *others = add_key(path)
    assert others == [first]
    assert path.stat().st_mode & 0o777 == 0o600
    keys = KeyRing.read(path)
    assert keys.ids == (second, first)
    assert keys.decrypt(sealed, bound_to="a") == "secret"
    assert keys.encrypt("secret", bound_to="a").startswith(f"{second}:")
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(("text", "mode"), [("nonsense\n", 0o600), (line("k1", b"1"), 0o644)])
def test_a_file_that_the_service_would_refuse_gets_no_new_key(
    tmp_path: Path, text: str, mode: int
) -> None:
    path = write(tmp_path / "key", text, mode)
    with pytest.raises(ConfigurationError, match="key file"):
        add_key(path)
    assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_the_key_file_may_be_a_link_and_stays_one(tmp_path: Path) -> None:
    write(tmp_path / "there", line("k1", b"1"))
    (tmp_path / "key").symlink_to("there")
    assert len(add_key(tmp_path / "key")) == 2
    assert (tmp_path / "key").is_symlink()
    assert KeyRing.read(tmp_path / "there").ids[1] == "k1"


def test_a_file_that_is_only_read_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        KeyRing.read(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


def test_a_credential_of_systemd_may_be_readable_by_its_access_list_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "key", line("k1", b"1"), mode=0o440)
    with pytest.raises(ConfigurationError, match="may be read by others"):
        KeyRing.load(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert KeyRing.load(path).ids == ("k1",)
    path.chmod(0o444)
    with pytest.raises(ConfigurationError, match="may be read by others"):
        KeyRing.load(path)


def test_a_new_key_leaves_the_file_to_its_owner(tmp_path: Path) -> None:
    path = write(tmp_path / "key", line("k1", b"1"))
    owner = 65534 if os.geteuid() == 0 else os.geteuid()  # root may do it for a service
    os.chown(path, owner, -1)
    add_key(path)
    assert path.stat().st_uid == owner
