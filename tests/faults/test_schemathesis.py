"""Requests made up from the OpenAPI document, good and bad ones, against the real service.

Schemathesis knows the document and nothing else; it finds where the two disagree. The run is the same one
every time: examples are derived from the document alone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from asyncmail.testing.real_service import RealService

TOKEN = "a-token-for-schemathesis"
EXAMPLES = 25  # a phase and operation
SECONDS = 240.0  # for the run on a busy machine; a third of that is usual

CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "ignored_auth"),
    *("response_headers_conformance", "response_schema_conformance", "negative_data_rejection"),
    *("positive_data_acceptance", "missing_required_header", "unsupported_method"),
    *("allow_header_conformance", "use_after_free", "ensure_resource_availability"),
    *("object_level_authorization", "errors_have_one_form", "each_message_is_queued_or_rejected"),
)

CONFIG = f"""
hooks = "openapi_hooks.py"
headers = {{ X-API-Token = "{TOKEN}" }}
continue-on-failure = true
color = false
max-failures = 20
warnings = false

[generation]
deterministic = true
max-examples = {EXAMPLES}

[checks]
{"".join(f"{name}.enabled = true{chr(10)}" for name in CHECKS)}
negative_data_rejection.expected-statuses = ["4xx"]
positive_data_acceptance.expected-statuses = ["2xx", 404, 413]

[[operations]]
include-operation-id = "add_messages"
checks.negative_data_rejection.expected-statuses = [200, "4xx"]
"""


async def test_the_service_does_what_its_document_says_and_no_request_breaks_it(
    service: RealService,
) -> None:
    service.config["server"]["api_token"] = TOKEN
    await service.start()
    service.api.headers["X-API-Token"] = TOKEN
    await service.account(9)
    hooks = Path(__file__).with_name("openapi_hooks.py")
    (service.folder / hooks.name).write_text(hooks.read_text())
    (service.folder / "schemathesis.toml").write_text(CONFIG)
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
        cwd=service.folder,
        env={**os.environ, "PYTHONPATH": str(service.folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        output, _ = await run.communicate()
    said = "\n".join(line[:500] for line in output.decode(errors="replace").splitlines())
    assert run.returncode == 0, said
    assert "17 selected / 17 total" in said, said
    assert not [line for line in service.log if "Traceback" in line or "[error" in line]
    assert (await service.get("/health")) == {"status": "ok"}
