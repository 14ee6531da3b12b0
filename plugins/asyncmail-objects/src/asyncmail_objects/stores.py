"""The stores behind the names: buckets on S3, and folders on this machine."""

from __future__ import annotations

import errno
import os
import stat
from datetime import timedelta
from pathlib import Path

from obstore.store import LocalStore, S3Store

from asyncmail_objects.settings import ObjectsSettings


def s3_store(bucket: str, settings: ObjectsSettings) -> S3Store:
    """Without keys in the settings, obstore looks for them where the AWS tools do."""
    secrets = {
        "secret_access_key": settings.secret_access_key,
        "session_token": settings.session_token,
    }
    config = {
        "endpoint": settings.endpoint,
        "region": settings.region,
        "access_key_id": settings.access_key_id,
        **{name: secret and secret.get_secret_value() for name, secret in secrets.items()},
    }
    seconds = timedelta(seconds=settings.timeout_seconds)
    return S3Store(
        bucket,
        config={name: value for name, value in config.items() if value},  # type: ignore[arg-type]
        client_options={"allow_http": settings.allow_http, "timeout": seconds},
        retry_config={"max_retries": 1, "retry_timeout": seconds},
    )


def local_store(root: Path, key: str) -> LocalStore:
    """The store of a root that is there. Raises ``OSError`` unless plain folders lead from it to a
    regular file: obstore would follow symbolic links out of the root, and wait for the writer of a
    fifo. Blocks."""
    path = root
    steps = key.split("/")
    for number, step in enumerate(steps, 1):
        path = path / step
        mode = os.lstat(path).st_mode
        expected = stat.S_ISREG if number == len(steps) else stat.S_ISDIR
        if not expected(mode):
            raise PermissionError(errno.EACCES, "not a regular file below plain folders")
    return LocalStore(root)
