"""What Schemathesis cannot know of this API; loaded by it, see ``test_schemathesis.py``."""

from __future__ import annotations

from typing import Any

import schemathesis

ERROR_BYTES = 65_536


def strict(value: Any) -> Any:
    """JSON Schema calls 1.0 an integer; this API is strict about types, and says so."""
    if isinstance(value, dict):
        return {name: strict(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [strict(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    return strict(body)


@schemathesis.check
def errors_have_one_form(context: Any, response: Any, case: Any) -> None:
    """RFC 9457, short, with a request id."""
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == ["application/problem+json"]
    assert len(response.content) <= ERROR_BYTES
    assert response.json()["request_id"] == response.headers["x-request-id"][0]


@schemathesis.check
def each_message_is_queued_or_rejected(context: Any, response: Any, case: Any) -> None:
    """Why ``add_messages`` may answer 200 to what its schema forbids: each message is judged alone."""
    if (
        case.operation.definition.raw.get("operationId") == "add_messages"
        and response.status_code == 200
    ):
        answer = response.json()
        assert answer["queued"] + len(answer["rejected"]) == len(case.body["messages"])
