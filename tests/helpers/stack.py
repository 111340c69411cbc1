"""The stack: template.yaml, as it is written and as SAM translates it for CloudFormation."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "template.yaml").read_text()

Json = Any  # a template: whatever YAML holds


def _translated() -> Json:
    source = yaml_parse(TEXT)
    source["Resources"]["GatewayFunction"]["Properties"]["CodeUri"] = (
        "s3://bucket/package"  # as after `sam package`
    )
    region = SimpleNamespace(region_name="eu-central-1")
    return Translator({}, Parser(), boto_session=region).translate(source, {})


TEMPLATE = yaml_parse(TEXT)
PARAMETERS: dict[str, Json] = TEMPLATE["Parameters"]
RESOURCES: dict[str, Json] = _translated()["Resources"]
VARIABLES: dict[str, Json] = RESOURCES["GatewayFunction"]["Properties"]["Environment"]["Variables"]


def of_type(*types: str) -> dict[str, Json]:
    return {name: resource for name, resource in RESOURCES.items() if resource["Type"] in types}


def strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)
