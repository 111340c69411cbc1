"""Simon Willison's llm with models from its own extra-openai-models.yaml, of both APIs."""

import base64
import json
import os
import tempfile
from pathlib import Path

import cases
import openai


def declare_models(*names: str) -> None:
    """Writes the file in which users name models of other servers. JSON is YAML, too."""
    folder = Path(tempfile.mkdtemp())
    features = dict.fromkeys(("vision", "supports_schema", "supports_tools", "reasoning"), True)
    if cases.RESPONSES:
        features["responses"] = True
    models = [
        {"model_id": f"my-{name}", "model_name": name, "api_base": cases.BASE_URL, "api_key_name": "my"}
        | features
        for name in names
    ]
    (folder / "extra-openai-models.yaml").write_text(json.dumps(models))
    (folder / "keys.json").write_text(json.dumps({"my": cases.API_KEY}))
    os.environ["LLM_USER_PATH"] = str(folder)


declare_models(cases.MODEL, cases.WRONG_MODEL)

import llm  # noqa: E402 - it reads the file above


def model(name: str = cases.MODEL) -> llm.Model:
    return llm.get_model(f"my-{name}")


def text() -> None:
    response = model().prompt(cases.QUESTION, stream=False)
    assert response.text()
    assert response.usage().output > 0


def stream() -> None:
    response = model().prompt(cases.QUESTION)
    cases.assert_pieces(list(response), response.text())
    assert response.usage().output > 0


def tools() -> None:
    """A chain until there are no more calls, whole and streamed."""
    for streamed in (False, True):
        cases.calls.clear()
        offered = [cases.get_weather, cases.get_time]
        chain = model().chain(cases.TOOLS_QUESTION, tools=offered, stream=streamed)
        cases.assert_tools_ran(chain.text())


def structured() -> None:
    cases.Plan.model_validate_json(model().prompt(cases.PLAN_QUESTION, schema=cases.Plan).text())


def image() -> None:
    picture = llm.Attachment(type="image/png", content=base64.b64decode(cases.PNG))
    cases.assert_image_seen(model().prompt(cases.IMAGE_QUESTION, attachments=[picture]).text())


def error() -> None:
    with cases.assert_raises(openai.NotFoundError, 404):
        model(cases.WRONG_MODEL).prompt(cases.QUESTION).text()
    with cases.assert_raises(openai.AuthenticationError, 401):
        model().prompt(cases.QUESTION, key=cases.WRONG_KEY).text()


cases.run("llm", text, stream, tools, structured, image, error)
