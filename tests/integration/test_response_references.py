"""Items that a request of the Responses API refers to: each once, and few responses are loaded for them."""

from typing import Any

import httpx
import openai
import pytest

from claudexia.translate.types.params import MAX_MESSAGES, MAX_TOOLS
from tests.fakes.anthropic.server import FakeAnthropic
from tests.helpers.deployment import Deployment, deployment
from tests.helpers.serving import Upstream
from tests.helpers.waiting import PATIENCE

MODEL = "claude-haiku-4-5"


def reference(id_: str | None) -> Any:
    return {"type": "item_reference", "id": id_}


def loads(deployed: Deployment) -> int:
    """The stored responses that were read since the last call."""
    return deployed.table.calls.pop("get", 0)


def test_a_long_conversation_of_references_loads_its_newest_response() -> None:
    upstream = FakeAnthropic()
    with deployment(upstream) as deployed:
        client = deployed.client(deployed.key())
        client.responses.create(model=MODEL, input="Hi", store=False)  # reads the key
        items: list[Any] = []
        for turn in range(6):
            items.append({"role": "user", "content": f"question {turn}"})
            loads(deployed)
            made = client.responses.create(model=MODEL, input=items)
            assert loads(deployed) == (1 if turn else 0)
            items += [reference(item.id) for item in made.output]
        sent = upstream.bodies[-1]["messages"]
        assert [message["role"] for message in sent] == ["user", "assistant"] * 5 + ["user"]
        asked = [message["content"][0]["text"] for message in sent if message["role"] == "user"]
        assert asked == [f"question {turn}" for turn in range(6)]


def test_the_first_item_that_is_not_found_ends_the_search() -> None:
    with deployment() as deployed:
        client = deployed.client(deployed.key())
        client.responses.create(model=MODEL, input="Hi")
        loads(deployed)
        with pytest.raises(openai.NotFoundError, match="Item with id 'msg_49_o0' not found"):
            client.responses.create(model=MODEL, input=[reference(f"msg_{number}_o0") for number in range(50)])
        assert loads(deployed) == 1


def test_an_item_is_referred_to_once() -> None:
    """Otherwise a short body would send a long text many times."""
    upstream = Upstream()
    with deployment(upstream) as deployed:
        client = deployed.client(deployed.key())
        made = client.responses.create(model=MODEL, input="Hi")
        loads(deployed)
        with pytest.raises(openai.BadRequestError, match=f"Duplicate item found with id {made.output[0].id}"):
            client.responses.create(model=MODEL, input=[reference(made.output[0].id)] * 2)
        assert (loads(deployed), len(upstream.bodies)) == (0, 1)


TOO_LONG: dict[str, dict[str, Any]] = {
    "input": {"input": [{"role": "user"}] * (MAX_MESSAGES + 1)},
    "tools": {"tools": [{}] * (MAX_TOOLS + 1)},
    "tools[0].tools": {"tools": [{"type": "namespace", "name": "n", "tools": [{}] * (MAX_TOOLS + 1)}]},
}


@pytest.mark.parametrize("param", TOO_LONG)
def test_arrays_are_as_long_as_the_upstream_takes_them(param: str) -> None:
    with deployment() as deployed:
        body = {"model": MODEL, "input": "Hi", **TOO_LONG[param]}
        headers = {"authorization": f"Bearer {deployed.key()}"}
        response = httpx.post(f"{deployed.url}/responses", json=body, headers=headers, timeout=PATIENCE)
    error = response.json()["error"]
    assert (error["param"], error["code"]) == (param, "array_above_max_length")
