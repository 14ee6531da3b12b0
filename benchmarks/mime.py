"""Messages a second that asyncmail's builder makes, against ``email.message.EmailMessage``."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from support import machine
from support.message import HTML, TEXT, understood
from support.setup import options, working_folder
from support.table import render, spread, write_json

from asyncmail import mime
from asyncmail.model import Message

UMLAUTS = str.maketrans("aou", "äöü")


def by_library(message: Message) -> bytes:
    """The same message by the standard library."""
    built = EmailMessage(policy=SMTP)
    built["From"] = message.sender.spec
    built["To"] = message.to[0].spec
    built["Subject"] = message.subject
    built["Date"] = "Tue, 25 Nov 2025 12:00:00 +0000"
    built["Message-ID"] = message.message_id
    built.set_content(message.text)
    built.add_alternative(message.html, subtype="html")
    return built.as_bytes()


def by_asyncmail(message: Message) -> bytes:
    return mime.build(message, [])


def rate(build: Callable[[Message], bytes], message: Message, seconds: float) -> float:
    """Messages a second, built for ``seconds``."""
    count, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        for _ in range(20):
            build(message)
        count += 20
    return count / taken


def benchmark(asked: Namespace, folder: Path) -> None:
    found = machine.facts(folder)
    ascii_only = understood()
    umlauts = replace(
        ascii_only, text=TEXT.translate(UMLAUTS), html=HTML.translate(UMLAUTS), subject="Grüße"
    )
    cases = {
        f"{words}, {builder}": (build, message)
        for words, message in (("ASCII", ascii_only), ("UTF-8", umlauts))
        for builder, build in (("EmailMessage", by_library), ("asyncmail", by_asyncmail))
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(asked.rounds):
        for name, (build, message) in cases.items():
            rates[name].append(rate(build, message, asked.seconds))
    rows = []
    for name, values in rates.items():
        base = rates[f"{name.partition(',')[0]}, EmailMessage"]
        factors = [value / other for value, other in zip(values, base, strict=True)]
        rows.append([name, spread(values), spread(factors, 1)])
    print(
        render([f"text and HTML, {len(by_asyncmail(ascii_only)):,} bytes", "a second", "x"], rows)
    )
    print()
    print("\n".join(machine.lines(found)))
    write_json(asked.json, {"benchmark": "mime", **found, "messages_per_second": rates})


def main() -> None:
    parser = options("how fast messages are built")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each case and round")
    asked = parser.parse_args()
    with working_folder(asked.folder) as folder:
        benchmark(asked, folder)


if __name__ == "__main__":
    main()
