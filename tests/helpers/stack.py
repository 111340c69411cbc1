"""The stack: template.yaml, as it is written and as SAM translates it for CloudFormation."""

import re
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


class Evaluator:
    """Evaluates intrinsic functions of a template for `parameters`; the others have their defaults.

    A reference to a resource becomes `<LogicalId>` or `<LogicalId.Attribute>`.
    """

    def __init__(self, **parameters: str) -> None:
        defaults = {name: str(parameter.get("Default", "")) for name, parameter in PARAMETERS.items()}
        self._values = {**defaults, **_PSEUDO, **parameters}

    def condition(self, name: str) -> bool:
        return bool(self.value(TEMPLATE["Conditions"][name]))

    def value(self, node: Json) -> Json:
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, argument), *_ = node.items()
            if evaluate := getattr(self, f"_{name.removeprefix('Fn::').lower()}", None):
                return evaluate(argument)
        return {key: self.value(value) for key, value in node.items() if self.value(value) is not None}

    def broken_rules(self) -> list[str]:
        """The descriptions of the assertions that do not hold."""
        return [
            assertion["AssertDescription"]
            for rule in TEMPLATE["Rules"].values()
            if self.value(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self.value(assertion["Assert"])
        ]

    def _ref(self, name: str) -> str | None:
        return None if name == "AWS::NoValue" else self._values.get(name, f"<{name}>")

    def _getatt(self, path: Json) -> str:
        return f"<{path if isinstance(path, str) else '.'.join(path)}>"

    def _sub(self, argument: Json) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        values = {**self._values, **{name: self.value(value) for name, value in own.items()}}
        return re.sub(r"\$\{([^!}]+)\}", lambda found: values.get(found[1], f"<{found[1]}>"), text)

    def _if(self, argument: Json) -> Json:
        condition, yes, no = argument
        return self.value(yes if self.condition(condition) else no)

    def _equals(self, argument: Json) -> bool:
        one, other = map(self.value, argument)
        return bool(one == other)

    def _not(self, argument: Json) -> bool:
        return not self.value(argument[0])

    def _condition(self, name: str) -> bool:
        return self.condition(name)

    def _and(self, argument: Json) -> bool:
        return all(map(self.value, argument))

    def _or(self, argument: Json) -> bool:
        return any(map(self.value, argument))

    def _contains(self, argument: Json) -> bool:
        return self.value(argument[1]) in argument[0]

    def _split(self, argument: Json) -> list[str]:
        return str(self.value(argument[1])).split(argument[0])

    def _join(self, argument: Json) -> str:
        return str(argument[0]).join(self.value(argument[1]))


_PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "claudexia",
    "AWS::URLSuffix": "amazonaws.com",
}
