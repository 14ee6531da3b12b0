"""The REST API as one ASGI application: routes, their protection, and what describes them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from asyncmail.api.account_schemas import AccountPayload
from asyncmail.api.accounts import accounts_router
from asyncmail.api.auth import SCHEMES, TokenCheck
from asyncmail.api.commands import commands_router
from asyncmail.api.docs import docs_router
from asyncmail.api.health import health_router, metrics_router
from asyncmail.api.limits import RequestLimits
from asyncmail.api.messages import messages_router
from asyncmail.api.parts import ApiParts
from asyncmail.api.plugins import plugins_router
from asyncmail.api.problems import Problem, install_problems
from asyncmail.api.schemas import AddMessagesBody, CleanupMessages, DeleteMessages

API_VERSION = "1"  # of the contract, not of the package: probes and pages tell no release
REQUESTS = (AccountPayload, AddMessagesBody, CleanupMessages, DeleteMessages, Problem)
SCHEMAS = "#/components/schemas/{model}"


def create_api(parts: ApiParts) -> FastAPI:
    """Make the application; it holds no state of its own and can be mounted below any path."""
    app = FastAPI(
        title="asyncmail",
        version=API_VERSION,
        description="Mail in by REST, out by SMTP, every outcome reported back.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    check = TokenCheck(parts.server.tokens)
    by_header = [Depends(check.by_header)]
    for router in (messages_router, commands_router, accounts_router, plugins_router):
        app.include_router(router(parts), dependencies=by_header)
    app.include_router(metrics_router(parts), dependencies=[Depends(check.by_header_or_bearer)])
    app.include_router(health_router(parts))
    if parts.server.docs != "off":
        protection = by_header if parts.server.docs == "token" else []
        app.include_router(docs_router(app), dependencies=protection)
    install_problems(app)
    app.add_middleware(RequestLimits, max_body_bytes=parts.server.max_body_bytes)
    app.openapi = lambda: _document(app, parts.transports)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI, transports: Collection[str]) -> dict[str, Any]:
    """The OpenAPI document, made once, with the schemas of the bodies that endpoints read themselves."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        _, definitions = models_json_schema(
            [(model, "validation") for model in REQUESTS], ref_template=SCHEMAS
        )
        components = document.setdefault("components", {})
        components["securitySchemes"] = SCHEMES
        schemas = components.setdefault("schemas", {})
        schemas.update({**definitions.get("$defs", {}), **schemas})
        schemas["AccountPayload"]["properties"]["transport"]["enum"] = sorted(transports)
        app.openapi_schema = document
    return app.openapi_schema
