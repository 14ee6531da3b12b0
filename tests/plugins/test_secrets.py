"""Secrets stay inside, in whatever form they try to leave."""

from __future__ import annotations

import base64
import io
import json
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


@pytest.mark.parametrize("user", ["", "m", "me", "me@", "me@shop.test"])
@pytest.mark.parametrize("secret", ["abcd", "hunter2", "s3cr t/ü", "x" * 100])
def test_a_secret_is_masked_in_base64_whatever_stands_before_and_behind_it(
    user: str, secret: str
) -> None:
    registry = SecretRegistry()
    registry.register(secret)
    for text in (f"\0{user}\0{secret}", f"{user}:{secret}", f"{user}:{secret}@host"):
        encoded = base64.b64encode(text.encode()).decode()
        masked = registry.mask(f"AUTH {encoded} refused")
        assert "***" in masked
        left = masked.removeprefix("AUTH ").removesuffix(" refused").partition("***")[2]
        assert len(left.rstrip("=")) <= len(base64.b64encode(b"@host")) + 2


def test_the_beginning_of_a_secret_is_masked_where_a_text_was_cut(secrets: SecretRegistry) -> None:
    secrets.register("hunter2-and-more")
    assert secrets.mask("535 no: hunter2-an... (check it)") == "535 no: ***... (check it)"
    assert secrets.mask("a... hunt... b") == "a... ***... b"
    assert secrets.mask("huhunte...") == "hu***..."
    for harmless in ("hun...", "the hunter... is", "hunt and more...", "wait..."):
        expected = harmless.replace("hunter...", "***...")
        assert secrets.mask(harmless) == expected


def test_quotes_and_blanks_hide_nothing(secrets: SecretRegistry) -> None:
    secret = 'it\'s  "quoted"\\'
    secrets.register(secret)
    texts = (secret, repr(secret), json.dumps(secret), " ".join(secret.split()), repr([secret]))
    for text in texts:
        masked = secrets.mask(text)
        assert "***" in masked
        assert "quoted" not in masked


def test_among_many_secrets_each_is_still_found(secrets: SecretRegistry) -> None:
    many = [f"{n:04}-password" for n in range(500)]
    for secret in many:
        secrets.register(secret)
    assert all(secrets.mask(f"535 {secret}!") == "535 ***!" for secret in many)
    assert secrets.mask("250 2.0.0 ok: queued as 4F1B") == "250 2.0.0 ok: queued as 4F1B"
    assert secrets.mask("0499-pass...") == "***..."


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
