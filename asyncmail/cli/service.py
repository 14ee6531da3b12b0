"""The running service as the verbs see it: its REST API over HTTP, failures in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from asyncmail.errors import AsyncmailError, ConfigurationError

if TYPE_CHECKING:
    import httpx

    from asyncmail.config import Settings

TIMEOUT_SECONDS = 60.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to call it, not to listen


class ServiceError(AsyncmailError):
    """The service does not answer, or refuses."""


class Service:
    """A client of one service; every method raises ``ServiceError``."""

    def __init__(self, url: str, token: str = "") -> None:
        import httpx

        from asyncmail.config import is_loopback

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"{url!r} is not the URL of a service", hint="for example http://127.0.0.1:8000"
            )
        self.url = url
        self._client = httpx.Client(
            base_url=url,
            headers={"X-API-Token": token} if token else {},
            timeout=TIMEOUT_SECONDS,
            trust_env=not is_loopback(parts.hostname),  # a proxy cannot reach our own loopback
        )

    @classmethod
    def find(cls, config: Path | None, url: str | None, token: str | None) -> Self:
        """The service that the configuration describes; ``url`` and ``token`` go before it."""
        from asyncmail.config import load_settings

        settings = load_settings(config)
        if token is None:
            token = settings.server.api_token.get_secret_value()
        return cls(url or _url(settings), token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, *path: str, **params: str | int | bool | None) -> Any:
        return self._call("GET", path, params={k: v for k, v in params.items() if v is not None})

    def post(self, *path: str, json: Any) -> Any:
        return self._call("POST", path, json=json)

    def delete(self, *path: str) -> Any:
        return self._call("DELETE", path)

    def lines(self, *path: str, **params: str | int | bool | None) -> Iterator[str]:
        """An answer as NDJSON, line by line as it arrives."""
        given = {k: v for k, v in params.items() if v is not None}
        headers = {"Accept": "application/x-ndjson"}
        with (
            self._failures_in_words(),
            self._client.stream("GET", _path(path), params=given, headers=headers) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise _refusal(response)
            yield from response.iter_lines()

    def _call(self, method: str, path: tuple[str, ...], **more: Any) -> Any:
        with self._failures_in_words():
            response = self._client.request(method, _path(path), **more)
            if response.status_code != 200:
                raise _refusal(response)
            try:
                return response.json()
            except ValueError:
                raise ServiceError(
                    f"{self.url} answered something that is not JSON",
                    hint="is this the address of asyncmail?",
                ) from None

    @contextmanager
    def _failures_in_words(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.TimeoutException as error:
            raise ServiceError(
                f"{self.url} did not answer within {TIMEOUT_SECONDS:g} s",
                hint="repeating the command is safe: ids that are known are not sent twice",
            ) from error
        except httpx.ConnectError as error:
            raise ServiceError(
                f"no service answers at {self.url}: {error}",
                hint="start it with `asyncmail serve`, or name another with --url",
            ) from error
        except httpx.HTTPError as error:
            raise ServiceError(f"the connection to {self.url} failed: {error}") from error


def _path(parts: tuple[str, ...]) -> str:
    """Each part is one step of the path, whatever characters it holds."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _url(settings: Settings) -> str:
    host = _EVERYWHERE.get(settings.server.host, settings.server.host)
    return (
        f"http://[{host}]:{settings.server.port}"
        if ":" in host
        else (f"http://{host}:{settings.server.port}")
    )


def _refusal(response: httpx.Response) -> ServiceError:
    """What the service says of its refusal (RFC 9457), or as much as can be told."""
    status, where = response.status_code, response.url.path
    try:
        body = response.json()
    except ValueError:
        body = None
    problem: Mapping[str, Any] = body if isinstance(body, dict) else {}
    detail = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    errors = problem.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict) and str(error.get("detail")) not in detail:
            detail += f"; {error.get('pointer', '')}: {error.get('detail')}"
    return ServiceError(f"{where} answered {status}: {detail}", hint=_HINTS.get(status, ""))


_HINTS = {
    401: "give the right token with --token, API_TOKEN or [server] api_token",
    503: "the service takes no work now; repeat the command later",
}
