"""Every recorded client request becomes a request that the Messages API accepts, or a 400 that names the field."""

import json

import pytest

from claudexia.errors import APIError
from claudexia.models import find_model
from claudexia.translate.request.build import to_message_params
from claudexia.translate.request.parse import parse_params
from tests.fakes.anthropic.rules import assert_accepted
from tests.helpers import recordings

pytestmark = recordings.needs_recordings

MODELS = ["claude-sonnet-4-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-from-next-year"]
SAMPLING = {"temperature", "top_p", "top_k"}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", recordings.names("openai_requests", ".json"))
def test_recorded_request_is_valid_or_a_400_that_names_the_field(name: str, model: str) -> None:
    body = recordings.read_bytes("openai_requests", name, ".json")
    try:
        params = parse_params(body)
        capabilities = find_model(model, {})
        request = to_message_params(params, capabilities)
    except APIError as error:
        assert error.status == 400
        assert error.type == "invalid_request_error"
        assert error.param
        field = error.param.split(".")[0].split("[")[0]
        assert field in json.loads(body) or error.code == "missing_required_parameter"
        return
    sent = json.loads(json.dumps(request.params))
    assert_accepted(sent)
    if not capabilities.sampling:
        assert not SAMPLING & sent.keys()
    if not capabilities.forced_tool_choice:
        assert sent.get("tool_choice", {}).get("type") not in ("any", "tool")
    if not capabilities.prefill:
        assert sent["messages"][-1]["role"] in ("user", "system")
