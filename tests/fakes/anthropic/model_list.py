"""Responses of the Models API.

https://platform.claude.com/docs/en/api/models/list
"""

from typing import Any

from tests.fakes.anthropic.models import MODELS, ModelFacts

Json = dict[str, Any]
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_THINKING = ("adaptive", "between_tools", "disabled", "enabled")
_ALWAYS = ("batch", "citations", "code_execution", "image_input", "pdf_input", "structured_outputs")


def model_list() -> Json:
    data = [model_info(model) for model in MODELS]
    return {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}


def model_info(model: ModelFacts) -> Json:
    deprecated = "2026-08-01T00:00:00Z" if model.lifecycle == "deprecated" else None
    return {
        "type": "model", "id": model.id, "display_name": model.id.replace("-", " ").title(), "line": model.line,
        "created_at": f"{model.created}T00:00:00Z", "lifecycle": model.lifecycle, "deprecated_at": deprecated,
        "retires_at": model.retires and f"{model.retires}T00:00:00Z",
        "max_input_tokens": model.window, "max_tokens": model.max_output, "capabilities": _capabilities(model),
    }  # fmt: skip


def _capabilities(model: ModelFacts) -> Json:
    return {
        **{name: _support(True) for name in _ALWAYS},
        "context_management": {
            **_support(True),
            **{
                name: _support(True)
                for name in ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")
            },
        },
        "effort": {
            **_support(bool(model.efforts)),
            **{name: _support(name in model.efforts) for name in _EFFORTS},
        },
        "server_tools": {name: _support(True) for name in ("web_search", "code_execution")},
        "thinking": {**_support(True), "types": {name: _support(name in model.thinking) for name in _THINKING}},
    }


def _support(supported: bool) -> Json:
    return {"supported": supported}
