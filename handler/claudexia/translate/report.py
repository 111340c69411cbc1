"""What the translation of a request yields beside the upstream body: warnings, errors and response options."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from claudexia.errors import APIError, invalid_request, missing, shorten, unsupported
from claudexia.models import ALL_FEATURES, HostLimits
from claudexia.translate.types.base import Params

# One part of a request's path: the name of a field or the index of an array item.
Step = str | int


Path = tuple[Step, ...]
# Where parts of the translated request are in the client's own body, by their path in the former. The longest
# path counts, and what follows it is kept.
Paths = Mapping[Path, Path]

# A warning before its path is spelled.
_Found = tuple[Path, str]

MAX_WARNINGS = 100
# The `param` of the warning that stands for the others.
MORE = "..."


class FieldWarning(NamedTuple):
    """The gateway handled the field `param` differently from what the client requested, for this reason."""

    param: str
    reason: str


def spell_path(steps: Iterable[Step]) -> str:
    """`("messages", 3, "content")` as `messages[3].content`, the form of OpenAI's `param`.

    A field below one whose name is "" is not the field of that name at the root: `.content`.
    """
    # The dot before the first field is left out.
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


@dataclass(frozen=True, slots=True)
class _Request:
    """What all reports of one request share. `found` is a set that keeps the order."""

    strict: bool
    host: HostLimits
    found: dict[_Found, None]
    paths: Paths


class Report:
    """Warnings and errors about one place in a request.

    `Report(strict)` is the root. `at()` returns a report for a place below; all reports of one request share
    one list of warnings. With `strict`, `warn()` raises APIError 400 instead of collecting. `host` is what the
    host of the request takes.
    """

    __slots__ = ("_request", "steps")

    def __init__(self, strict: bool = False, host: HostLimits = ALL_FEATURES) -> None:
        self._request = _Request(strict, host, {}, {})
        self.steps: Path = ()

    def at(self, *steps: Step) -> "Report":
        """The report for a place below this one: `report.at("messages", 3, "content", 0)`."""
        below = object.__new__(Report)  # without __init__: many messages, parts and calls have one
        below._request, below.steps = self._request, self.steps + steps
        return below

    def with_paths(self, paths: Paths) -> "Report":
        """The root for a request that was made from the client's body, with the same list of warnings."""
        root = Report()
        root._request = replace(self._request, paths=paths)
        return root

    def for_host(self, host: HostLimits) -> "Report":
        """A report of the same place that starts with these warnings, for a request to `host`."""
        root = Report()
        root._request = replace(self._request, host=host, found={**self._request.found})
        return root.at(*self.steps)

    @property
    def host(self) -> HostLimits:
        return self._request.host

    @property
    def path(self) -> Path:
        """The path of this place in the client's body."""
        steps, paths = self.steps, self._request.paths
        if not paths:
            return steps
        for length in range(len(steps), 0, -1):
            if found := paths.get(steps[:length]):
                return found + steps[length:]
        return steps

    @property
    def param(self) -> str:
        """`path` as text; "" at the root."""
        return spell_path(self.path)

    @property
    def warnings(self) -> list[FieldWarning]:
        """The warnings of the whole request, each once, in the order in which they were given.

        After MAX_WARNINGS of them, one more has the number of the others.
        """
        found = self._request.found
        shown = [FieldWarning(spell_path(steps), reason) for steps, reason in islice(found, MAX_WARNINGS)]
        more = len(found) - len(shown)
        return [*shown, FieldWarning(MORE, f"and {more:,} more warnings")] if more else shown

    def warn(self, reason: str) -> None:
        request = self._request
        if request.strict:
            raise self.unsupported(f"{reason} (x-claudexia-strict turns this warning into an error)")
        request.found[self.path if request.paths else self.steps, reason] = None

    @property
    def found(self) -> "tuple[_Found, ...]":
        """The warnings of the whole request, for warn_again()."""
        return tuple(self._request.found)

    def warn_again(self, found: Iterable[_Found]) -> None:
        """Gives the warnings of another request, which had no paths, at the same places below this one."""
        for steps, reason in found:
            self.at(*steps).warn(reason)

    def invalid(self, reason: str, code: str = "invalid_value") -> APIError:
        """A 400 whose message starts with the path."""
        return self.error(f"Invalid '{shorten(self.param)}': {reason}.", code)

    def error(self, message: str, code: str | None = None) -> APIError:
        """A 400 with its own message."""
        return invalid_request(message, self.param, code)

    def missing(self) -> APIError:
        """A 400 for a required field."""
        return missing(self.param)

    def unsupported(self, reason: str) -> APIError:
        """A 400 for what Claude or the gateway cannot do."""
        return unsupported(self.param, reason)


# Clients copy these fields from a response into the next request. Without them nothing is lost.
_RESPONSE_FIELDS = {"annotations", "index", "parsed", "parsed_arguments", "prefix", "refusal", "role"}
_REJECTED = {"audio": "Claude takes no audio"}
_EMPTY: tuple[object, ...] = (None, "", [], {}, False)
# The blocks of an answer name their caller; this value stands for Claude itself.
_DEFAULTS: dict[str, object] = {"caller": {"type": "direct"}}


def check_extras(given: Params, report: Report) -> None:
    """Warns of each field of `given` that its model does not name. Raises APIError 400 for audio."""
    extra = given.__pydantic_extra__  # not model_extra, a property: this is called for each message and part
    if not extra:
        return
    for name, value in extra.items():
        if value in _EMPTY or value == _DEFAULTS.get(name):
            continue
        if name in _REJECTED:
            raise report.at(name).unsupported(_REJECTED[name])
        if name not in _RESPONSE_FIELDS:
            report.at(name).warn("this field is not sent on")


@dataclass(frozen=True, slots=True)
class ResponseOptions:
    """How the response to one request is written.

    original_name    returns the client's name of a tool for its upstream name
    custom           upstream names of the tools that the client declared as custom tools
    reasoning        write thinking as `reasoning_content`
    thinking_blocks  write the signed thinking blocks, too
    json_object      write only the JSON object in the text
    function_call    write a tool call as the legacy `function_call`
    argument_names   by the upstream name of a tool: the client's names of arguments by their upstream names
    named_call       the client named the tool that is called
    host             the host that answers, as in the setting UPSTREAM; "" means not known
    """

    original_name: Callable[[str], str] = str
    custom: frozenset[str] = frozenset()
    reasoning: bool = True
    thinking_blocks: bool = False
    json_object: bool = False
    function_call: bool = False
    argument_names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    named_call: bool = False
    host: str = ""


DEFAULT_OPTIONS = ResponseOptions()


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How a text stands for calls.

    name      the tool whose arguments the text is; "" if the text holds the names of its calls
    selected  the text is one object with the name and, as a string, the arguments
    """

    name: str = ""
    selected: bool = False


SELECTED = CallFormat(selected=True)
