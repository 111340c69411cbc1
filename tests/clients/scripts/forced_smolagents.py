"""Forced tool calls of smolagents' ToolCallingAgent, which always sends `tool_choice: required`."""

import json

import cases
from smolagents import LogLevel, OpenAIModel, ToolCallingAgent

MODEL = OpenAIModel(model_id=cases.MODEL, api_base=cases.BASE_URL, api_key=cases.API_KEY)
ANSWER = "A picnic in the park"
TASK = f"[use final_answer {json.dumps({'answer': ANSWER})}]"


def answered(streamed: bool) -> None:
    agent = ToolCallingAgent(
        tools=[], model=MODEL, stream_outputs=streamed, verbosity_level=LogLevel.OFF, max_steps=1
    )
    assert agent.run(TASK) == ANSWER
    assert not [step for step in agent.memory.steps if getattr(step, "error", None)]


def whole() -> None:
    answered(False)


def streamed() -> None:
    answered(True)


cases.run_repeatedly(whole, streamed)
