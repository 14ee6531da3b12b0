"""``python -m asyncmail.testing.crash``: kills a service and judges it; ends with 1 if it did wrong."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from asyncmail.failpoints import FAILPOINTS
from asyncmail.testing.crash.kills import Kills
from asyncmail.testing.crash.sweep import CrashAt
from asyncmail.testing.crash.verdict import Verdict
from asyncmail.testing.real_service import ASYNCMAIL


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m asyncmail.testing.crash",
        description="Kill a service while mail goes through it, and compare everybody's ledgers.",
    )
    parser.add_argument("--kills", type=int, default=20, help="how many, at random moments (20)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--hold", action="store_true", help="with on_uncertain = hold")
    parser.add_argument(
        "--failpoint", action="append", metavar="NAME", help="end there instead; 'all' for each"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the ledgers, the database and the log here"
    )
    parser.add_argument("--program", nargs="+", default=ASYNCMAIL, help="what runs 'serve'")
    parser.add_argument("--json", type=Path, help="write the sums to this file")
    options = parser.parse_args()
    _say(f"--seed {options.seed}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.failpoint:
            points = list(FAILPOINTS) if "all" in options.failpoint else options.failpoint
            return asyncio.run(_sweep(folder, options.seed, points, options.program))
        run = Kills(
            folder,
            options.seed,
            program=options.program,
            hold=options.hold,
            limited=True,
            tell=_say,
        )
        verdict = asyncio.run(run.run(options.kills))
    if options.json:
        options.json.write_text(json.dumps(verdict.figures(), indent=1) + "\n")
    return _show(verdict)


async def _sweep(folder: Path, seed: int, points: Sequence[str], program: Sequence[str]) -> int:
    code = 0
    for point in points:
        verdict = await CrashAt(folder / point, point, seed, program=program).run()
        _say(f"{point}: {'; '.join(verdict.faults) or 'survived'}")
        code |= bool(verdict.faults)
    return code


def _show(verdict: Verdict) -> int:
    for name, value in verdict.figures().items():
        _say(f"{name:<30} {value}")
    for fault in verdict.faults:
        _say(f"WRONG: {fault}")
    return int(bool(verdict.faults))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
