"""References: where a $ref leads, and the name its target gets among the adapted schema's $defs."""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from claudexia.translate.schema_keywords import Schema, UnfitError

MAX_DEPTH = 64
ROOT = "root"
_OUTSIDE = re.compile(r"[^a-zA-Z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema the adapter is: a path for people, and the references it came through."""

    path: str = ROOT
    refs: frozenset[str] = frozenset()
    depth: int = 0

    def deeper(self, path: str = "", refs: frozenset[str] = frozenset()) -> "Place":
        if self.depth >= MAX_DEPTH:
            raise UnfitError(f"nested deeper than {MAX_DEPTH} levels")
        return replace(self, path=path or self.path, refs=self.refs | refs, depth=self.depth + 1)

    def property(self, name: str) -> str:
        return name if self.path == ROOT else f"{self.path}.{name}"


@dataclass(slots=True)
class References:
    """The references of the schema `root`, by their pointers."""

    root: Schema
    _names: dict[str, str] = field(default_factory=dict)

    def follow(self, ref: str, place: Place) -> tuple[str, Schema | bool, Place]:
        """The reference's pointer, its target and the place one level further in.

        Raises UnfitError for what lies outside the schema, leads nowhere or contains itself.
        """
        pointer = unquote(ref)
        if pointer in place.refs or pointer in ("#", ""):
            raise UnfitError(f"{place.path}: recursion")
        if not pointer.startswith("#/"):
            raise UnfitError(f"{place.path}: a $ref to outside the schema")
        return pointer, self._target(pointer, place.path), place.deeper(refs=frozenset({pointer}))

    def name(self, pointer: str) -> str:
        """Unique and the same in every run: the pointer's last step, numbered where two end alike."""
        if pointer not in self._names:
            base = _OUTSIDE.sub("_", _unescaped(pointer.rpartition("/")[2])) or "_"
            taken, name, number = set(self._names.values()), base, 1
            while name in taken:
                number += 1
                name = f"{base}_{number}"
            self._names[pointer] = name
        return self._names[pointer]

    def _target(self, pointer: str, path: str) -> Schema | bool:
        here: object = self.root
        for step in pointer.split("/")[1:]:
            key = _unescaped(step)
            if isinstance(here, dict) and key in here:
                here = here[key]
            elif isinstance(here, list) and key.isdecimal() and int(key) < len(here):
                here = here[int(key)]
            else:
                raise UnfitError(f"{path}: a $ref that leads nowhere")
        if not isinstance(here, dict | bool):
            raise UnfitError(f"{path}: a $ref to what is no schema")
        return here


def _unescaped(step: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc6901#section-4"""
    return step.replace("~1", "/").replace("~0", "~")
