"""Fields inside messages, parts and tools that their models do not name: refused, tolerated or reported."""

from claudexia.translate.errors import unsupported
from claudexia.translate.fields import Report
from claudexia.translate.params import Params

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
