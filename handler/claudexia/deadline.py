"""When an answer has to be over: Lambda ends an invocation that takes too long without a word to the client."""

import asyncio

from starlette.types import Scope

from claudexia.translate import APIError

# What is kept for the last words: a second, but never more than a tenth of the time.
_RESERVE, _SHARE = 1.0, 0.1


def deadline_of(scope: Scope) -> float | None:
    """The event loop's time at which the answer has to end; None outside Lambda, where nobody stops it.

    Both Mangum and the streaming runtime put the invocation's context into the scope.
    """
    context = scope.get("aws.context")
    if context is None:
        return None
    left = float(context.get_remaining_time_in_millis()) / 1000
    return asyncio.get_running_loop().time() + left - min(_RESERVE, left * _SHARE)


def out_of_time() -> APIError:
    return APIError(
        504,
        "The answer was not complete when this deployment's time for one was over. Ask for fewer tokens, or "
        "let the gateway's operator raise the function's timeout.",
        type="server_error",
        code="timeout",
    )
