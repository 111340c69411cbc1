"""Forced tool calls of LangChain: with_structured_output(method="function_calling"), whole and streamed."""

import cases
from langchain_openai import ChatOpenAI

MODEL = ChatOpenAI(model=cases.MODEL, base_url=cases.BASE_URL, api_key=cases.API_KEY, max_retries=0)
STRUCTURED = MODEL.with_structured_output(cases.Plan, method="function_calling")


def whole() -> None:
    assert isinstance(STRUCTURED.invoke(cases.FORCED_QUESTION), cases.Plan)


def streamed() -> None:
    *_, plan = STRUCTURED.stream(cases.FORCED_QUESTION)
    assert isinstance(plan, cases.Plan)


cases.run_repeatedly(whole, streamed)
