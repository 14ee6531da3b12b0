"""What each command means and what a decent server answers: the state of one SMTP session."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from asyncmail.testing.faultsmtp.books import Books
from asyncmail.testing.faultsmtp.login import Login
from asyncmail.testing.faultsmtp.script import Clause, ScriptError
from asyncmail.testing.faultsmtp.strict import LAST_IN_GROUP

_PATH = re.compile(r"(?:FROM|TO): ?<([^>]*)>(.*)", re.IGNORECASE)
_NEXT_RCPT = re.compile(rb"\s*RCPT TO: ?<([^>]*)>[^\n]*\n", re.IGNORECASE)


class After(Enum):
    """What follows a positive reply on the connection itself."""

    NOTHING = auto()
    CLOSE = auto()
    TLS = auto()
    BODY = auto()


class Answer(NamedTuple):
    """The usual answer to a command; a clause of a script for ``verb`` may replace it.

    ``effect`` happens if the reply that really went out was positive.
    """

    verb: str
    code: int
    effect: Callable[[], None] | None = None
    lines: tuple[str, ...] = ()
    after: After = After.NOTHING


@dataclass(slots=True)
class Transaction:
    """The envelope between MAIL and the dot."""

    sender: str
    utf8: bool
    eight_bit: bool
    recipients: list[str] = field(default_factory=list)


class Dialogue:
    """Answers commands; knows nothing of sockets or scripts' steps."""

    def __init__(self, books: Books, number: int) -> None:
        self._books = books
        self._number = number
        self._greeted = False
        self._login: Login | None = None
        self._messages = 0
        self._sender_script: dict[str, dict[str, Clause]] = {}
        self._scripts: dict[
            str, dict[str, Clause]
        ] = {}  # of the recipients, as far as they have one
        self._rcpt_script: dict[str, dict[str, Clause]] = {}
        self.secure = False
        self.user = ""
        self.transaction: Transaction | None = None

    def blame(self, rule: str, detail: str) -> None:
        """Record a violation by this client."""
        self._books.violation(self._number, rule, detail)

    def clause(self, verb: str) -> Clause | None:
        """The clause that replaces the usual answer to a verb now, if one applies."""
        if verb == "rcpt":
            return self._books.choose(verb, {**self._rcpt_script, **self._sender_script})
        return self._books.choose(verb, {**self._scripts, **self._sender_script})

    def end_transaction(self) -> Transaction | None:
        """Forget and return the envelope; its scripts hold until the next MAIL."""
        transaction, self.transaction = self.transaction, None
        self._messages += transaction is not None
        return transaction

    def tls_began(self) -> None:
        """Forget what was said in clear (RFC 3207 4.2)."""
        self.secure = True
        self._greeted = False
        self.user = ""

    def answer(self, line: bytes, rest: bytearray) -> Answer:
        """Answer a command line without its newline; ``rest``: what the client sent behind it."""
        if self._login is not None:
            return self._login_goes_on(self._login, line)
        text = line.decode(errors="replace")
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        if rest and (verb in LAST_IN_GROUP or not self._books.profile.offers("PIPELINING")):
            self.blame("pipelining", f"{verb} and more behind it, before its reply")
        match verb:
            case "MAIL":
                return self._mail(argument, rest)
            case "RCPT":
                return self._rcpt(argument)
            case "DATA":
                return self._data()
            case "EHLO" | "HELO":
                return self._hello(verb)
            case "STARTTLS":
                return self._starttls()
            case "AUTH":
                return self._auth(argument)
            case "RSET":
                return Answer("rset", 250, self._reset)
            case "NOOP":
                return Answer("noop", 250)
            case "QUIT":
                return Answer("quit", 221, after=After.CLOSE)
            case _:
                self.blame("syntax", f"unknown command {text[:80]!r}")
                return Answer("unknown", 500)

    # --- before mail ---------------------------------------------------------------------------

    def _hello(self, verb: str) -> Answer:
        profile = self._books.profile
        lines = profile.ehlo_lines(secure=self.secure) if verb == "EHLO" else (profile.hostname,)
        return Answer(verb.lower(), 250, self._greet, lines)

    def _greet(self) -> None:
        self._greeted = True
        self.transaction = None

    def _starttls(self) -> Answer:
        if self._books.profile.tls is None or self.secure:
            return Answer("starttls", 502)
        return Answer("starttls", 220, after=After.TLS)

    def _auth(self, argument: str) -> Answer:
        mechanism, _, initial = argument.partition(" ")
        profile = self._books.profile
        if not self._greeted:
            self.blame("no-ehlo", "AUTH")
        if not self.secure and not profile.clear_auth:
            self.blame("auth-in-clear", f"AUTH {mechanism[:20]}")
        if mechanism.upper() not in profile.mechanisms or profile.auth is None:
            return Answer("auth", 504)
        login = Login(mechanism.upper())
        if initial:
            return self._login_goes_on(login, b"" if initial == "=" else initial.encode())
        return self._challenge(login)

    def _challenge(self, login: Login) -> Answer:
        self._login = login
        return Answer("challenge", 334, lines=(login.prompt or "",))

    def _login_goes_on(self, login: Login, response: bytes) -> Answer:
        self._login = None
        if not login.feed(response):
            return Answer("auth", 501)
        if login.prompt is not None:
            return self._challenge(login)
        credentials = login.credentials
        if credentials != self._books.profile.auth:
            return Answer("auth", 535)
        return Answer("auth", 235, lambda: setattr(self, "user", credentials[0]))

    # --- a transaction -------------------------------------------------------------------------

    def _mail(self, argument: str, rest: bytearray) -> Answer:
        self._scripts, self._sender_script, self._rcpt_script = {}, {}, {}
        path = _PATH.fullmatch(argument)
        if path is None:
            self.blame("syntax", f"MAIL {argument[:80]!r}")
            return Answer("mail", 501)
        sender, parameters = path[1], dict.fromkeys(path[2].upper().split())
        if not self._read_script(sender, self._sender_script):
            return Answer("mail", 555)
        self._look_ahead(rest)
        transaction = Transaction(
            sender, "SMTPUTF8" in parameters, bool({"SMTPUTF8", "BODY=8BITMIME"} & set(parameters))
        )
        code = self._mail_code(transaction, list(parameters))
        close = After.CLOSE if code == 421 else After.NOTHING
        return Answer("mail", code, lambda: setattr(self, "transaction", transaction), after=close)

    def _mail_code(self, transaction: Transaction, parameters: list[str]) -> int:
        profile = self._books.profile
        if not self._greeted:
            self.blame("no-ehlo", "MAIL")
            return 503
        if self.transaction is not None:
            self.blame("syntax", "MAIL inside a transaction")
            return 503
        if profile.auth is not None and not self.user:
            return 530
        if profile.max_messages is not None and self._messages >= profile.max_messages:
            return 421
        for parameter in parameters:
            keyword, _, value = parameter.partition("=")
            if not profile.offers("8BITMIME" if keyword == "BODY" else keyword):
                self.blame("syntax", f"MAIL parameter {parameter[:80]!r} was not offered")
                return 555
            if keyword == "SIZE" and not value.isdigit():
                return 501
            if keyword == "SIZE" and profile.size_limit and int(value) > profile.size_limit:
                return 552
        return 250 if transaction.sender.isascii() or transaction.utf8 else 553

    def _look_ahead(self, rest: bytearray) -> None:
        """A client that pipelines has said its recipients already: their ``mail`` clauses can count."""
        offset = 0
        while (match := _NEXT_RCPT.match(rest, offset)) is not None:
            offset = match.end()
            address = match[1].decode(errors="replace")
            try:
                mail = {v: c for v, c in self._books.clauses(address).items() if v == "mail"}
            except ScriptError:
                continue  # it is blamed at its RCPT
            if mail:
                self._scripts[address] = mail

    def _rcpt(self, argument: str) -> Answer:
        self._rcpt_script = {}
        path = _PATH.fullmatch(argument)
        if path is None or not path[1]:
            self.blame("syntax", f"RCPT {argument[:80]!r}")
            return Answer("rcpt", 501)
        recipient = path[1]
        if not self._read_script(recipient, self._rcpt_script):
            return Answer("rcpt", 555)
        self._scripts.update(self._rcpt_script)
        transaction = self.transaction
        if transaction is None:
            return Answer("rcpt", 503)
        most = self._books.profile.max_recipients
        if most is not None and len(transaction.recipients) >= most:
            return Answer("rcpt", 452)
        if not (recipient.isascii() or transaction.utf8):
            return Answer("rcpt", 553)
        return Answer("rcpt", 250, lambda: transaction.recipients.append(recipient))

    def _data(self) -> Answer:
        if self.transaction is None:
            return Answer("data", 503)
        if not self.transaction.recipients:
            return Answer("data", 554)
        return Answer("data", 354, after=After.BODY)

    def _reset(self) -> None:
        self.transaction = None

    def _read_script(self, address: str, into: dict[str, dict[str, Clause]]) -> bool:
        try:
            clauses = self._books.clauses(address)
        except ScriptError as error:
            self.blame("script", f"{address}: {error}")
            return False
        if clauses:
            into[address] = clauses
        return True
