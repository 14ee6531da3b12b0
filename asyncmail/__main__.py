"""The entry of the ``asyncmail`` command and of ``python -m asyncmail``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; ends the process with one of the documented exit codes."""
    fill_standard_descriptors()
    from asyncmail.cli import cli

    try:
        cli(prog_name="asyncmail")
    finally:
        let_go_of_errors()


def fill_standard_descriptors() -> None:
    """Where input, output or errors were closed (``2>&-``), open the null device in their place.

    Else the next file or socket would get that number, and what a library prints would end up in it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def let_go_of_errors() -> None:
    """Where nobody takes what stands in line for standard error, let it go to the null device.

    Else the interpreter would end with 120, whatever the program's own exit code is.
    """
    try:
        sys.stderr.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


if __name__ == "__main__":
    main()
