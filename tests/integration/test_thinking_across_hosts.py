"""Thinking that one host signed is not sent to another one, which would refuse it."""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from claudexia.storage.memory import MemoryTable
from tests.fakes.anthropic.server import FakeAnthropic
from tests.fakes.hosts import ENVIRONMENT, FakeHost
from tests.helpers.hosts import hosts_gateway
from tests.helpers.serving import KEY, OTHER_KEY

Message = MutableMapping[str, Any]
THINKING = ("thinking", "redacted_thinking")
FOREIGN, REFUSED = "another host signed this thinking", "the upstream refused the replayed thinking"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PROMPT = "weather [rounds=2]"


class Switch:
    """`app`, or while it is `down` the error of an overloaded host that asks to wait for a millisecond."""

    def __init__(self, app: Any) -> None:
        self.app, self.down = app, False

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if not self.down or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        pairs = [(b"content-type", b"application/json"), (b"retry-after-ms", b"1")]
        await send({"type": "http.response.start", "status": 503, "headers": pairs})
        await send({"type": "http.response.body", "body": b"{}"})


class Hosts:
    """Anthropic's API, then Bedrock. Each refuses thinking of the other, and thinking that was moved."""

    def __init__(self, url: str, anthropic: FakeAnthropic, bedrock: FakeHost, switch: Switch) -> None:
        self._url = url
        self._switch = switch
        self._requests: tuple[list[dict[str, Any]], ...] = (anthropic.bodies, bedrock.anthropic.bodies)

    def ask(self, host: str, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        """The answer to `body`, which is to come from `host`."""
        self._switch.down = host != "anthropic"
        answer = httpx.post(self._url + path, json=body, headers={"api-key": KEY, **headers}, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-claudexia-upstream"] == host
        return answer

    def thinking_sent(self, host: str) -> list[bool]:
        """Whether each assistant turn of the last request to `host` holds thinking."""
        body = self._requests[host != "anthropic"][-1]
        return [
            any(block["type"] in THINKING for block in turn["content"])
            for turn in body["messages"]
            if turn["role"] == "assistant"
        ]

    def count(self, host: str) -> int:
        return len(self._requests[host != "anthropic"])


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    anthropic = FakeAnthropic(bound=True)
    bedrock = FakeHost("bedrock", bound=True)
    switch = Switch(anthropic)
    table = MemoryTable(lambda: datetime.now(UTC))
    with hosts_gateway({"anthropic": switch, "bedrock": bedrock}, table=table, upstream_retry=False) as url:
        yield Hosts(url, anthropic, bedrock, switch)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


# Where each answer of a tool loop comes from, and which assistant turns of the last request hold thinking.
CHANGES = [
    (("anthropic", "bedrock", "anthropic"), [True, False]),
    (("bedrock", "anthropic", "bedrock"), [True, False]),
    (("anthropic", "bedrock", "bedrock"), [False, True]),
    (("anthropic", "anthropic", "bedrock"), [False, False]),
]


def foreign_before(hosts: tuple[str, ...]) -> list[bool]:
    """Whether an answer of another host precedes that of each of `hosts`."""
    return [any(before != host for before in hosts[:number]) for number, host in enumerate(hosts)]


def chat_tools() -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]


def chat_loop(two: Hosts, hosts: tuple[str, ...], body: dict[str, Any], **headers: str) -> list[str]:
    """The warnings of each answer of a tool loop that runs on `hosts`."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": PROMPT}]
    warnings = []
    for host in hosts:
        answer = two.ask(
            host, "/chat/completions", {"tools": chat_tools(), "messages": messages, **body}, **headers
        )
        warnings.append(answer.headers.get("x-claudexia-warnings", ""))
        message = answer.json()["choices"][0]["message"]
        messages.append(message)
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": "fine"}
            for call in message.get("tool_calls", ())
        ]
    return warnings


@pytest.mark.parametrize("own", [False, True], ids=["stored", "sent by the client"])
@pytest.mark.parametrize(("hosts", "left"), CHANGES, ids=["-".join(hosts) for hosts, _ in CHANGES])
def test_chat_completions(hosts: tuple[str, ...], left: list[bool], own: bool) -> None:
    headers = {"x-claudexia-thinking-blocks": "true"} if own else {}
    with two_hosts() as two:
        warnings = chat_loop(two, hosts, {"model": "claude-sonnet-5-5"}, **headers)
        assert [FOREIGN in each for each in warnings] == foreign_before(hosts)
        assert two.thinking_sent(hosts[-1]) == left
        assert (two.count("anthropic"), two.count("bedrock")) == (
            hosts.count("anthropic"),
            hosts.count("bedrock"),
        )


def test_a_model_with_a_thinking_budget_does_not_think_in_the_rest_of_the_turn() -> None:
    """Such a model needs the thinking before the results of its calls."""
    with two_hosts() as two:
        body = {"model": "claude-haiku-4-5", "reasoning_effort": "low"}
        _, warnings = chat_loop(two, ("anthropic", "bedrock"), body)
        assert FOREIGN in warnings
        assert "thinking is off for this request" in warnings
        assert (two.thinking_sent("bedrock"), two.count("bedrock")) == ([False], 1)


@pytest.mark.parametrize("stored", [False, True], ids=["sent by the client", "previous_response_id"])
@pytest.mark.parametrize(("hosts", "left"), CHANGES, ids=["-".join(hosts) for hosts, _ in CHANGES])
def test_responses(hosts: tuple[str, ...], left: list[bool], stored: bool) -> None:
    items: list[dict[str, Any]] = [{"role": "user", "content": PROMPT}]
    tools = [{"type": "function", "name": "get_weather", "parameters": PARAMETERS}]
    common = {"model": "claude-sonnet-5-5", "tools": tools, "include": ["reasoning.encrypted_content"]}
    previous: dict[str, Any] = {}
    with two_hosts() as two:
        for host, foreign in zip(hosts, foreign_before(hosts), strict=True):
            answer = two.ask(host, "/responses", {**common, **previous, "input": items, "store": stored})
            assert (FOREIGN in answer.headers.get("x-claudexia-warnings", "")) == foreign
            response = answer.json()
            results = [
                {"type": "function_call_output", "call_id": item["call_id"], "output": "fine"}
                for item in response["output"]
                if item["type"] == "function_call"
            ]
            items = results if stored else [*items, *response["output"], *results]
            previous = {"previous_response_id": response["id"]} if stored else {}
        assert two.thinking_sent(hosts[-1]) == left
        assert two.count(hosts[-1]) == hosts.count(hosts[-1])


def test_thinking_of_an_unknown_host_is_sent_and_left_out_if_it_is_refused() -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "weather [rounds=1]"}]
    body = {"model": "claude-sonnet-5-5", "messages": messages, "tools": chat_tools()}
    with two_hosts() as two:
        answer = two.ask("anthropic", "/chat/completions", body, **{"x-claudexia-thinking-blocks": "true"})
        message = answer.json()["choices"][0]["message"]
        for block in message["thinking_blocks"]:
            del block["host"]
        messages += [
            message,
            *({"role": "tool", "tool_call_id": c["id"], "content": "fine"} for c in message["tool_calls"]),
        ]
        # For another key, nothing is stored.
        answer = two.ask("bedrock", "/chat/completions", body, **{"api-key": OTHER_KEY})
        assert REFUSED in answer.headers["x-claudexia-warnings"]
        assert two.thinking_sent("bedrock") == [False]
        assert two.count("bedrock") == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_messages_api_sends_the_clients_thinking_and_leaves_out_what_is_refused(stream: bool) -> None:
    """The client's blocks do not name their host: the body is the client's own."""
    tool = {"name": "get_weather", "input_schema": PARAMETERS}
    messages: list[dict[str, Any]] = [{"role": "user", "content": "weather [rounds=1]"}]
    body = {"model": "claude-sonnet-5-5", "max_tokens": 9000, "tools": [tool], "messages": messages}
    body["thinking"] = {"type": "adaptive"}
    with two_hosts() as two:
        content = two.ask("anthropic", "/messages", body).json()["content"]
        assert content[0]["type"] == "thinking"
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": "fine"}
            for block in content
            if block["type"] == "tool_use"
        ]
        messages += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]
        answer = two.ask("bedrock", "/messages", {**body, "stream": stream})
        assert REFUSED in answer.headers["x-claudexia-warnings"]
        assert (two.thinking_sent("bedrock"), two.count("bedrock")) == ([False], 2)
        answer = two.ask("anthropic", "/messages", {**body, "stream": stream})
        assert "x-claudexia-warnings" not in answer.headers
        assert two.thinking_sent("anthropic") == [True]


def test_the_messages_api_relays_the_refusal_of_a_host_that_is_alone() -> None:
    bedrock = FakeHost("bedrock")
    thinking = {"type": "thinking", "thinking": "", "signature": "c2lnbmVkIGJ5IGFub3RoZXIgb25l"}
    turns = [("user", "Hi"), ("assistant", [thinking, {"type": "text", "text": "Hello"}]), ("user", "Go on")]
    messages = [{"role": role, "content": content} for role, content in turns]
    body = {"model": "claude-sonnet-5-5", "max_tokens": 50, "messages": messages}
    with hosts_gateway({"bedrock": bedrock}) as url:
        answer = httpx.post(f"{url}/messages", json=body, headers={"api-key": KEY}, timeout=60)
    assert (answer.status_code, len(bedrock.requests)) == (400, 1)
    assert "thinking" in answer.json()["error"]["message"]
