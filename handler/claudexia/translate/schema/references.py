"""References: resolves a $ref, and names its target in the adapted schema's $defs."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

Schema = Mapping[str, Any]

MAX_DEPTH = 64
ROOT = "root"
# Of an index in a reference. Python refuses to read integers of thousands of digits.
_MAX_DIGITS = 9
# Of a reference in characters, and of the escaped ones among them. Longer ones are those of no generator.
_MAX_REFERENCE, _MAX_ESCAPED = 2000, 200
# Of a path and of one name in it, in characters. Longer ones are shortened in messages.
_MAX_PATH, _MAX_NAME = 400, 100
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.-]")


def are_strings(values: Collection[object]) -> bool:
    """Whether all values are strings, as those of most enums are; there may be thousands."""
    return set(map(type, values)) <= {str}


class Interner:
    """Numbers JSON values: two have the same number if their JSON text is the same.

    Each object and array is read once, so the values must not change meanwhile.
    """

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        # By id(), with the value itself so that no other one gets its id.
        self._known: dict[int, tuple[object, int]] = {}

    def number(self, value: object) -> int:
        if not isinstance(value, dict | list):
            # 1, 1.0, True and "1" are different.
            return self._numbers.setdefault((type(value), value), len(self._numbers))
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = (
                value,
                self._numbers.setdefault(self._key(value), len(self._numbers)),
            )
        return known[1]

    def _key(self, value: dict[str, object] | list[object]) -> tuple[object, ...]:
        """Names and strings stand for themselves, which is faster than to number each of them."""
        if isinstance(value, dict):
            return (dict, *value, *map(self.number, value.values()))
        return (list, str, *value) if are_strings(value) else (list, *map(self.number, value))


class UnsupportedSchemaError(Exception):
    """Claude cannot be held to the schema. The message gives the location and the reason."""


def resolve(reference: str, root: object) -> object:
    """The part of `root` that `reference`, such as `#/$defs/A`, points to.

    Raises LookupError if the reference leaves `root`, points to nothing or is too long.
    Source: https://www.rfc-editor.org/rfc/rfc6901
    """
    return _find(_decoded(reference), root)


def _decoded(reference: str) -> str:
    if len(reference) > _MAX_REFERENCE or reference.count("%") > _MAX_ESCAPED:
        raise LookupError(reference)
    return unquote(reference)


def _find(pointer: str, root: object) -> object:
    document, *steps = pointer.split("/")
    if document != "#":
        raise LookupError(pointer)
    target = root
    for step in map(_unescape, steps):
        if isinstance(target, dict):
            target = target[step]
        elif isinstance(target, list) and step.isdecimal() and len(step) <= _MAX_DIGITS:
            target = target[int(step)]
        else:
            raise LookupError(pointer)
    return target


def _unescape(step: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc6901#section-4"""
    return step.replace("~1", "/").replace("~0", "~") if "~" in step else step


class Location(NamedTuple):
    """A location in the client's schema.

    path     for messages: `person.tags[]`; the outermost schema is `root`
    refs     the references that were followed to get here
    depth    levels below the outermost schema
    """

    path: str = ROOT
    refs: frozenset[str] = frozenset()
    depth: int = 0

    def descend(self, path: str = "", refs: frozenset[str] = frozenset()) -> "Location":
        """One level down. Raises UnsupportedSchemaError below MAX_DEPTH."""
        if self.depth >= MAX_DEPTH:
            raise UnsupportedSchemaError(f"nested deeper than {MAX_DEPTH} levels")
        return Location(path or self.path, self.refs | refs if refs else self.refs, self.depth + 1)

    def property_path(self, name: str) -> str:
        """The path of the property `name` of this object."""
        name = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."
        if self.path == ROOT:
            return name
        start = self.path if len(self.path) <= _MAX_PATH else f"...{self.path[-_MAX_PATH // 2 :]}"
        return f"{start}.{name}"


@dataclass(slots=True)
class References:
    """The references of the schema `root`, by pointer."""

    root: Schema
    # The pointer and the target of each reference that was followed.
    _targets: dict[str, tuple[str, Schema | bool]] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    # The last number of each name that several targets have.
    _numbers: dict[str, int] = field(default_factory=dict)

    def follow(self, reference: str, location: Location) -> tuple[str, Schema | bool, Location]:
        """The reference's pointer, its target and the location one level down.

        Raises UnsupportedSchemaError for a reference that is external, dangling or recursive.
        """
        if reference not in self._targets:
            self._targets[reference] = self._target(reference, location.path)
        pointer, target = self._targets[reference]
        if pointer in location.refs:
            raise UnsupportedSchemaError(f"{location.path}: recursion")
        return pointer, target, location.descend(refs=frozenset({pointer}))

    def _target(self, reference: str, path: str) -> tuple[str, Schema | bool]:
        try:
            pointer = _decoded(reference)
            if pointer in ("#", ""):
                raise UnsupportedSchemaError(f"{path}: recursion")
            if not pointer.startswith("#/"):
                raise UnsupportedSchemaError(f"{path}: a $ref to outside the schema")
            target = _find(pointer, self.root)
        except LookupError:
            raise UnsupportedSchemaError(f"{path}: a $ref without a target") from None
        if not isinstance(target, dict | bool):
            raise UnsupportedSchemaError(f"{path}: a $ref to something that is not a schema")
        return pointer, target

    def name(self, pointer: str) -> str:
        """The target's name in $defs: the pointer's last step, numbered if taken. The same in every run."""
        if pointer not in self._names:
            base = _NOT_IN_NAMES.sub("_", _unescape(pointer.rpartition("/")[2])) or "_"
            name, number = base, self._numbers.get(base, 1)
            while name in self._taken:
                number += 1
                name = f"{base}_{number}"
            self._numbers[base] = number
            self._taken.add(name)
            self._names[pointer] = name
        return self._names[pointer]
