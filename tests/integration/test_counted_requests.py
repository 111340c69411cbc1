"""Metrics: each API that generates answers is counted, with its tokens and its cost; the other routes are not."""

import json
from typing import Any

import httpx
import pytest

from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.apis import CHAT, MESSAGES, RESPONSES, Api
from tests.helpers.hosts import hosts_gateway
from tests.helpers.serving import KEY

TEXT = Api("/completions", {"model": CHAT.body["model"], "prompt": "Hi"})
GENERATING = {"chat": CHAT, "completions": TEXT, "responses": RESPONSES, "messages": MESSAGES}


def request_lines(output: str) -> list[dict[str, Any]]:
    """The metric lines of requests, of all keys and hosts together."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]
    return [line for line in lines if "OutputTokens" in line]


@pytest.mark.parametrize("api", GENERATING.values(), ids=GENERATING)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_request_that_generates_is_counted(
    api: Api, stream: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with hosts_gateway({"anthropic": FakeAnthropic()}, metrics=True) as url:
        answer = httpx.post(url + api.path, json={**api.body, "stream": stream}, headers={"api-key": KEY})
        assert answer.status_code == 200, answer.text
    (line,) = request_lines(capsys.readouterr().out)
    assert (line["Requests"], line["Errors"], line["model"]) == ([1], [0], api.body["model"])
    assert min(line["OutputTokens"][0], line["Cost"][0]) > 0


@pytest.mark.parametrize("path", ["/models", "/health", "/responses/resp_1", "/responses/resp_1/input_items"])
def test_other_requests_are_not_counted(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with hosts_gateway({"anthropic": FakeAnthropic()}, metrics=True) as url:
        httpx.get(url + path, headers={"api-key": KEY})
    assert not request_lines(capsys.readouterr().out)
