"""What all tests share: asyncio, as in the service, and the fixtures that plugin authors have, too."""

from __future__ import annotations

pytest_plugins = ["asyncmail.testing.fixtures"]
