"""Kills a service while mail goes through it, and judges it by everybody's ledgers.

Four books are kept apart: what the client was told, what the mail server took, what the application was
reported, and when which process lived. The service's own history is asked for one thing only: whether
it names the reason of a second copy, as the ledgers do.

``python -m asyncmail.testing.crash --kills 60 --seed 1`` runs it; the same seed draws the same messages,
moments and faults.
"""

from asyncmail.testing.crash.kills import Kills
from asyncmail.testing.crash.sweep import CrashAt, Missed
from asyncmail.testing.crash.verdict import Verdict

__all__ = ["CrashAt", "Kills", "Missed", "Verdict"]
