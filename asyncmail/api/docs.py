"""The documentation pages, whole without internet: every asset comes from an installed package.

A content security policy keeps the pages' own scripts from asking elsewhere (ReDoc shows a picture from
its maker's site, Swagger UI a badge from a validator).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

ASSETS = Path(fastapi_offline.__file__).parent / "static"
ASSET_NAMES = frozenset(
    {"favicon.png", "redoc.standalone.js", "swagger-ui-bundle.js", "swagger-ui.css"}
)
POLICY = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'"
}


def docs_router(app: FastAPI) -> APIRouter:
    """``/docs``, ``/redoc``, ``/openapi.json`` and what they load, under any path prefix."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    async def openapi(request: Request) -> Response:
        document: dict[str, Any] = app.openapi()
        if prefix := _prefix(request):
            document = {**document, "servers": [{"url": prefix}]}
        return Response(to_json(document), media_type="application/json")

    @router.get("/docs")
    async def swagger_ui(request: Request) -> Response:
        prefix = _prefix(request)
        page = get_swagger_ui_html(
            title=f"{app.title}: REST API",
            openapi_url=f"{prefix}/openapi.json",
            swagger_js_url=f"{prefix}/docs/assets/swagger-ui-bundle.js",
            swagger_css_url=f"{prefix}/docs/assets/swagger-ui.css",
            swagger_favicon_url=f"{prefix}/docs/assets/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},
        )
        page.headers.update(POLICY)
        return page

    @router.get("/redoc")
    async def redoc(request: Request) -> Response:
        prefix = _prefix(request)
        page = get_redoc_html(
            title=f"{app.title}: REST API",
            openapi_url=f"{prefix}/openapi.json",
            redoc_js_url=f"{prefix}/docs/assets/redoc.standalone.js",
            redoc_favicon_url=f"{prefix}/docs/assets/favicon.png",
            with_google_fonts=False,
        )
        page.headers.update(POLICY)
        return page

    @router.get("/docs/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in ASSET_NAMES:
            raise HTTPException(404, "Not Found")
        return FileResponse(ASSETS / name, headers={"Cache-Control": "max-age=86400"})

    return router


def _prefix(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")
