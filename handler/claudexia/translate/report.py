"""Fields inside messages, parts and tools that their models do not name: refused, tolerated or reported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from claudexia.errors import unsupported
from claudexia.translate.types.base import Params


class FieldWarning(NamedTuple):
    """One thing the gateway did differently from what was asked: which field, and why."""

    param: str
    why: str


@dataclass(slots=True)
class Report:
    """Collects what a request's translation has to say; raises instead when the caller is `strict`."""

    strict: bool = False
    warnings: list[FieldWarning] = field(default_factory=list)

    def warn(self, param: str, why: str) -> None:
        if self.strict:
            raise unsupported(param, f"{why} (x-claudexia-strict turns this warning into an error)")
        warning = FieldWarning(param, why)
        if warning not in self.warnings:
            self.warnings.append(warning)


# What clients echo from an answer: nothing is lost without it.
_ECHOED = {"annotations", "index", "parsed", "parsed_arguments", "prefix", "refusal"}
_REFUSED = {"audio": "Claude takes no audio"}
_EMPTY: tuple[object, ...] = (None, "", [], {}, False)
# An answer's blocks name their caller, and this one is Claude itself.
_DEFAULTS: dict[str, object] = {"caller": {"type": "direct"}}


def check_extras(given: Params, path: str, report: Report) -> None:
    """Says what is lost with each unnamed field of `given`, which stands at `path`."""
    for name, value in (given.model_extra or {}).items():
        if value in _EMPTY or value == _DEFAULTS.get(name):
            continue
        if name in _REFUSED:
            raise unsupported(f"{path}.{name}", _REFUSED[name])
        if name not in _ECHOED:
            report.warn(f"{path}.{name}", "this field is not sent on")


# --- claudexia.translate.reading
# ResponseOptions: how the answer to one request is to be told, decided where the request was translated.


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """`original_name` gives a tool the name under which the client knows it; `custom` are the names, as sent
    upstream, of tools that the client declared as custom tools.

    `reasoning` tells thinking as `reasoning_content`; `thinking_blocks` also as the signed blocks themselves.
    `json_object` tells only the one JSON object in the text. `function_call` answers in the words that
    `tool_calls` replaced.
    """

    original_name: Callable[[str], str] = str
    custom: frozenset[str] = frozenset()
    reasoning: bool = True
    thinking_blocks: bool = False
    json_object: bool = False
    function_call: bool = False


DEFAULT_OPTIONS = ResponseOptions()
