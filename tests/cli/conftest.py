"""A real HTTP server that stands in for the service, and a way to run verbs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from stub_service import TOKEN, Answers, Request, Run

from asyncmail.cli import cli


@pytest.fixture
def service() -> Iterator[Answers]:
    """A server on a port of its own; the token is asked for."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token, accept = self.headers.get("X-API-Token"), self.headers.get("Accept")
            answers.requests.append(
                Request(self.command, self.path, token, accept, json.loads(body) if body else None)
            )
            status, content_type, data = (
                (401, "application/problem+json", b'{"detail":"the token is missing or wrong"}')
                if token != TOKEN
                else answers.replies.pop(0)
            )
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names that the library asks for

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    answers.url = f"http://127.0.0.1:{server.server_port}"
    yield answers
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb in an empty folder with a clean environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_TOKEN", "ASYNCMAIL_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def verb(*args: str, stdin: str | bytes | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(
            cli, list(args), input=stdin, prog_name="asyncmail", catch_exceptions=False
        )
        assert result.exit_code == code, result.output
        return result

    return verb


@pytest.fixture
def call(run: Run, service: Answers, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb against the server."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    monkeypatch.setenv("ASYNCMAIL_SERVER__HOST", host)
    monkeypatch.setenv("ASYNCMAIL_SERVER__PORT", port)
    monkeypatch.setenv("API_TOKEN", TOKEN)
    return run
