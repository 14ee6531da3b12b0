"""How the entry that spoils a list is found, and that nothing else is blamed."""

from __future__ import annotations

import pytest

from asyncmail.model import Report
from asyncmail.scheduler.sift import FIRST_PUT_OFF, LONGEST_PUT_OFF, SAME_LIST_FAILURES, Sifter


def reports(*keys: int) -> list[Report]:
    return [Report(k, "default", f"m{k}", "shop", 2, 1, None, None, None) for k in keys]


class Receiver:
    """Fails every list with a poisonous key in it; counts the calls it got."""

    def __init__(self, keys: int, poison: set[int], *, refuses: bool, batch: int = 1000) -> None:
        self.pending = reports(*range(keys))
        self.poison = poison
        self.refuses = refuses
        self.sifter = Sifter(batch)
        self.calls = 0
        self.put_off: set[int] = set()

    def drain(self, most_calls: int) -> None:
        """Call until nothing is left to offer."""
        while self.pending:
            assert self.calls < most_calls, f"{len(self.pending)} left after {self.calls} calls"
            batch = self.sifter.choose(self.pending[: self.sifter.wish])
            self.calls += 1
            gone = set()
            if self.poison.isdisjoint(report.key for report in batch):
                self.sifter.passed(batch, batch)
                gone = {report.key for report in batch}
            elif self.sifter.failed(batch, refused=self.refuses).put_off is not None:
                gone = {batch[0].key}
                self.put_off |= gone
            self.pending = [report for report in self.pending if report.key not in gone]


@pytest.mark.parametrize("position", [0, 1, 499, 500, 700, 999])
def test_one_poisonous_entry_among_a_thousand_is_found_in_few_calls(position: int) -> None:
    receiver = Receiver(1000, {position}, refuses=True)
    receiver.drain(40)
    assert receiver.put_off == {position}


def test_a_list_that_fails_without_being_refused_is_offered_three_times_before_it_is_halved() -> (
    None
):
    receiver = Receiver(1000, {300}, refuses=False)
    receiver.drain(40 * SAME_LIST_FAILURES)
    assert receiver.put_off == {300}
    assert receiver.calls > 10 * SAME_LIST_FAILURES


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("poison", [{0, 1, 2, 3}, {5, 250, 251, 999}, set(range(90, 120))])
def test_exactly_the_poisonous_entries_are_put_off(poison: set[int], refuses: bool) -> None:
    receiver = Receiver(1000, poison, refuses=refuses)
    receiver.drain(1000)
    assert receiver.put_off == poison


def test_a_receiver_that_takes_short_lists_only_gets_short_lists() -> None:
    sifter = Sifter(1000)
    pending, calls = reports(*range(5000)), 0
    while pending:
        batch = sifter.choose(pending[: sifter.wish])
        calls += 1
        if len(batch) > 100:
            assert sifter.failed(batch, refused=True).put_off is None
            continue
        sifter.passed(batch, batch)
        pending = pending[len(batch) :]
    assert calls < 150


def test_an_entry_is_not_blamed_while_nothing_gets_through() -> None:
    sifter = Sifter(1000)
    pending = reports(*range(5))
    for _ in range(100):
        batch = sifter.choose(pending)
        assert sifter.failed(batch, refused=False).put_off is None


def test_after_an_outage_lists_grow_again() -> None:
    sifter = Sifter(1000)
    pending = reports(*range(20))
    for _ in range(30):
        sifter.failed(sifter.choose(pending), refused=False)
    sizes = []
    while pending:
        batch = sifter.choose(pending)
        sifter.passed(batch, batch)
        sizes.append(len(batch))
        pending = [report for report in pending if report not in batch]
    pending = reports(*range(100, 3000))
    while pending:
        batch = sifter.choose(pending[: sifter.wish])
        sifter.passed(batch, batch)
        sizes.append(len(batch))
        pending = pending[len(batch) :]
    assert max(sizes) > 500


def test_the_same_entry_is_put_off_for_longer_each_time() -> None:
    sifter = Sifter(10)
    bad, good = reports(1), reports(2)
    seconds = []
    for _ in range(10):
        sifter.passed(good, good)
        put_off = sifter.failed(sifter.choose(bad), refused=True).put_off
        assert put_off is not None
        seconds.append(put_off)
    assert seconds[:3] == [FIRST_PUT_OFF, 2 * FIRST_PUT_OFF, 4 * FIRST_PUT_OFF]
    assert seconds[-1] == LONGEST_PUT_OFF


def test_a_known_suspect_does_not_spoil_the_lists_of_others() -> None:
    sifter = Sifter(10)
    sifter.failed(reports(1), refused=True)
    sifter.passed(reports(2), reports(2))
    assert [report.key for report in sifter.choose(reports(1, 3, 4))] == [3, 4]
    assert [report.key for report in sifter.choose(reports(1))] == [1]


def test_no_list_has_an_id_twice() -> None:
    twins = [
        Report(1, "default", "m", "shop", 2, 1, None, None, None),
        Report(2, "other", "m", "shop", 2, None, 1, "no", None),
        Report(3, "default", "n", "shop", 2, 1, None, None, None),
    ]
    assert [report.key for report in Sifter(10).choose(twins)] == [1, 3]


def test_suspects_do_not_hide_others_from_a_limited_look_at_the_store() -> None:
    sifter = Sifter(1)
    pending = reports(*range(10))
    for _ in range(4 * SAME_LIST_FAILURES):
        sifter.failed(sifter.choose(pending[: sifter.wish]), refused=False)
    assert [report.key for report in sifter.choose(pending[: sifter.wish])] == [4]
