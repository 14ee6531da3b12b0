"""Secrets stay inside, in whatever form they try to leave."""

from __future__ import annotations

import base64
import io
import logging

import pytest

from asyncmail.plugins.secrets import SecretFilter, SecretRegistry


@pytest.fixture
def secrets() -> SecretRegistry:
    registry = SecretRegistry()
    registry.register("s3cr t/ü\n")
    return registry


@pytest.mark.parametrize(
    "form",
    [
        "s3cr t/ü\n",
        "s3cr%20t%2F%C3%BC%0A",
        "s3cr t/\\xfc\\n",
        base64.b64encode("s3cr t/ü\n".encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_the_forms_it_takes_on_the_way(
    secrets: SecretRegistry, form: str
) -> None:
    assert secrets.mask(f"user:{form}@host") in {"user:***@host", "user:***==@host"}


def test_a_secret_that_begins_another_leaves_no_tail(secrets: SecretRegistry) -> None:
    secrets.register("hunter2")
    secrets.register("hunter2-and-more")
    assert secrets.mask("hunter2-and-more, hunter2") == "***, ***"


@pytest.mark.parametrize("nothing", [None, "", "abc"])
def test_what_is_no_secret_garbles_nothing(secrets: SecretRegistry, nothing: str | None) -> None:
    secrets.register(nothing)
    assert secrets.mask("abc None") == "abc None"


@pytest.fixture
def output(secrets: SecretRegistry) -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(secrets: SecretRegistry, output: io.StringIO) -> logging.Logger:
    logger = logging.Logger("secretive")
    handler = logging.StreamHandler(output)
    handler.addFilter(SecretFilter(secrets))
    logger.addHandler(handler)
    secrets.register("hunter2")
    return logger


def test_a_log_line_is_masked_with_its_arguments(
    logger: logging.Logger, output: io.StringIO
) -> None:
    logger.warning("login of %s with %s", "me", "hunter2")
    logger.warning("100 %% of %s", "it")
    assert output.getvalue() == "login of me with ***\n100 % of it\n"


def test_a_traceback_is_masked(logger: logging.Logger, output: io.StringIO) -> None:
    try:
        raise ValueError("hunter2 is wrong")
    except ValueError:
        logger.exception("refused")
    text = output.getvalue()
    assert "refused" in text
    assert "ValueError: *** is wrong" in text
    assert "hunter2" not in text


def test_a_log_call_with_the_wrong_arguments_harms_nobody(
    logger: logging.Logger, output: io.StringIO
) -> None:
    logger.warning("%d of %d", "hunter2")
    assert output.getvalue() == "%d of %d ('***',)\n"
