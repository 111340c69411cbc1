"""Forced tool calls of llama-index: structured_predict() and as_structured_llm(), whole and streamed."""

import cases
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai_like import OpenAILike

MODEL = OpenAILike(
    model=cases.MODEL,
    api_base=cases.BASE_URL,
    api_key=cases.API_KEY,
    is_chat_model=True,
    is_function_calling_model=True,
    max_retries=0,
)
PROMPT, QUESTION = PromptTemplate(cases.FORCED_QUESTION), [ChatMessage(cases.FORCED_QUESTION)]


def structured_predict() -> None:
    assert isinstance(MODEL.structured_predict(cases.Plan, PROMPT), cases.Plan)


def as_structured_llm() -> None:
    assert isinstance(MODEL.as_structured_llm(cases.Plan).chat(QUESTION).raw, cases.Plan)


def as_structured_llm_streamed() -> None:
    *_, last = MODEL.as_structured_llm(cases.Plan).stream_chat(QUESTION)
    cases.Plan.model_validate(last.raw.model_dump())


def stream_structured_predict() -> None:
    *_, plan = MODEL.stream_structured_predict(cases.Plan, PROMPT)
    cases.Plan.model_validate(plan.model_dump())


cases.run_repeatedly(
    structured_predict, as_structured_llm, as_structured_llm_streamed, stream_structured_predict
)
