"""The way to the service: where it is, with which token, and what its failures are called."""

from __future__ import annotations

import socket

import pytest
from stub_service import TOKEN, Answers, Run


def test_url_and_token_go_before_the_configuration(run: Run, service: Answers) -> None:
    service.reply({"ok": True, "accounts": []})
    run("accounts", "list", "--url", service.url, "--token", TOKEN)
    assert service.requests[0].token == TOKEN


def test_a_prefix_in_the_url_is_kept(run: Run, service: Answers) -> None:
    service.reply({"ok": True, "accounts": []})
    run("accounts", "list", "--url", f"{service.url}/mail/", "--token", TOKEN)
    assert service.requests[0].path == "/mail/accounts"


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    call: Run, service: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    service.reply({"ok": True, "accounts": []})
    call("accounts", "list")
    assert len(service.requests) == 1


def test_a_service_that_listens_everywhere_is_called_on_loopback(
    call: Run, service: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCMAIL_SERVER__HOST", "0.0.0.0")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    service.reply({"ok": True, "accounts": []})
    call("accounts", "list")
    assert len(service.requests) == 1


def test_a_wrong_token_is_named(run: Run, service: Answers) -> None:
    stderr = run("accounts", "list", "--url", service.url, "--token", "wrong", code=1).stderr
    assert "/accounts answered 401: the token is missing or wrong" in stderr
    assert "hint: give the right token" in stderr
    assert "wrong\n" in stderr
    assert "Traceback" not in stderr


def test_a_service_that_is_not_there_is_named(run: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        stderr = run("accounts", "list", "--url", url, code=1).stderr
    assert f"no service answers at {url}" in stderr
    assert "asyncmail serve" in stderr


def test_every_fault_of_a_request_is_told_once(call: Run, service: Answers) -> None:
    faults = [
        {"detail": "Input should be a number", "pointer": "#/port"},
        {"detail": "host is missing", "pointer": "#/host"},
    ]
    detail = "the request has the wrong shape: #/port: Input should be a number"
    service.reply({"detail": detail, "errors": faults}, status=422)
    stderr = call("accounts", "add", "a", code=1).stderr
    assert stderr.count("Input should be a number") == 1
    assert "; #/host: host is missing" in stderr


@pytest.mark.parametrize("body", [b"<html>", b"\xff"])
def test_an_answer_that_is_not_ours_is_named(call: Run, service: Answers, body: bytes) -> None:
    service.reply(body, content_type="text/html")
    assert "answered something that is not JSON" in call("accounts", "list", code=1).stderr
    service.reply(body, status=502)
    assert "answered 502: Bad Gateway" in call("accounts", "list", code=1).stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://h", "http://"])
def test_what_is_not_a_url_is_refused(run: Run, url: str) -> None:
    assert "is not the URL of a service" in run("accounts", "list", "--url", url, code=1).stderr
