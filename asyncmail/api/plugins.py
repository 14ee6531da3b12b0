"""What is plugged in: loaded, failed or disabled."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from asyncmail.api.parts import ApiParts
from asyncmail.api.routes import add_route, json
from asyncmail.api.schemas import PluginsReply, PluginView
from asyncmail.plugins.manager import PluginInfo


def plugins_router(parts: ApiParts) -> APIRouter:
    """``/plugins``."""
    router = APIRouter(tags=["plugins"])

    async def list_plugins() -> Response:
        """Every plugin that was found, and what became of it."""
        return json(PluginsReply(plugins=[_view(info) for info in parts.plugins.listing()]))

    add_route(router, "GET", "/plugins", list_plugins, name="list_plugins", reply=PluginsReply)
    return router


def _view(info: PluginInfo) -> PluginView:
    """Without the traceback, which is in the log: it tells paths."""
    return PluginView(
        name=info.name,
        package=info.package,
        version=info.version,
        status=info.status.value,
        kinds={kind: list(names) for kind, names in info.kinds.items()},
        error=info.error,
    )
