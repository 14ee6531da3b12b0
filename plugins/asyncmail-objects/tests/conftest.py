"""What the tests share: a bucket of moto's S3 server, a root, and a started source."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from asyncmail_objects import Objects
from moto.server import ThreadedMotoServer
from objects_bucket import SECRET, ObjectBucket
from obstore.store import MemoryStore

from asyncmail import AttachmentSource
from asyncmail.testing import make_extension

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
def bucket(s3_endpoint: str) -> Iterator[ObjectBucket]:
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": SECRET}
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1", **keys)
    made = ObjectBucket(client, f"objects-{uuid.uuid4().hex}", s3_endpoint)
    client.create_bucket(Bucket=made.name)
    yield made
    client.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the root ``files``, with something outside of it."""
    folder = tmp_path / "root"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    return folder


@pytest.fixture
async def source(root: Path) -> AsyncIterator[Callable[..., Any]]:
    """Makes started sources; arguments are settings."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Objects:
            settings = {"roots": {"files": str(root)}, **settings}
            made = make_extension(AttachmentSource, "objects", settings)
            assert isinstance(made, Objects)
            stack.push_async_callback(made.stop)
            await made.start()
            return made

        yield make
