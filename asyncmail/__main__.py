"""The entry of the ``asyncmail`` command and of ``python -m asyncmail``."""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with one of the documented exit codes."""
    from asyncmail.cli import cli

    cli(prog_name="asyncmail")


if __name__ == "__main__":
    main()
