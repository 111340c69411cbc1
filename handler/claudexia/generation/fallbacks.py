"""The setting MODEL_FALLBACKS: another model answers while the requested one is overloaded or not available."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from claudexia.errors import APIError
from claudexia.models import undated
from claudexia.translate.report import FieldWarning
from claudexia.upstream.errors import Fault, HostError

_REASONS: Mapping[Fault, str] = {
    "overloaded": "is overloaded",
    "no_model": "is not available",
}


class _Startable(Protocol):
    @property
    def model_id(self) -> str: ...


_StartableT = TypeVar("_StartableT", bound=_Startable)


async def start_with_fallbacks(
    request: _StartableT,
    start: Callable[[_StartableT], Awaitable[None]],
    fallback: Callable[[str, FieldWarning], Awaitable[_StartableT | None]],
    fallbacks: Mapping[str, str],
) -> _StartableT:
    """Starts `request` or, if its model cannot answer now, the request for the next one of `fallbacks`.

    `fallback` makes that request from the model's name and the warning for the client; None if there is none.
    Returns the request that was started. Raises the first APIError if none was.
    """
    errors: list[APIError] = []
    tried: set[str] = set()
    while True:
        try:
            await start(request)
        except APIError as error:
            errors.append(error)
            model, reason = request.model_id, _fallback_reason(error)
            tried.add(model)
            name = fallbacks.get(undated(model))
            if not reason or not name or name in tried:
                raise errors[0] from None
        else:
            return request
        try:
            following = await fallback(name, FieldWarning("model", f"{model} {reason}, so {name} answers"))
        except APIError:
            following = None
        if following is None:
            raise errors[0]
        request = following


def _fallback_reason(error: APIError) -> str | None:
    return _REASONS.get(error.fault) if isinstance(error, HostError) else None
