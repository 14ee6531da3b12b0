"""A bucket of moto's S3 server, as the source is told of it and as tests fill it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SECRET = "s3cret-access-key"


@dataclass
class ObjectBucket:
    """What is under ``invoices/`` may be fetched."""

    client: Any
    name: str
    endpoint: str

    @property
    def settings(self) -> dict[str, Any]:
        return {"allow": [f"s3://{self.name}/invoices"], **self.access}

    @property
    def access(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key_id": "key",
            "secret_access_key": SECRET,
            "allow_http": True,
        }

    def put(self, key: str, content: bytes, **more: Any) -> str:
        """Store an object; its reference."""
        self.client.put_object(Bucket=self.name, Key=key, Body=content, **more)
        return f"s3://{self.name}/{key}"
