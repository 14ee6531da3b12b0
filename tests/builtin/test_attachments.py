"""The attachment sources ``base64`` and ``files``, with real files, links and pipes."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from asyncmail import AttachmentError
from asyncmail.builtin.attachments import Inline
from asyncmail.builtin.files import Files, FilesSettings
from asyncmail.model import Address, AttachmentReference, Message

MESSAGE = Message(
    "m", "a", Address("", "me@example.test"), (), (), (), "s", "t", None, "<m@example.test>", 0.0
)
CONTENT = b"%PDF-1.7 \x00\xff"
MD5 = hashlib.md5(CONTENT).hexdigest()


def reference(path: str, *, mode: str | None = None, md5: str | None = None) -> AttachmentReference:
    return AttachmentReference(path, "a.pdf", fetch_mode=mode, content_md5=md5)


# --- base64 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10, 300_000])
async def test_inline_content_comes_back_as_it_was(size: int) -> None:
    content = os.urandom(size)
    path = "base64:" + base64.b64encode(content).decode()
    assert (await Inline().fetch(reference(path), MESSAGE)).content == content


@pytest.mark.bad_input("inline content")
@pytest.mark.parametrize(
    "text",
    [
        "AAA",
        "AAAA=",
        "AA==AA==",
        "AA ==",
        "AAAA\n",
        "A-_A",
        "data:text/plain;base64,AAAA",
        "\u00e9AAA",
        "\ud800",
        "=AAA",
    ],
)
async def test_what_is_not_strictly_base64_is_refused_for_good(text: str) -> None:
    with pytest.raises(
        AttachmentError, match=r"^Attachment fetch failed: a\.pdf: not base64"
    ) as caught:
        await Inline().fetch(reference(f"base64:{text}"), MESSAGE)
    assert caught.value.permanent


async def test_the_md5_is_checked_in_any_case_of_letters() -> None:
    path = "base64:" + base64.b64encode(CONTENT).decode()
    for md5 in (MD5, MD5.upper(), f" {MD5}\n", None, ""):
        await Inline().fetch(reference(path, md5=md5), MESSAGE)
    with pytest.raises(AttachmentError, match="content_md5 does not match") as caught:
        await Inline().fetch(reference(path, md5="0" * 32), MESSAGE)
    assert caught.value.permanent


def test_inline_content_is_known_by_its_mode_or_else_its_beginning() -> None:
    handles = Inline().handles
    assert handles(reference("base64:AAAA"))
    assert handles(reference("AAAA", mode="base64"))
    assert not handles(reference("/base64:AAAA"))
    assert not handles(reference("base64:AAAA", mode="filesystem"))


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "dir").mkdir(parents=True)
    (folder / "dir" / "a file.pdf").write_bytes(CONTENT)
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
async def files(root: Path) -> AsyncIterator[Files]:
    source = Files(FilesSettings(roots={"home": root}, max_bytes=1000), logging.getLogger("files"))
    await source.start()
    yield source
    await source.stop()


async def refusal(files: Files, path: str) -> AttachmentError:
    with pytest.raises(AttachmentError, match=r"^Attachment fetch failed: a\.pdf: ") as caught:
        await files.fetch(reference(path), MESSAGE)
    return caught.value


async def test_a_file_is_found_by_volume_and_by_absolute_path(files: Files, root: Path) -> None:
    for path in ("home:dir/a file.pdf", f"{root}/dir/a file.pdf"):
        assert files.handles(reference(path))
        assert (await files.fetch(reference(path, md5=MD5), MESSAGE)).content == CONTENT


async def test_other_references_are_left_to_other_sources(files: Files) -> None:
    assert not files.handles(reference("elsewhere:dir/a"))
    assert not files.handles(reference("base64:AAAA"))
    assert not files.handles(reference("https://example.test/"))
    assert not files.handles(reference("home:dir/a", mode="endpoint"))
    assert files.handles(reference("elsewhere:dir/a", mode="filesystem"))


@pytest.mark.bad_input("paths")
@pytest.mark.parametrize(
    "path",
    [
        "home:../secret.txt",
        "home:dir/../../secret.txt",
        "home:dir/../dir/a file.pdf",
        "home:/secret.txt",
        "home:./dir/a file.pdf",
        "home:dir//a file.pdf",
        "home:dir/",
        "home:",
        "home:..\\secret.txt",
        "home:%2e%2e/secret.txt",
        "home:%2E./secret.txt",
        "home:dir%2fa file.pdf",
        "home:%00",
        "home:dir/a file.pdf\0.txt",
        "home:\ud800",
        "home:" + 5000 * "x",
        "home:dir",
        "home:no/such/file",
        "elsewhere:dir/a",
        "/etc/passwd",
        "/",
        "/dev/zero",
        "file:///etc/passwd",
        "{root}",
        "{root}/../secret.txt",
        "{root}x/secret.txt",
    ],
)
async def test_nothing_leads_out_of_a_root(files: Files, root: Path, path: str) -> None:
    (root.parent / "rootx").mkdir()
    (root.parent / "rootx" / "secret.txt").write_text("secret")
    assert (await refusal(files, path.format(root=root))).permanent


@pytest.mark.bad_input("links")
async def test_links_are_refused_wherever_they_lead(files: Files, root: Path) -> None:
    (root / "out").symlink_to(root.parent)
    (root / "in").symlink_to(root / "dir")
    (root / "file").symlink_to(root / "dir" / "a file.pdf")
    (root / "dir" / "loop").symlink_to("loop")
    for path in ("out/secret.txt", "in/a file.pdf", "file", "dir/loop"):
        assert (await refusal(files, f"home:{path}")).permanent


@pytest.mark.bad_input("special files")
async def test_what_is_not_a_regular_file_is_refused_at_once(files: Files, root: Path) -> None:
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        old = Path.cwd()
        os.chdir(root)  # the name of a socket is short
        try:
            unix.bind("socket")
        finally:
            os.chdir(old)
        for name in ("fifo", "socket", "dir"):
            assert (await refusal(files, f"home:{name}")).permanent


@pytest.mark.bad_input("special files")
async def test_a_device_is_refused(tmp_path: Path) -> None:
    source = Files(FilesSettings(roots={"dev": Path("/dev")}), logging.getLogger("files"))
    assert "not a regular file" in str(await refusal(source, "dev:zero"))


async def test_the_root_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    source = Files(FilesSettings(roots={"home": link}), logging.getLogger("files"))
    assert (await source.fetch(reference("home:dir/a file.pdf"), MESSAGE)).content == CONTENT


async def test_the_innermost_root_serves_an_absolute_path(root: Path) -> None:
    (root / "link").symlink_to(root / "dir")  # fine as a root, refused below one
    settings = FilesSettings(roots={"outer": root, "inner": root / "link", "other": root.parent})
    source = Files(settings, logging.getLogger("files"))
    path = f"{root}/link/a file.pdf"
    assert (await source.fetch(reference(path), MESSAGE)).content == CONTENT


async def test_size_is_limited(files: Files, root: Path) -> None:
    (root / "fits").write_bytes(bytes(1000))
    (root / "big").write_bytes(bytes(1001))
    assert len((await files.fetch(reference("home:fits"), MESSAGE)).content) == 1000
    error = await refusal(files, "home:big")
    assert error.permanent
    assert "more than 1000 bytes" in str(error)


@pytest.mark.bad_input("special files")
async def test_a_file_that_says_it_is_empty_is_limited_all_the_same() -> None:
    roots = {"proc": Path("/proc/self")}
    source = Files(FilesSettings(roots=roots, max_bytes=10), logging.getLogger("files"))
    assert "more than 10 bytes" in str(await refusal(source, "proc:status"))


async def test_a_missing_file_is_final_but_a_missing_volume_may_come_back(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    roots = {"gone": root / "not mounted", "home": root}
    source = Files(FilesSettings(roots=roots), logging.getLogger("files"))
    await source.start()
    assert "volume 'gone'" in caplog.text
    assert not (await refusal(source, "gone:a")).permanent
    assert (await refusal(source, "home:a")).permanent


@pytest.mark.parametrize(
    "roots",
    [{"home": "relative"}, {"home": "/a/../b"}, {"https": "/a"}, {"a:b": "/a"}, {"": "/a"}],
)
def test_roots_that_cannot_be_meant_are_refused(roots: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        FilesSettings.model_validate({"roots": roots})
