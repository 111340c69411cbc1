"""Forced tool calls of instructor in the modes TOOLS and TOOLS_STRICT, whole and streamed."""

from collections.abc import Iterator

import cases
import instructor
from openai import OpenAI

MODES = (instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT)
REQUEST = {"model": cases.MODEL, "messages": cases.user_message(cases.FORCED_QUESTION), "max_retries": 0}


def clients() -> Iterator[instructor.Instructor]:
    openai = OpenAI(base_url=cases.BASE_URL, api_key=cases.API_KEY, max_retries=0)
    return (instructor.from_openai(openai, mode=mode) for mode in MODES)


def whole() -> None:
    for client in clients():
        assert isinstance(client.create(response_model=cases.Plan, **REQUEST), cases.Plan)


def streamed() -> None:
    for client in clients():
        *_, plan = client.create_partial(response_model=cases.Plan, **REQUEST)
        cases.Plan.model_validate(plan.model_dump())


cases.run_repeatedly(whole, streamed)
