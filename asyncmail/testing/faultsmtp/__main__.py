"""``python -m asyncmail.testing.faultsmtp``: the server as a process; prints its port as JSON."""

from __future__ import annotations

import argparse
import asyncio

from asyncmail.testing.faultsmtp.profile import Profile
from asyncmail.testing.faultsmtp.server import FaultSMTP
from asyncmail.testing.process import serve


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m asyncmail.testing.faultsmtp",
        description='An SMTP server that misbehaves on demand. Prints {"port": n, "pid": n} as JSON.',
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one (default)")
    parser.add_argument("--ledger", help="file that gets a JSON line per accepted copy")
    parser.add_argument("--seed", type=int, default=0, help="for % in scripts")
    parser.add_argument("--script", default="", help="clauses for every connection, e.g. dot.550")
    parser.add_argument(
        "--dot-delay",
        type=int_ms,
        default=0,
        metavar="SECONDS",
        help="accept, and answer that much later",
    )
    options = parser.parse_args()
    script = options.script
    if options.dot_delay:
        script = ".".join(filter(None, [script, f"dot.accept.sleep{options.dot_delay}"]))
    server = FaultSMTP(
        ledger=options.ledger,
        seed=options.seed,
        profile=Profile(script=script),
        port=options.port,
    )
    asyncio.run(serve(server))


def int_ms(seconds: str) -> int:
    """Seconds as an option gives them, in whole milliseconds."""
    return round(float(seconds) * 1000)


if __name__ == "__main__":
    main()
