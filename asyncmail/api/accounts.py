"""The smarthosts and how they do. Passwords come in here and never go out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from asyncmail.api.account_schemas import AccountPayload, AccountsReply, AccountView
from asyncmail.api.bodies import read_model
from asyncmail.api.parts import ApiParts
from asyncmail.api.problems import WrongShape
from asyncmail.api.routes import READS, WRITES, add_route, json
from asyncmail.api.schemas import Ok
from asyncmail.model import DEFAULT_TENANT, Account
from asyncmail.store.base import Lane


def accounts_router(parts: ApiParts) -> APIRouter:
    """``/account`` and ``/accounts``."""
    router = APIRouter(tags=["accounts"])
    store, scheduler = parts.store, parts.scheduler

    async def put_account(request: Request) -> Response:
        """Register an account, or replace it as a whole.

        Only an absent `password` keeps the stored one; null or "" clears it.
        """
        payload = await read_model(request, AccountPayload)
        if payload.transport not in parts.transports:
            raise WrongShape.at("#/transport", "Input should be one of the configured transports")
        account = payload.account(DEFAULT_TENANT)
        await store.put_account(account, keep_password=not payload.has_password)
        await scheduler.account_changed(Lane(DEFAULT_TENANT, account.id))
        return json(Ok())

    async def list_accounts() -> Response:
        """All accounts with their state, without their passwords."""
        accounts = await store.accounts(DEFAULT_TENANT)
        return json({"ok": True, "accounts": [_view(parts, account) for account in accounts]})

    async def delete_account(account_id: str) -> Response:
        """Forget an account. Its waiting messages become reported errors.

        An account that is not there is no error: it is gone, as wished.
        """
        lane = Lane(DEFAULT_TENANT, account_id)
        if await store.delete_account(lane):
            await scheduler.account_changed(lane)
        return json(Ok())

    add_route(
        router,
        "POST",
        "/account",
        put_account,
        name="put_account",
        reply=Ok,
        errors=WRITES,
        body=AccountPayload,
    )
    add_route(router, "GET", "/accounts", list_accounts, name="list_accounts", reply=AccountsReply)
    add_route(
        router,
        "DELETE",
        "/account/{account_id:path}",
        delete_account,
        name="delete_account",
        reply=Ok,
        errors=(*READS, 422),
    )
    return router


def _view(parts: ApiParts, account: Account) -> dict[str, Any]:
    state = parts.scheduler.account_state(Lane(account.tenant_id, account.id))
    return AccountView.of(account, state.state, state.last_error).model_dump(mode="json")
