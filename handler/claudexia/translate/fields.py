"""To, Composed, Ignored, Rejected: what can happen to an OpenAI field.

Each field of CompletionCreateParams carries exactly one of them beside its type. `request.py` acts on the
rows, the tests hold them against the newest OpenAI SDK, and the README's table is printed from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from claudexia.translate.errors import APIError, unsupported


class Warned(NamedTuple):
    """One thing the gateway did differently from what was asked: which field, and why."""

    param: str
    why: str


@dataclass(slots=True)
class Report:
    """Collects what a request's translation has to say; raises instead when the caller is `strict`."""

    strict: bool = False
    warnings: list[Warned] = field(default_factory=list)

    def warn(self, param: str, why: str) -> None:
        if self.strict:
            raise unsupported(param, f"{why} (x-claudexia-strict turns this warning into an error)")
        warning = Warned(param, why)
        if warning not in self.warnings:
            self.warnings.append(warning)


# Gets the field's value and a function that reports what was changed; returns what to send, None for nothing.
Convert = Callable[[Any, Callable[[str], None]], object]


def unchanged(value: object, warn: Callable[[str], None]) -> object:
    return value


class To(NamedTuple):
    """Native: `convert(value)` goes to the Messages API parameter `target` (dots lead into objects).

    Where two fields share a target, the field named by `yields_to` wins when both are set.
    """

    target: str
    convert: Convert = unchanged
    note: str = ""
    yields_to: str = ""


class Composed(NamedTuple):
    """Native, but only together with other fields: `target` says where it ends, a function in the core how."""

    target: str
    note: str = ""


class Ignored(NamedTuple):
    """A hint that only shades quality: left out, and said so unless the value is one of `harmless`."""

    why: str
    harmless: Sequence[object] = ()


class Rejected(NamedTuple):
    """A promise Claude cannot keep: a 400, unless the value is one of `harmless`."""

    why: str
    harmless: Sequence[object] = ()

    def error(self, param: str) -> APIError:
        return unsupported(param, self.why)


Verdict = To | Composed | Ignored | Rejected
