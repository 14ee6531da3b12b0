"""``python -m asyncmail.testing.receiver``: the receiver as a process; prints its port as JSON."""

from __future__ import annotations

import argparse
import asyncio

from asyncmail.testing.process import serve
from asyncmail.testing.receiver.replies import Failing
from asyncmail.testing.receiver.server import ReportReceiver


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m asyncmail.testing.receiver",
        description='Takes delivery reports by HTTP. Prints {"port": n, "pid": n} as JSON.',
    )
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one (default)")
    parser.add_argument("--ledger", help="file that gets a JSON line per post")
    parser.add_argument("--seed", type=int, default=0, help="for --fail")
    parser.add_argument(
        "--fail", type=float, default=0.0, metavar="PERCENT", help="answer 503 so often"
    )
    options = parser.parse_args()
    receiver = ReportReceiver(
        answer=Failing(options.fail, options.seed), ledger=options.ledger, port=options.port
    )
    asyncio.run(serve(receiver))


if __name__ == "__main__":
    main()
