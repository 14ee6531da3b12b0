"""``asyncmail demo``: the first thing a newcomer runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from asyncmail.demo import Tally, _problems
from asyncmail.testing.real_service import ASYNCMAIL, PATIENCE

PIPES = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
RIGHT = {
    "accepted": 10,
    "rejected": 3,
    "delivered": 8,
    "refused": 1,
    "held": 1,
    "sent_twice_explained": 1,
    "reports_acknowledged": 10,
}


async def test_the_demo_ends_with_0_and_its_sums_are_right(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*ASYNCMAIL, "demo", "--exit", "--json", "--port", "0", "--messages", "1000"),
        cwd=tmp_path,
        **PIPES,
    )
    async with asyncio.timeout(4 * PATIENCE):
        stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    assert b"Traceback" not in stderr
    figures = json.loads(stdout)
    assert figures["problems"] == []
    assert figures["accepted"] > 1000
    assert figures["accepted"] == sum(figures[name] for name in ("delivered", "refused", "held"))
    assert figures["reports_acknowledged"] == figures["accepted"]
    wanted = {"held": 1, "lost": 0, "sent_twice_explained": 1, "sent_twice_unexplained": 0}
    assert {name: figures[name] for name in wanted} == wanted
    assert figures["refused"] > 20, "permanent refusals, and the rate limit"
    assert os.listdir(tmp_path) == []


async def test_without_exit_it_goes_on_serving_until_ctrl_c(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*ASYNCMAIL, "demo", "--port", "0", "--messages", "20"), cwd=tmp_path, **PIPES
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(2 * PATIENCE):
            words = ""
            while "goes on at" not in words:
                words += (await process.stderr.readline()).decode()
            found = re.search(r"goes on at (http://[^/]+)/docs", words)
            assert found
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{found[1]}/health")).json() == {"status": "ok"}
            process.send_signal(signal.SIGINT)
            stdout, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0
    assert "Every sum is right." in stdout.decode()


def test_right_sums_are_no_problem() -> None:
    assert list(_problems(Tally(**RIGHT), 13, set())) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"accepted": 9}, "13 messages were handed in"),
        ({"lost": 1}, "1 accepted messages were neither delivered nor reported"),
        ({"reports_acknowledged": 9}, "1 results were never reported"),
        ({"held": 0}, "0 messages were held, not 1"),
        ({"sent_twice_explained": 0}, "0 messages were sent twice with an explanation"),
        ({"sent_twice_unexplained": 1}, "1 messages were sent twice without an explanation"),
    ],
)
def test_a_wrong_sum_is_a_problem(wrong: dict[str, int], words: str) -> None:
    problems = list(_problems(Tally(**{**RIGHT, **wrong}), 13, set()))
    assert any(words in problem for problem in problems)


def test_mail_of_strangers_is_a_problem() -> None:
    (problem,) = _problems(Tally(**RIGHT), 13, {"x"})
    assert "never accepted" in problem
