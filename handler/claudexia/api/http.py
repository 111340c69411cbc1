"""HTTP helpers: the request's body, its `x-claudexia-*` headers and its deadline; JSON, the warnings header."""

import asyncio
import re
from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Scope

from claudexia.api.request_body import decompressed, in_utf8, too_large
from claudexia.errors import APIError, shorten
from claudexia.generation.concurrency import LARGE_BODY, in_thread_if_large
from claudexia.json_text import dump
from claudexia.translate.report import MORE, FieldWarning

# Routes of the Messages API, without /v1.
MESSAGES, COUNT_TOKENS = "/messages", "/messages/count_tokens"

_MAX_HEADER = 4000  # characters
_NOT_PRINTABLE = re.compile(r"[^ -~]")
# How long before the end of the Lambda invocation a response ends: a second, at most a tenth of the time left.
_RESERVED_SECONDS, _RESERVED_SHARE = 1.0, 0.1

_OPPOSITES = {"true": "false", "off": "on"}


class JSONResponse(Response):
    """`content` as the JSON of json_text.dump()."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return dump(content)


async def read_body(request: Request, limit: int) -> bytes:
    """The body in UTF-8.

    Raises APIError 413 if it has more than `limit` bytes, as sent or decompressed, 415 or 400 if it cannot be
    decoded.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    body, headers = b"".join(parts), request.headers
    if coding := headers.get("content-encoding"):
        # A small body may become a thousand times as large.
        body = await in_thread_if_large(LARGE_BODY, decompressed, body, coding, limit)
    return await in_thread_if_large(len(body), in_utf8, body, headers.get("content-type", ""))


def has_flag(headers: Mapping[str, str], flag: str, value: str = "true") -> bool:
    """Whether the header `x-claudexia-<flag>` has the value `value`.

    Raises APIError 400 for a value that is neither `value` nor its opposite: the client expects an effect.
    """
    header = f"x-claudexia-{flag}"
    sent, opposite = headers.get(header, "").strip().lower(), _OPPOSITES[value]
    if sent not in {value, opposite, ""}:
        message = (
            f"Invalid header '{header}': expected '{value}' or '{opposite}', but got '{shorten(sent)}' instead."
        )
        raise APIError(400, message, code="invalid_value")
    return sent == value


def warnings_header(warnings: Sequence[FieldWarning]) -> Mapping[str, str]:
    """`x-claudexia-warnings`: what was left out or changed, in printable ASCII and of limited length.

    Other characters are escaped as in JSON.
    If there are more warnings than a request keeps, their number comes at the end, whatever else is cut off.
    """
    if not warnings:
        return {}
    text = "; ".join(
        f"{warning.param[:100]}: {warning.reason}" for warning in warnings if warning.param != MORE
    )
    printable = _NOT_PRINTABLE.sub(_escape, text[: _MAX_HEADER + 1])
    shortened = printable if len(printable) <= _MAX_HEADER else f"{printable[:_MAX_HEADER]}..."
    more = "".join(f"; {warning.reason}" for warning in warnings if warning.param == MORE)
    return {"x-claudexia-warnings": shortened + more}


def _escape(character: re.Match[str]) -> str:
    units = character[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(rf"\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def request_deadline(scope: Scope) -> float | None:
    """The event loop's time at which the response has to end; None outside Lambda.

    Lambda ends an invocation at its timeout without a word to the client. Both Mangum and the streaming runtime
    put the invocation's context into the scope.
    """
    context = scope.get("aws.context")
    if context is None:
        return None
    remaining = float(context.get_remaining_time_in_millis()) / 1000
    return asyncio.get_running_loop().time() + remaining - min(_RESERVED_SECONDS, remaining * _RESERVED_SHARE)
