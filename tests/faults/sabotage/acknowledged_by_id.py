"""A sabotaged ``asyncmail``: an acknowledgement covers each result of its message, seen or not."""

from __future__ import annotations

from asyncmail.__main__ import main
from asyncmail.store import reports

_EVERY_RESULT = """
UPDATE reports SET acknowledged_ts = ?
WHERE sink = ? AND acknowledged_ts IS NULL AND message_key IN (
    SELECT message_key FROM results WHERE key IN (SELECT value FROM json_each(?)))
"""

if __name__ == "__main__":
    reports._ACKNOWLEDGE = _EVERY_RESULT
    main()
