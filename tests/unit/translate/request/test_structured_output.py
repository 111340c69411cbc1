"""response_format, case by case: enforced schemas, instructions and reports."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.report import Report
from claudexia.translate.request.build import to_message_params
from claudexia.translate.request.parse import parse_params
from claudexia.translate.request.structured_output import OutputFormat, to_output_format
from claudexia.translate.types.params import ResponseFormat
from tests.fakes.anthropic.rules import assert_accepted

FORMAT: TypeAdapter[Any] = TypeAdapter(ResponseFormat)
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
OPEN = {
    "type": "object",
    "properties": {"by_name": {"type": "object", "additionalProperties": {"type": "integer"}}},
}
SCHEMA = "response_format.json_schema.schema"


def json_schema(**fields: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", **fields}}


def structured(given: Any, strict: bool = False) -> tuple[OutputFormat, list[str]]:
    report = Report(strict)
    parsed = FORMAT.validate_json(json.dumps(given)) if given else None
    return to_output_format(parsed, report), [f"{warned.param}: {warned.reason}" for warned in report.warnings]


@pytest.mark.parametrize("given", [None, {"type": "text"}], ids=["absent", "text"])
def test_response_format_text_changes_nothing(given: Any) -> None:
    assert structured(given) == (OutputFormat(), [])


@pytest.mark.parametrize("strict", [{}, {"strict": True}, {"strict": False}, {"strict": None}], ids=str)
def test_a_supported_schema_is_enforced_with_or_without_strict(strict: Any) -> None:
    structure, warned = structured(json_schema(schema=PERSON, **strict))
    assert structure == OutputFormat({"type": "json_schema", "schema": PERSON})
    assert warned == []


DESCRIPTIONS = [
    pytest.param({}, "of the format", id="only-the-format's"),
    pytest.param({"description": "of the schema"}, "of the schema", id="both"),
]


@pytest.mark.parametrize(("own", "sent"), DESCRIPTIONS)
def test_the_description_goes_into_the_schema(own: Any, sent: str) -> None:
    structure, _ = structured(json_schema(schema={**PERSON, **own}, description="of the format"))
    assert structure.format
    assert structure.format["schema"] == {**PERSON, "description": sent}


def test_constraints_that_are_not_enforced_are_reported_in_one_sentence() -> None:
    counts = {name: {"type": "integer", "minimum": 0} for name in "abcdefg"}
    schema = {"type": "object", "properties": counts, "required": list(counts)}
    structure, warned = structured(json_schema(schema=schema))
    assert structure.format
    assert warned == [
        f"{SCHEMA}: requested by description, not enforced: "
        "a: minimum, b: minimum, c: minimum, d: minimum, e: minimum and 2 more"
    ]


def test_narrowed_schemas_are_reported() -> None:
    _, warned = structured(json_schema(schema={"type": "object", "properties": {"a": {}}}))
    assert warned == [f"{SCHEMA}: Claude cannot answer with: a: arrays and objects"]


def test_an_unsupported_schema_becomes_an_instruction() -> None:
    structure, warned = structured(json_schema(schema=OPEN))
    assert structure.format is None
    assert structure.json_object
    assert structure.instruction
    assert "one JSON object and nothing else" in structure.instruction
    assert structure.instruction.endswith("\n" + json.dumps(OPEN, separators=(",", ":")))
    assert warned == [
        f"{SCHEMA}: the API cannot enforce it (by_name: an object with arbitrary property names), "
        "so an instruction asks Claude to follow it"
    ]


ROOTS = [
    pytest.param({"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}}}}, True, id="recursive-object"),
    pytest.param({"properties": {"a": {"$ref": "https://x.example/y"}}}, True, id="untyped-object"),
    pytest.param({}, True, id="anything"),
    pytest.param({"anyOf": [{"type": "object"}, {"type": "object", "properties": {}}]}, True, id="union-of-objects"),
    pytest.param({"type": "array", "items": {"type": "object"}}, False, id="array"),
    pytest.param({"anyOf": [{"type": "object"}, {"type": "array"}]}, False, id="object-or-array"),
    pytest.param({"type": "whatever"}, False, id="no-schema"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "is_object"), ROOTS)
def test_json_extraction_only_for_objects(schema: Any, is_object: bool) -> None:
    structure, _ = structured(json_schema(schema=schema))
    assert structure.format is None
    assert structure.json_object is is_object
    assert structure.instruction
    assert ("JSON object" if is_object else "JSON value") in structure.instruction


@pytest.mark.parametrize(
    "given",
    [{"type": "json_object"}, json_schema(), json_schema(schema=None)],
    ids=["json-object", "no-schema", "null-schema"],
)
def test_json_object_becomes_an_instruction(given: Any) -> None:
    structure, warned = structured(given)
    assert structure.format is None
    assert structure.json_object
    assert structure.instruction
    assert "JSON object" in structure.instruction
    assert len(warned) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_object"},
        json_schema(schema=OPEN),
        json_schema(schema={"properties": {"a": {"minimum": 1}}}),
    ],
    ids=["json-object", "open", "relaxed"],
)
def test_strict_mode_refuses_unenforced_schemas(given: Any) -> None:
    with pytest.raises(APIError) as refused:
        structured(given, strict=True)
    assert (refused.value.param or "").startswith("response_format")


def test_unknown_fields_are_reported() -> None:
    _, warned = structured({**json_schema(schema=PERSON, mode="x"), "version": 2})
    assert [line.split(":")[0] for line in warned] == [
        "response_format.version",
        "response_format.json_schema.mode",
    ]


@pytest.mark.parametrize(
    "given",
    [{}, {"type": "xml"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {"schema": {}}}, json_schema(schema=[]), json_schema(strict="yes")],
    ids=str,
)  # fmt: skip
def test_malformed_formats_are_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        FORMAT.validate_python(given)


def test_the_same_request_gives_the_same_bytes() -> None:
    def sent() -> str:
        return repr(structured(json_schema(schema={"required": ["z", "y"], **OPEN}))) + repr(
            structured(json_schema(schema=PERSON))
        )

    assert sent() == sent()


DOCUMENT: Any = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
FOUND: Any = {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]}


@pytest.mark.parametrize("enabled", [True, False], ids=["cited", "not cited"])
@pytest.mark.parametrize("block", [DOCUMENT, FOUND], ids=["document", "search_result"])
def test_citations_are_disabled_with_a_schema(block: Any, enabled: bool) -> None:
    """The API refuses the combination."""
    block = {**block, "citations": {"enabled": enabled}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request: dict[str, Any] = {
        "model": "claude-opus-4-5",
        "messages": [
            {"role": "user", "content": [block]},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": [block]},
        ],
    }
    free = to_message_params(parse_params(json.dumps(request).encode()), find_model("claude-opus-4-5", {}))
    assert not free.warnings
    assert json.dumps(free.params).count('"enabled"') == 2
    request["response_format"] = json_schema(schema=PERSON)
    held = to_message_params(parse_params(json.dumps(request).encode()), find_model("claude-opus-4-5", {}))
    assert [warned.param for warned in held.warnings] == (["response_format"] if enabled else [])
    assert_accepted(json.loads(json.dumps(held.params)))


def test_a_prefill_is_refused_with_json_object() -> None:
    """After a prefilled `{` the outer object could not be distinguished from a nested one."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]
    request = {"model": "claude-opus-4-5", "messages": messages, "response_format": {"type": "json_object"}}
    translated = to_message_params(
        parse_params(json.dumps(request).encode()), find_model("claude-opus-4-5", {})
    )
    assert translated.params["messages"][-1]["role"] == "user"
    assert [warned.param for warned in translated.warnings] == ["response_format", "messages[1]"]
