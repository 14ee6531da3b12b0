"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from asyncmail.cli.service import Service

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Configuration file; else ASYNCMAIL_CONFIG, else asyncmail.toml here.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_service(function: Callable[..., None]) -> Callable[..., None]:
    """Give the verb a ``service``: the running one, by configuration or by ``--url``, ``--token``."""

    @config_option
    @click.option("--url", metavar="URL", help="The running service; else [server] host and port.")
    @click.option(
        "--token", metavar="TOKEN", help="Its token; else [server] api_token or API_TOKEN."
    )
    @wraps(function)
    def verb(*, config: Path | None, url: str | None, token: str | None, **more: Any) -> None:
        with Service.find(config, url, token) as service:
            function(service=service, **more)

    return verb
