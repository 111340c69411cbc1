"""What comes in and goes out around a completion: the request's body and wishes, the response's warnings."""

from collections.abc import Mapping, Sequence

from fastapi import Request

from claudexia.translate import APIError
from claudexia.translate.fields import Warned

_HEADER_LIMIT = 4000


async def read_body(request: Request, limit: int) -> bytes:
    """Raises APIError 413 beyond `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise APIError(
                413, f"The request is larger than {limit // 2**20} MB, the limit.", code="request_too_large"
            )
        parts.append(part)
    return b"".join(parts)


def asks(headers: Mapping[str, str], wish: str, value: str = "true") -> bool:
    """Whether the header `x-claudexia-<wish>` says `value`."""
    return headers.get(f"x-claudexia-{wish}", "").lower() == value


def warnings_header(warnings: Sequence[Warned]) -> Mapping[str, str]:
    """Names what was left out or changed, as far as a header may carry it."""
    if not warnings:
        return {}
    told = "; ".join(f"{warning.param[:100]}: {warning.why}" for warning in warnings)
    plain = "".join(char if " " <= char <= "~" else "?" for char in told)
    return {"x-claudexia-warnings": plain if len(plain) <= _HEADER_LIMIT else f"{plain[:_HEADER_LIMIT]}..."}
