"""Forced tool calls of smolagents' ToolCallingAgent, which always sends `tool_choice: required`."""

import cases
from smolagents import LogLevel, OpenAIModel, ToolCallingAgent

MODEL = OpenAIModel(model_id=cases.MODEL, api_base=cases.BASE_URL, api_key=cases.API_KEY)


def answered(streamed: bool) -> None:
    agent = ToolCallingAgent(
        tools=[], model=MODEL, stream_outputs=streamed, verbosity_level=LogLevel.OFF, max_steps=1
    )
    agent.run(cases.FORCED_QUESTION)
    (step,) = [step for step in agent.memory.steps if hasattr(step, "is_final_answer")]
    assert step.is_final_answer, step.error


def whole() -> None:
    answered(False)


def streamed() -> None:
    answered(True)


cases.run_repeatedly(whole, streamed)
