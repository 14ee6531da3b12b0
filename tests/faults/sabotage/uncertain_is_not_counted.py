"""A sabotaged ``asyncmail``: a reply that never came after the dot is taken for "not sent"."""

from __future__ import annotations

from asyncmail import outcome
from asyncmail.__main__ import main
from asyncmail.model import Disposition
from asyncmail.outcome import Phase, Verdict
from asyncmail.smtp import transaction

_classify = outcome.classify


def _hopeful(phase: Phase, code: int | None, *, reused: bool = False) -> Verdict:
    verdict = _classify(phase, code, reused=reused)
    if verdict.disposition is Disposition.UNCERTAIN:
        return Verdict(Disposition.TEMPORARY)
    return verdict


if __name__ == "__main__":
    transaction.classify = _hopeful
    main()
