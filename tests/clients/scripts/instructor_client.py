"""instructor over openai-python: its structured output, its streaming of it, its parallel tools."""

from collections.abc import Iterable
from typing import Any

import cases
import instructor
import openai
from instructor.core.exceptions import InstructorRetryException
from openai import OpenAI


def client(
    mode: instructor.Mode = instructor.Mode.TOOLS, api_key: str = cases.API_KEY
) -> instructor.Instructor:
    return instructor.from_openai(OpenAI(base_url=cases.BASE_URL, api_key=api_key), mode=mode)


def text() -> None:
    completion = client().create(
        model=cases.MODEL, messages=cases.user_message(cases.QUESTION), response_model=None
    )
    assert completion.choices[0].message.content


def stream() -> None:
    plans = list(
        client().create_partial(
            model=cases.MODEL, messages=cases.user_message(cases.PLAN_QUESTION), response_model=cases.Plan
        )
    )
    assert len(plans) > 1, plans
    cases.Plan.model_validate(plans[-1].model_dump())


def tools() -> None:
    parallel = client(instructor.Mode.PARALLEL_TOOLS)
    answers: list[Any] = []
    parallel.on("completion:response", answers.append)
    messages = cases.user_message(cases.TOOLS_QUESTION)
    found = parallel.create(
        model=cases.MODEL, messages=messages, response_model=Iterable[cases.GetWeather | cases.GetTime]
    )
    functions = {cases.GetWeather: cases.get_weather, cases.GetTime: cases.get_time}
    results = [functions[type(call)](**call.model_dump()) for call in found]
    message = answers[0].choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call, result in zip(message.tool_calls, results, strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    final = client().create(model=cases.MODEL, messages=messages, response_model=None)
    cases.assert_tools_ran(final.choices[0].message.content)


def structured() -> None:
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        plan = client(mode).create(
            model=cases.MODEL, messages=cases.user_message(cases.PLAN_QUESTION), response_model=cases.Plan
        )
        assert isinstance(plan, cases.Plan), (mode, plan)


def image() -> None:
    content = [cases.IMAGE_QUESTION, instructor.Image.from_base64(cases.IMAGE)]
    completion = client().create(model=cases.MODEL, messages=cases.user_message(content), response_model=None)
    cases.assert_image_seen(completion.choices[0].message.content)


def attempt(model: str = cases.MODEL, api_key: str = cases.API_KEY) -> None:
    """Raises the SDK's error, which instructor's own has as its cause."""
    try:
        client(api_key=api_key).create(
            model=model, messages=cases.user_message(cases.PLAN_QUESTION), response_model=cases.Plan
        )
    except InstructorRetryException as failure:
        raise failure.__cause__ or failure from failure


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        attempt(model=cases.WRONG_MODEL)
    with cases.assert_raises(openai.AuthenticationError, 401):
        attempt(api_key=cases.WRONG_KEY)


cases.run("instructor", text, stream, tools, structured, image, error)
