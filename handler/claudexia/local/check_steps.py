"""The checks of a deployment: each asks for one thing, and says in a short fact what it got.

A check raises StepError with one sentence where that is not what it should be.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

from claudexia.access.key_format import new_secret
from claudexia.local.check_answers import Choice, City, ErrorBody, Health, ModelList, Weather
from claudexia.local.check_client import Body, CheckClient, StepError, Streamed, parse

# An answer that is held back comes in one burst; one that streams takes a while.
_LEAST_PIECES = 3
_LEAST_SPREAD = 50.0  # milliseconds from the first piece to the last

_COUNT = (
    "Write the numbers from one to forty as English words, in their order, separated by commas, on one line, "
    "and write nothing else before them or after them."
)
_WEATHER = "What is the weather in Paris? Find out with the tool get_weather, then tell me."
_TOOL: Body = {
    "name": "get_weather",
    "description": "Tells the weather of a city.",
    "parameters": Weather.model_json_schema(),
}
_SCHEMA: Body = {"name": "city", "strict": True, "schema": City.model_json_schema()}


def _health(client: CheckClient) -> str:
    client.get("/health", Health)
    return "the gateway runs"


def _models(client: CheckClient) -> str:
    ids = [listed.id for listed in client.get("/models", ModelList).data]
    if not ids:
        raise StepError("The list is empty.")
    # A dated id, or an alias with a *, works without being listed.
    return f"{len(ids)} listed, {client.model} {'is' if client.model in ids else 'is not'} among them"


def _whole_answer(client: CheckClient) -> str:
    return f"{_said(client, {'messages': [_user('Say hello.')]})} characters"


def _streamed_answer(client: CheckClient) -> str:
    streamed = client.stream({"messages": [_user(_COUNT)], "stream_options": {"include_usage": True}})
    _expect_complete(streamed)
    chunks, pieces = len(streamed.chunks), len(streamed.arrivals)
    first, last = streamed.arrivals[0], streamed.arrivals[-1]
    if pieces < _LEAST_PIECES or last - first < _LEAST_SPREAD:
        how = "in one piece" if pieces == 1 else f"in {pieces} pieces within {last - first:.0f} ms"
        raise StepError(
            f"It does not stream: {chunks} chunks came {how}, {first:.0f} ms after the request; "
            "something on the way holds the answer back."
        )
    pause = max(later - earlier for earlier, later in pairwise(streamed.arrivals))
    return (
        f"it streams: {chunks} chunks in {pieces} pieces, the first after {first:.0f} ms, "
        f"the others over {last - first:.0f} ms, longest pause {pause:.0f} ms"
    )


def _expect_complete(streamed: Streamed) -> None:
    choices = [choice for chunk in streamed.chunks for choice in chunk.choices]
    if not any(choice.delta.content for choice in choices):
        raise StepError("The stream brought no text.")
    if not streamed.done:
        raise StepError("The stream ended without [DONE].")
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    if reasons != ["stop"]:
        raise StepError(f"The finish_reason of the stream is {reasons}, not one 'stop'.")
    if not any(chunk.usage for chunk in streamed.chunks):
        raise StepError("The stream told no usage, though it was asked for it.")


def _tool_call(client: CheckClient) -> str:
    tools: Body = {"tools": [{"type": "function", "function": _TOOL}], "tool_choice": "auto"}
    asked = _user(_WEATHER)
    choice = client.complete({"messages": [asked], **tools}).choices[0]
    city = _called_for(choice)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "21 °C, sunny"}
        for call in choice.message.tool_calls
    ]
    message = choice.message.model_dump(mode="json", exclude_unset=True)
    count = _said(client, {"messages": [asked, message, *results], **tools})
    return f"called for {city[:20]!r}; with its result, {count} characters"


def _called_for(choice: Choice) -> str:
    calls = choice.message.tool_calls
    if choice.finish_reason != "tool_calls" or not calls:
        raise StepError(f"No tool was called (finish_reason {choice.finish_reason!r}).")
    function = calls[0].function
    if function.name != _TOOL["name"]:
        raise StepError(f"A tool {function.name!r} was called, which was not offered.")
    return parse(function.arguments, Weather, "The arguments").city


def _structured_output(client: CheckClient) -> str:
    wish = {"type": "json_schema", "json_schema": _SCHEMA}
    question = _user("Which city is the capital of France?")
    choice = client.complete({"messages": [question], "response_format": wish}).choices[0]
    parse(choice.message.content or "", City, "The JSON")
    return "JSON as the schema wants it"


def _wrong_key(client: CheckClient) -> str:
    # A well-formed one: a mistyped key is told by its checksum, without a look into the table.
    error = client.get("/models", ErrorBody, key=new_secret(), status=401).error
    if error.code != "invalid_api_key":
        raise StepError(f"The error's code is {error.code!r}, not 'invalid_api_key'.")
    return "refused with 401 invalid_api_key"


def _user(content: str) -> Body:
    return {"role": "user", "content": content}


def _said(client: CheckClient, body: Body) -> int:
    """How long the text is that `body` is answered with."""
    choice = client.complete(body).choices[0]
    if choice.finish_reason != "stop" or not choice.message.content:
        raise StepError(f"There is no whole text in the answer (finish_reason {choice.finish_reason!r}).")
    return len(choice.message.content)


CHECKS: Mapping[str, Callable[[CheckClient], str]] = {
    "health": _health,
    "models": _models,
    "whole answer": _whole_answer,
    "streamed answer": _streamed_answer,
    "tool call": _tool_call,
    "structured output": _structured_output,
    "wrong key": _wrong_key,
}
