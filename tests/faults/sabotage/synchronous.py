"""A sabotaged ``asyncmail``: its commits are as durable as the first argument says, OFF or NORMAL."""

from __future__ import annotations

import sys

from asyncmail.__main__ import main
from asyncmail.store import connection

if __name__ == "__main__":
    _level = sys.argv.pop(1)
    _pragmas = connection._pragmas

    def _careless(cache_kib: int, *, query_only: bool) -> tuple[str, ...]:
        return (*_pragmas(cache_kib, query_only=query_only), f"PRAGMA synchronous = {_level}")

    connection._pragmas = _careless
    main()
