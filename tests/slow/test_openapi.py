"""Requests that schemathesis generates from /openapi.json: each response conforms to the description.

Up to 200 valid and 200 invalid requests for every route, in process. schemathesis's pytest plugin is off (see
pyproject.toml), because it delays every test run by a second.
"""

import json
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from claudexia.app import create_app
from claudexia.settings import Settings
from tests.campaign.gateway import ReplyingTransport, UpstreamReply
from tests.campaign.judge import body_reply
from tests.helpers.serving import KEY, UPSTREAM_KEY, message_body

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
MODELS = b'{"data": [{"id": "claude-sonnet-5-5", "type": "model", "created_at": "2026-09-28T00:00:00Z"}], "has_more": false}'


def upstream_reply(body: bytes, number: int) -> UpstreamReply:
    if not body:
        return UpstreamReply((MODELS,))
    if json.loads(body).get("stream") is True:
        return body_reply(body, number)
    # Only requests of the Messages API are not streamed: for a message, or for the count of its tokens.
    return UpstreamReply((json.dumps({**json.loads(message_body()), "input_tokens": 7}).encode(),))


APP = create_app(
    Settings(anthropic_api_key=UPSTREAM_KEY, api_keys={"test": KEY}),
    transport=ReplyingTransport(upstream_reply),
)
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP)
OPERATIONS: dict[str, Any] = {each.ok().label: each.ok() for each in cast("Any", SCHEMA).get_all_operations()}
COMPLETIONS = [
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/messages",
    "POST /v1/messages/count_tokens",
    "POST /v1/responses",
]
STORED = [
    "GET /v1/responses/{response_id}",
    "DELETE /v1/responses/{response_id}",
    "GET /v1/responses/{response_id}/input_items",
    "POST /v1/responses/{response_id}/cancel",
]
generated = settings(
    max_examples=200,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_all_routes_are_described() -> None:
    others = ["GET /v1/models", "GET /v1/models/{model}", "GET /v1/health"]
    assert sorted(OPERATIONS) == sorted([*COMPLETIONS, *STORED, *others])


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_response_matches_the_description(name: str, mode: GenerationMode) -> None:
    if mode is GenerationMode.NEGATIVE and name not in COMPLETIONS:
        pytest.skip("nothing of this request can be invalid")

    statuses = set[int]()

    @seed(11)
    @generated
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if mode is GenerationMode.POSITIVE:  # a generated name is hardly ever a model's
            for place in (case.body, case.path_parameters):
                if isinstance(place, dict) and "model" in place:
                    place["model"] = "claude-sonnet-5-5"
        response = case.call(headers=AUTHORIZED)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    check()
    found = 404 if name in STORED else 200  # no response has a name that is made up
    assert statuses >= ({found} if mode is GenerationMode.POSITIVE else {400})


@pytest.mark.parametrize("name", OPERATIONS)
def test_routes_that_need_a_key_refuse_without_one(name: str) -> None:
    """The description names the routes that need a key, and the error without one."""

    @seed(11)
    @settings(generated, max_examples=10)
    @given(case=OPERATIONS[name].as_strategy())
    def check(case: Any) -> None:
        response = case.call(headers={"authorization": ""})
        case.validate_response(response, checks=CHECKS)
        open_route = OPERATIONS[name].definition.raw.get("security") == []
        assert (response.status_code == 401) is not open_route

    check()
