"""Shared by all Python clients: prompts, tools, checks and the output of results.

The scripts in this folder run in separate environments, without the gateway's packages.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel, Field

BASE_URL, API_KEY, MODEL = (os.environ[name] for name in ("BASE_URL", "API_KEY", "MODEL"))
# The API to use: the chat completions API, or the Responses API with its defaults.
RESPONSES = os.environ.get("API") == "responses"
WRONG_KEY, WRONG_MODEL = "sk_cdx_wrong", "no-such-model"

QUESTION = "Why is the sky blue?"
TOOLS_QUESTION = "What are the weather and the time in Paris?"
# Libraries that get structured output by a function call need an upstream that calls the tool.
PLAN_QUESTION = "Plan a picnic with the tool, if there is one."
# Without the word tool: the fake API then answers in words unless the call is forced or the answer constrained.
FORCED_QUESTION = "Plan a picnic."
IMAGE_QUESTION = "What is in this picture?"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = f"data:image/png;base64,{PNG}"

Unit = Literal["celsius", "fahrenheit"]


class Step(BaseModel):
    title: str
    minutes: int


class Plan(BaseModel):
    """A plan for an outing."""

    kind: Literal["indoors", "outdoors"]
    note: str | None = None
    cost: int = Field(ge=0, le=100)
    steps: list[Step]


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str
    unit: Unit | None = None


class GetTime(BaseModel):
    """The time of day in a city."""

    city: str


calls: list[tuple[str, str, Unit | None]] = []


def get_weather(city: str, unit: Unit | None = None) -> str:
    """The weather in a city."""
    calls.append(("get_weather", city, unit))
    return f"17 degrees and dry in {city}"


def get_time(city: str) -> str:
    """The time of day in a city."""
    calls.append(("get_time", city, None))
    return f"12:34 in {city}"


FUNCTIONS: dict[str, Callable[..., str]] = {"get_weather": get_weather, "get_time": get_time}


def parsed(arguments: str) -> dict[str, Any]:
    """The arguments of a tool call."""
    fields: dict[str, Any] = json.loads(arguments)
    return fields


def user_message(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


def assert_tools_ran(text: str | None) -> None:
    assert sorted(name for name, _, _ in calls) == ["get_time", "get_weather"], calls
    for _, city, unit in calls:
        assert isinstance(city, str), calls
        assert unit in (None, "celsius", "fahrenheit"), calls
    assert text is not None
    assert "17 degrees" in text, text
    assert "12:34" in text, text


def assert_image_seen(text: str | None) -> None:
    assert text is not None
    assert "I see an image" in text, text


def assert_pieces(pieces: list[str], text: str | None) -> None:
    assert len([piece for piece in pieces if piece]) > 1, pieces
    assert "".join(pieces) == text, (pieces, text)


@contextmanager
def assert_raises(kind: type[Exception], status: int, attribute: str = "status_code") -> Iterator[None]:
    """Fails unless the client raises its own class with that status in `attribute`."""
    try:
        yield
    except kind as error:
        assert getattr(error, attribute, None) == status, repr(error)
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


def run(distribution: str, *cases: Callable[[], object]) -> None:
    """Prints a JSON line with the client's version, then one for each case, named as its function."""
    _print_json({"version": version(distribution)})
    for case in cases:
        _run_case(case)


def run_repeatedly(*cases: Callable[[], object]) -> None:
    """Runs each case as often as RUNS says; prints a JSON line for each run."""
    for case in cases:
        for _ in range(int(os.environ["RUNS"])):
            _run_case(case)


def _run_case(case: Callable[[], object]) -> None:
    try:
        case()
    except Exception as error:  # any exception of a client is a result
        _print_json({"case": case.__name__, "ok": False, "detail": _one_line(error)})
    else:
        _print_json({"case": case.__name__, "ok": True, "detail": ""})


def _one_line(error: Exception) -> str:
    """The error on one line. For an assertion without a message, its source line."""
    message = str(error) or traceback.extract_tb(error.__traceback__)[-1].line or ""
    return " ".join(f"{type(error).__name__}: {message}".split())


def _print_json(line: dict[str, object]) -> None:
    # Libraries may have written half a line.
    sys.stdout.write(f"\n{json.dumps(line)}\n")
    sys.stdout.flush()
