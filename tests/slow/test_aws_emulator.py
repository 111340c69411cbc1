"""The runtime and the exec wrapper under AWS's own emulator, which `sam local` uses.

It is a part of aws-sam-cli; AWS_LAMBDA_RIE is its path. It buffers streamed responses, so its response is the
complete payload: prelude, NULs and body.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.runtime_api import rest_event
from tests.helpers.aws_emulator import emulator
from tests.helpers.serving import KEY, Reply, Upstream, serving, sse, text_events
from tests.helpers.waiting import PATIENCE

RIE = os.environ.get("AWS_LAMBDA_RIE", "")
HANDLER = Path(__file__).parents[2] / "handler"
BODY = {"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": "Hi"}]}
STOCK = (sys.executable, "-m", "awslambdaric", "claudexia.main.handler")

pytestmark = pytest.mark.skipif(not RIE, reason="AWS_LAMBDA_RIE does not name AWS's emulator")


@contextmanager
def emulated_function(upstream_url: str = "http://127.0.0.1:9", **environ: str) -> Iterator[str]:
    """The wrapper under the emulator, started as on Lambda. Yields the URL that invokes the function."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(HANDLER),
        "LAMBDA_TASK_ROOT": str(HANDLER),
        "LAMBDA_RUNTIME_DIR": str(HANDLER),
        "_HANDLER": "claudexia.main.handler",
        "AWS_LAMBDA_FUNCTION_NAME": "claudexia",
        "ANTHROPIC_BASE_URL": upstream_url,
        "CLAUDEXIA_API_KEYS": f"test:{KEY}",
        **environ,
    }
    with emulator(RIE, [str(HANDLER / "bootstrap"), *STOCK], env) as url:
        yield url


def post_event(path: str, body: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    return rest_event("POST", path, headers=headers, body=json.dumps(body))


def invoke(url: str, event: object) -> bytes:
    return httpx.post(url, json=event, timeout=PATIENCE, trust_env=False).content


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
def test_the_emulator_accepts_the_runtime(stream: bool) -> None:
    with serving(Upstream()) as upstream, emulated_function(upstream) as url:
        payload = invoke(url, post_event("/v1/chat/completions", {**BODY, "stream": stream}))
        again = invoke(url, rest_event(path="/health"))
    prelude, _, body = payload.partition(bytes(8))
    assert json.loads(prelude)["statusCode"] == 200
    assert body.endswith(b"data: [DONE]\n\n") if stream else b'"content":"Hello there"' in body
    assert again.endswith(bytes(8) + b'{"status":"ok"}')


def test_an_event_that_is_no_http_request_is_a_function_error() -> None:
    with emulated_function() as url:
        error = json.loads(invoke(url, {"detail-type": "Scheduled Event"}))
    assert error["errorType"] == "Function.UnsupportedEventError"


def test_a_broken_stream_ends_with_an_error_frame() -> None:
    with serving(Upstream(Reply([sse(*text_events()[:4])]))) as upstream, emulated_function(upstream) as url:
        payload = invoke(url, post_event("/v1/chat/completions", {**BODY, "stream": True}))
    assert b'data: {"error":' in payload
    assert b"[DONE]" not in payload


@pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
def test_under_sam_local_the_stock_runtime_sends_buffered_responses(stream: bool) -> None:
    with serving(Upstream()) as upstream, emulated_function(upstream, AWS_SAM_LOCAL="true") as url:
        answer = json.loads(invoke(url, post_event("/v1/chat/completions", {**BODY, "stream": stream})))
    assert answer["statusCode"] == 200
    assert answer["body"].endswith("data: [DONE]\n\n") if stream else "Hello there" in answer["body"]
