"""Steps of the translation that are linear in their input: errors, warnings, places in a body, upstream events.

tests/integration/test_request_costs.py has the whole requests.
"""

import gc
import json
import tracemalloc
from functools import partial

import pytest
from pydantic import ValidationError

from claudexia.api.http import warnings_header
from claudexia.errors import APIError, invalid_request
from claudexia.translate.report import MAX_WARNINGS, Report
from claudexia.translate.request.numbers import reject_non_finite
from claudexia.translate.request.parse import with_existing_param
from claudexia.translate.request.surrogates import replace_unpaired_surrogates
from claudexia.translate.sse import MAX_EVENT, EventDecoder
from claudexia.translate.types.params import CompletionCreateParams
from tests.helpers.large_bodies import BODIES, translate
from tests.helpers.steps import count_steps


@pytest.mark.parametrize(
    "reference",
    [
        "#/anyOf/" + "1" * 5000,
        "#/anyOf/" + "9" * 4300,
        "#/anyOf/" + "\u0661" * 5000,
        "#/anyOf/-1",
        "#/anyOf/1.0",
    ],
    ids=["long-index", "largest-integer", "arabic-digits", "negative-index", "decimal-index"],
)
@pytest.mark.parametrize("place", ["response_format", "tool", "strict-tool"])
def test_an_invalid_index_in_a_reference_does_not_resolve(reference: str, place: str) -> None:
    schema = {"type": "object", "anyOf": [{"$ref": reference}, {"type": "object", "properties": {"a": {}}}]}
    function = {"name": "f", "parameters": schema, "strict": place == "strict-tool"}
    fields: dict[str, object] = {"tools": [{"type": "function", "function": function}]}
    if place == "response_format":
        fields = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
    messages = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "claude-sonnet-5-5", "messages": messages, **fields}).encode()
    assert translate(body) == 200


@pytest.mark.parametrize("name", BODIES)
def test_the_number_of_collected_errors_is_bounded(name: str) -> None:
    try:
        CompletionCreateParams.model_validate_json(BODIES[name](64))
    except ValidationError as error:
        assert error.error_count() < 50


def deep(depth: int, inner: object) -> object:
    for _ in range(depth):
        inner = [inner]
    return inner


def test_the_work_for_the_param_of_an_error_is_linear_in_its_length() -> None:
    def work(levels: int) -> int:
        schema: dict[str, object] = {"minimum": float("inf")}
        for level in range(levels):  # each `type` names the key beside it
            schema = {"type": "ab"[level % 2], "ab"[level % 2]: schema}
        body = json.dumps({"tools": [{"function": {"name": "f", "parameters": schema}}]}).encode()
        steps = [each for level in range(levels) for each in "ab"[(levels - 1 - level) % 2]]
        path = ".".join(["tools[0].function.parameters", *steps, "minimum"])
        error = invalid_request("no number", path, None)
        assert with_existing_param(error, body).param == path
        return count_steps(partial(with_existing_param, error, body))

    assert work(32) < 2.5 * work(16)


# The size of a body's own objects is about ten times its own.
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"x": deep(800, [1] * 20_000 + ["\ud800"])}).encode(),
        json.dumps({"x": deep(800, ["\ud800"] * 5000)}).encode(),
    ],
    ids=["numbers", "surrogates"],
)
def test_the_memory_for_places_in_deep_json_is_linear(body: bytes) -> None:
    tracemalloc.start()
    try:
        replace_unpaired_surrogates(body, Report())
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < 60 * len(body)


def test_the_first_number_that_is_none_is_found_in_deep_json() -> None:
    value = deep(100, [1, {"a": float("nan")}, float("nan")])
    with pytest.raises(APIError) as caught:
        reject_non_finite(value, Report())
    assert caught.value.param == "[0]" * 100 + "[1].a"


def test_warnings_above_the_limit_are_counted() -> None:
    report = Report()
    for number in range(MAX_WARNINGS + 1500):
        report.at("messages", number).warn("moved")
        report.at("messages", number).warn("moved")
    *shown, more = report.warnings
    assert [warning.param for warning in shown] == [f"messages[{number}]" for number in range(MAX_WARNINGS)]
    assert more.reason == "and 1,500 more warnings"
    header = warnings_header(report.warnings)["x-claudexia-warnings"]
    assert header.startswith("messages[0]: moved; messages[1]: moved")
    assert header.endswith("; and 1,500 more warnings")


def test_warnings_within_the_limit_are_all_reported() -> None:
    report = Report()
    for number in range(MAX_WARNINGS):
        report.at("messages", number).warn("moved")
    assert len(report.warnings) == MAX_WARNINGS
    assert "more" not in warnings_header(report.warnings)["x-claudexia-warnings"]


# Events


def event_of(size: int) -> bytes:
    return b'event: x\ndata: {"type":"x","text":"' + b"a" * size + b'"}\n\n'


SPLITS = {"one-by-one": 1, "by-seven": 7, "by-a-thousand": 1000}


@pytest.mark.parametrize("line_ending", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", SPLITS.values(), ids=SPLITS)
def test_events_are_the_same_however_they_are_split(size: int, line_ending: bytes) -> None:
    stream = (b": comment\n\n" + event_of(5) + event_of(0) + event_of(2000)).replace(b"\n", line_ending)
    decoder, events = EventDecoder(), []
    for start in range(0, len(stream), size):
        events += decoder.feed(stream[start : start + size])
    events += decoder.close()
    assert [len(event["text"]) for event in events] == [5, 0, 2000]  # type: ignore[typeddict-item]  # not an event of the API


@pytest.mark.parametrize("piece", [10, 100, 1000])
def test_the_work_for_an_event_is_linear_in_its_size(piece: int) -> None:
    def decode(pieces: int) -> tuple[int, int]:
        decoder, held = EventDecoder(), 0
        for _ in range(pieces):
            decoder.feed(b"a" * piece)
            # Later calls never copy more than one piece.
            held = max(held, *map(len, decoder._pieces))
        return count_steps(lambda: decoder.feed(b"a" * piece)), held

    (few_steps, few_held), (many_steps, many_held) = decode(10), decode(1000)
    assert many_steps == few_steps
    assert many_held == few_held == piece


@pytest.mark.parametrize("piece", [MAX_EVENT + 1, 2**20], ids=["at-once", "in-pieces"])
@pytest.mark.parametrize("end", [b"", b"\n\n"], ids=["open", "ended"])
def test_an_endless_event_is_an_upstream_error(piece: int, end: bytes) -> None:
    decoder = EventDecoder()
    with pytest.raises(APIError) as caught:
        for _ in range(0, MAX_EVENT + 1, piece):
            decoder.feed(b"d" * piece)
        decoder.feed(end)
    assert (caught.value.status, caught.value.type) == (502, "server_error")


def test_a_collection_of_garbage_adds_no_steps() -> None:
    collections: list[str] = []

    def collected(phase: str, info: object) -> None:
        collections.append(phase)

    def work() -> object:
        return [[each] for each in range(100)]

    expected, threshold = count_steps(work), gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        steps = count_steps(work)
        work()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collected)
    assert collections
    assert steps == expected
