"""Reports to the Runtime API when an app fails before, during and after its response."""

import base64
import json
from typing import Any

import pytest

from tests.fakes.runtime_api import FakeRuntimeAPI, rest_event
from tests.helpers.runtime import app_sending, body, post_of_one_invocation, start, with_runtime


class Version2Error(Exception):
    """What its class says of it."""


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)
    raise Version2Error("a prompt that must not be told")


async def raising_deeply(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"1", True))
    deep(300)


def test_a_failure_in_the_middle_is_reported_in_valid_trailers() -> None:
    received = post_of_one_invocation(raising_deeply)
    assert received.payload == b"1"
    assert received.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.VersionError"
    error_body = base64.b64decode(received.trailers["Lambda-Runtime-Function-Error-Body"])
    assert sum(len(name) + len(value) + 4 for name, value in received.trailers.items()) < 4000
    assert json.loads(error_body).keys() == {"errorMessage", "errorType", "stackTrace"}
    assert b"a prompt" not in error_body
    assert b"deep" in error_body


BEFORE = [
    pytest.param([RuntimeError("a prompt")], "Function.RuntimeError", id="at-once"),
    pytest.param([start(), RuntimeError("a prompt")], "Function.RuntimeError", id="after-start"),
    pytest.param([], "Function.IncompleteResponseError", id="nothing-sent"),
    pytest.param([start()], "Function.IncompleteResponseError", id="only-start"),
    pytest.param([start(200, ("x", "y" * 17_000)), body()], "Function.PreludeTooLargeError", id="huge-headers"),
]


@pytest.mark.parametrize(("steps", "error_type"), BEFORE)
def test_a_failure_before_the_response_is_an_error(steps: list[Any], error_type: str) -> None:
    received = post_of_one_invocation(app_sending(*steps))
    assert received.path.endswith("/request-0/error")
    assert received.headers["lambda-runtime-function-error-type"] == [error_type]
    assert json.loads(received.body)["errorType"] == error_type
    assert b"a prompt" not in received.body


def test_an_app_that_stops_in_the_middle_is_a_failure() -> None:
    received = post_of_one_invocation(app_sending(start(), body(b"1", True)))
    assert received.trailers["Lambda-Runtime-Function-Error-Type"] == "Function.IncompleteResponseError"


def test_an_exception_after_a_complete_response_is_ignored() -> None:
    received = post_of_one_invocation(app_sending(start(), body(b"1"), RuntimeError()))
    assert (received.payload, received.trailers) == (b"1", {})


@pytest.mark.parametrize("event", [{}, [], "text", 5, None, {"Records": [{"eventSource": "aws:sqs"}]}])
def test_an_event_that_is_no_http_request_is_an_error(event: object) -> None:
    received = with_runtime(app_sending(), lambda fake: fake.give(event))
    assert received.path.endswith("/error")
    error_body = json.loads(received.body)
    assert error_body["errorType"] == "Function.UnsupportedEventError"
    assert "HTTP requests" in error_body["errorMessage"]


@pytest.mark.parametrize("status", [202, 400, 410, 413, 500])
def test_the_next_invocation_follows_any_response_of_the_api(status: int) -> None:
    async def work(fake: FakeRuntimeAPI) -> list[bytes]:
        return [(await fake.give(rest_event())).payload for _ in range(3)]

    assert with_runtime(app_sending(start(), body(b"1")), work, status=status) == [b"1"] * 3
