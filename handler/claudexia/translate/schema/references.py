"""References: resolves a $ref, and names its target in the adapted schema's $defs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

Schema = Mapping[str, Any]

MAX_DEPTH = 64
ROOT = "root"
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.-]")


class UnsupportedSchemaError(Exception):
    """Claude cannot be held to the schema. The message gives the location and the reason."""


def resolve(reference: str, root: object) -> object:
    """The part of `root` that `reference`, such as `#/$defs/A`, points to.

    Raises LookupError if the reference leaves `root` or points to nothing.
    Source: https://www.rfc-editor.org/rfc/rfc6901
    """
    document, *steps = unquote(reference).split("/")
    if document != "#":
        raise LookupError(reference)
    target = root
    for step in map(_unescape, steps):
        if isinstance(target, Mapping):
            target = target[step]
        elif isinstance(target, list) and step.isdecimal():
            target = target[int(step)]
        else:
            raise LookupError(reference)
    return target


def _unescape(step: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc6901#section-4"""
    return step.replace("~1", "/").replace("~0", "~")


@dataclass(frozen=True, slots=True)
class Location:
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
        return replace(self, path=path or self.path, refs=self.refs | refs, depth=self.depth + 1)

    def property_path(self, name: str) -> str:
        return name if self.path == ROOT else f"{self.path}.{name}"


@dataclass(slots=True)
class References:
    """The references of the schema `root`, by pointer."""

    root: Schema
    _names: dict[str, str] = field(default_factory=dict)

    def follow(self, reference: str, location: Location) -> tuple[str, Schema | bool, Location]:
        """The reference's pointer, its target and the location one level down.

        Raises UnsupportedSchemaError for a reference that is external, dangling or recursive.
        """
        pointer = unquote(reference)
        if pointer in location.refs or pointer in ("#", ""):
            raise UnsupportedSchemaError(f"{location.path}: recursion")
        if not pointer.startswith("#/"):
            raise UnsupportedSchemaError(f"{location.path}: a $ref to outside the schema")
        try:
            target = resolve(reference, self.root)
        except LookupError:
            raise UnsupportedSchemaError(f"{location.path}: a $ref without a target") from None
        if not isinstance(target, dict | bool):
            raise UnsupportedSchemaError(f"{location.path}: a $ref to something that is not a schema")
        return pointer, target, location.descend(refs=frozenset({pointer}))

    def name(self, pointer: str) -> str:
        """The target's name in $defs: the pointer's last step, numbered if taken. The same in every run."""
        if pointer not in self._names:
            base = _NOT_IN_NAMES.sub("_", _unescape(pointer.rpartition("/")[2])) or "_"
            taken, name, number = set(self._names.values()), base, 1
            while name in taken:
                number += 1
                name = f"{base}_{number}"
            self._names[pointer] = name
        return self._names[pointer]
