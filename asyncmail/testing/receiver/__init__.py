"""An HTTP server that plays the application's side of reporting: it takes reports and answers as told.

::

    async with ReportReceiver(script=[Reply(status=503)]) as receiver:
        ...  # proxy_sync_url = receiver.url
        await receiver.wait_for(lambda: "m1" in receiver.by_id)

Every request is recorded, then answered by the first of: the next entry of ``script``, ``answer``, the
usual answer, which is 200 with ``{"sent": n, "error": n, "deferred": n}``. An entry, like ``answer``, is
a ``Reply``, or a function (plain or async) of the ``Post`` that returns one, or ``None`` for the usual
answer. An async one can call the service back before it answers, as the pull protocol wants.

As a process, to outlive what it is used against: ``python -m asyncmail.testing.receiver --help``.
"""

from asyncmail.testing.receiver.replies import Answering, Failing, Post, Reply
from asyncmail.testing.receiver.server import ReportReceiver

__all__ = ["Answering", "Failing", "Post", "Reply", "ReportReceiver"]
