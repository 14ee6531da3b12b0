"""What an archive wrote, as seen from outside: in a folder, and in a bucket of moto's S3 server."""

from __future__ import annotations

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import boto3

SECRET = "s3cret-access-key"


class S3Bucket:
    """A bucket of its own, as the archive is told of it, and as an S3 client sees it."""

    def __init__(self, endpoint: str) -> None:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": SECRET}
        self.client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
        self.name = f"archive-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=self.name)
        self.settings = {
            "to": f"s3://{self.name}/mail",
            "endpoint": endpoint,
            "region": "us-east-1",
            "access_key_id": "key",
            "secret_access_key": SECRET,
            "allow_http": True,
        }

    def objects(self) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=self.name).get("Contents", ())
        get = self.client.get_object
        return {
            each["Key"]: get(Bucket=self.name, Key=each["Key"])["Body"].read() for each in listed
        }

    def vanish(self) -> None:
        for key in self.objects():
            self.client.delete_object(Bucket=self.name, Key=key)
        self.client.delete_bucket(Bucket=self.name)


def lines(data: bytes) -> list[dict[str, Any]]:
    """The records in an object."""
    return [json.loads(line) for line in gzip.decompress(data).splitlines()]


def files(root: Path) -> dict[str, bytes]:
    """The objects of an archive in a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
