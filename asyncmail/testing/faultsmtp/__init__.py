"""An SMTP server that misbehaves on demand; the addresses of a message say how.

``FaultSMTP`` is a real server on a real port. Many scenarios run against one server at once, because
each message brings its own script in the local part of a recipient (or of the sender)::

    async with FaultSMTP(ledger=path) as server:
        ...  # send to 127.0.0.1:server.port, to "x+dot.accept.drop@fault.test"
        server.accepted, server.copies, server.violations

**The grammar** ::

    local-part = name "+" clause *("." clause)
    clause     = verb 1*("." step)
    verb       = greeting ehlo helo starttls auth mail rcpt data body dot rset noop quit
    step       = one of the table; each may carry "%" percent and "~" times, meant for its clause

=================  ==============================================================================
step               what the server does
=================  ==============================================================================
``451``            reply with that code; ``250+550``: several replies in one segment
``drop``           close the connection; ``421.drop``: reply, then close
``rst``            reset the connection (SO_LINGER 0)
``hang``           never answer again, the connection stays open
``stall``          stop reading, so that the peer's window closes
``sleep50``        wait 50 milliseconds, then go on
``drip50``         the reply that follows goes out one byte per 50 ms; without one, an endless reply
``rawHEX``         send these bytes; ``raw-NAME``: bytes by name (``RAW`` in script.py, ``Profile.raw``)
``accept``         at the dot: take the message (ledger), then go on with the next step
``once``           the same as ``~1``
=================  ==============================================================================

``%20``: the clause applies in 20 of 100 cases, drawn from the server's seed. ``~2``: it applies the
first 2 times for that address, after that the server behaves. A clause that ends without having said
anything or ended the connection goes on as usual: ``dot.sleep50`` accepts and answers 250, late. With a
reply of its own at the dot, only ``accept`` takes the message: ``dot.550`` does not, ``dot.250`` lies.
A second reply behind 354 (``data.354+250``) is an early answer to the dot: the message that follows is
read, not taken, and not answered. A script that is not understood is a violation, and answered 555.

Examples: ``x+rcpt.451.once``, ``x+dot.accept.drop%20``, ``x+dot.550.rset.hang``, ``x+mail.421.drop~2``.

The clauses of a recipient come first, then those of the sender, then ``Profile.script``, which holds
for all (and is the only place for greeting, ehlo, helo, starttls, auth). MAIL comes before RCPT: a
``mail`` clause of a recipient works for clients that pipeline, since the server then can look ahead; for
others put it into the sender. At RCPT only that recipient's own clauses count, at later verbs the first
of the transaction that applies.

As a process, to outlive what it is used against: ``python -m asyncmail.testing.faultsmtp --help``.
"""

from asyncmail.testing.faultsmtp.copies import Copy, read_ledger, read_unanswered
from asyncmail.testing.faultsmtp.profile import Profile
from asyncmail.testing.faultsmtp.script import ScriptError, parse_clauses
from asyncmail.testing.faultsmtp.server import FaultSMTP
from asyncmail.testing.faultsmtp.strict import Violation

__all__ = [
    "Copy",
    "FaultSMTP",
    "Profile",
    "ScriptError",
    "Violation",
    "parse_clauses",
    "read_ledger",
    "read_unanswered",
]
