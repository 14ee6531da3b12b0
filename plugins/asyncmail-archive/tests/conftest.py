"""What the tests share: a bucket of moto's S3 server, and a started policy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from archive_places import S3Bucket
from asyncmail_archive import Archive
from moto.server import ThreadedMotoServer
from obstore.store import MemoryStore

from asyncmail import Retention
from asyncmail.testing import LoneContext, ManualClock, make_extension

pytest_plugins = ["asyncmail.testing.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def _obstore_runtime() -> None:
    """obstore opens the descriptors of its runtime once per process; they are nobody's leak."""
    MemoryStore().put("warm", b"up")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str) -> Iterator[S3Bucket]:
    made = S3Bucket(s3_endpoint)
    yield made
    made.client.close()


@pytest.fixture
async def archive(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Callable[..., Any]]:
    """Makes started policies; arguments are settings, by default into ``tmp_path / "archive"``."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Archive:
            settings = {"to": str(tmp_path / "archive"), **settings}
            made = make_extension(
                Retention, "archive", settings, LoneContext(clock, name="archive")
            )
            assert isinstance(made, Archive)
            stack.push_async_callback(made.stop)
            await made.start()
            return made

        yield make
