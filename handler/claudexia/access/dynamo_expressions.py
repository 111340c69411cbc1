"""Changes, conditions and items as DynamoDB spells them."""

from collections.abc import Collection, Mapping
from typing import Any

from claudexia.access.table import Change, Condition, Item, Value

Spelled = dict[str, Any]


class Expression:
    """Collects the names and values that the texts of one call refer to."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Spelled] = {}

    def name(self, attribute: str) -> str:
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def value(self, value: Value) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = _spelled(value)
        return placeholder

    def update(self, change: Change) -> str:
        added = [self._pair(name, number) for name, number in change.add.items()]
        added += [self._pair(name, frozenset({member})) for name, member in change.include.items()]
        taken = [self._pair(name, frozenset({member})) for name, member in change.exclude.items()]
        assigned = [f"{self.name(name)} = {self.value(value)}" for name, value in change.assign.items()]
        clauses = {"SET": assigned, "ADD": added, "DELETE": taken}
        return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)

    def condition(self, condition: Condition) -> str:
        parts = [
            f"(attribute_not_exists({name}) OR {name} <= {self.value(most)})"
            for attribute, most in condition.at_most.items()
            for name in [self.name(attribute)]
        ]
        parts += [
            f"contains({self.name(attribute)}, {self.value(member)})"
            for attribute, member in condition.holding.items()
        ]
        if condition.present is not None:
            parts.append(f"attribute_{'exists' if condition.present else 'not_exists'}(pk)")
        return " AND ".join(parts)

    def _pair(self, name: str, value: Value) -> str:
        return f"{self.name(name)} {self.value(value)}"


def conditioned(expression: Expression, condition: Condition) -> Spelled:
    """The arguments of a write: `condition`, and every name and value that `expression` has collected."""
    arguments: Spelled = {}
    if text := expression.condition(condition):
        arguments["ConditionExpression"] = text
    if expression.names:
        arguments["ExpressionAttributeNames"] = expression.names
    if expression.values:
        arguments["ExpressionAttributeValues"] = expression.values
    return arguments


def to_attributes(item: Item) -> Spelled:
    """An empty set is left out: DynamoDB has none."""
    return {name: _spelled(value) for name, value in item.items() if value != frozenset()}


def from_attributes(attributes: Mapping[str, Any], without: Collection[str]) -> Item:
    return {name: _value(spelled) for name, spelled in attributes.items() if name not in without}


def _spelled(value: Value) -> Spelled:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
    return {"SS": sorted(value)}


def _value(spelled: Mapping[str, Any]) -> Value:
    (kind, content), *_ = spelled.items()
    match kind:
        case "N":
            return int(content)
        case "SS":
            return frozenset(content)
        case "B":
            return bytes(content)
    return content  # type: ignore[no-any-return]  # str or bool
