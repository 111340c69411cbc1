"""dspy with its model of OpenAI-compatible servers, its adapters, and its agent with native tool calls."""

import asyncio
import json

import cases
import dspy
from dspy.clients.engines.streaming import EngineChunk


class Planning(dspy.Signature):
    question: str = dspy.InputField()
    plan: cases.Plan = dspy.OutputField()


def model(name: str = cases.MODEL, api_key: str = cases.API_KEY) -> dspy.LM:
    return dspy.LM(f"openai/{name}", api_base=cases.BASE_URL, api_key=api_key, cache=False, num_retries=0)


def outputs(used: dspy.LM) -> str:
    """All outputs of the model."""
    return str([entry["outputs"] for entry in used.history])


def text() -> None:
    used = model()
    (answer,) = used(cases.QUESTION)
    assert answer
    assert used.history[-1]["usage"]["completion_tokens"] > 0


def stream() -> None:
    async def streamed() -> list[object]:
        program = dspy.streamify(dspy.Predict("question -> answer"))
        return [event async for event in program(question=cases.QUESTION)]

    with dspy.context(lm=model(), adapter=dspy.JSONAdapter()):
        *events, prediction = asyncio.run(streamed())
    chunks = [event for event in events if isinstance(event, EngineChunk)]
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    cases.assert_pieces(pieces, json.dumps({"answer": prediction.answer}))


def tools() -> None:
    """The agent ends with a forced call of its tool `submit`, so the tools' results are in its other outputs."""
    used = model()
    with dspy.context(lm=used, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        agent = dspy.ReActV2("question -> answer", tools=[cases.get_weather, cases.get_time])
        assert agent(question=cases.TOOLS_QUESTION).answer
    cases.assert_tools_ran(outputs(used))


def structured() -> None:
    """By an answer schema, and by words with the schema as the second try."""
    for adapter in (dspy.JSONAdapter(), dspy.ChatAdapter()):
        with dspy.context(lm=model(), adapter=adapter):
            plan = dspy.Predict(Planning)(question=cases.PLAN_QUESTION).plan
        assert isinstance(plan, cases.Plan), plan


def image() -> None:
    used = model()
    with dspy.context(lm=used):
        dspy.Predict("picture: dspy.Image, question -> answer")(
            picture=dspy.Image(cases.IMAGE), question=cases.IMAGE_QUESTION
        )
    cases.assert_image_seen(outputs(used))


def error() -> None:
    with cases.assert_raises(dspy.LMUnsupportedModelError, 404, "status"):
        model(cases.WRONG_MODEL)(cases.QUESTION)
    with cases.assert_raises(dspy.LMAuthError, 401, "status"):
        model(api_key=cases.WRONG_KEY)(cases.QUESTION)


cases.run("dspy", text, stream, tools, structured, image, error)
