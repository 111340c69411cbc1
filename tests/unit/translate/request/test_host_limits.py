"""What another host would not take of a built request."""

from typing import Any

import pytest

from claudexia.models import ALL_FEATURES, HostLimits
from claudexia.translate.request.host_limits import missing_feature

NOTHING = HostLimits("x", url_sources=False, server_tools=False, structured_output=False, strict_tools=False)
URL: Any = {"type": "url", "url": "https://example.com/a.png"}
DATA: Any = {"type": "base64", "media_type": "image/png", "data": "AA=="}


def image(source: Any) -> Any:
    return {"type": "image", "source": source}


def content(*blocks: Any) -> Any:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


CASES: list[tuple[str, Any, str | None]] = [
    ("text", content({"type": "text", "text": "url"}), None),
    ("text that is a string", {"messages": [{"role": "user", "content": "hi"}]}, None),
    ("image", content(image(DATA)), None),
    ("image by URL", content(image(URL)), "url_sources"),
    ("document by URL", content({"type": "document", "source": URL}), "url_sources"),
    ("in a tool result", content({"type": "tool_result", "tool_use_id": "t", "content": [image(URL)]}), "url_sources"),
    (
        "in a document",
        content({"type": "document", "source": {"type": "content", "content": [image(URL)]}}),
        "url_sources",
    ),
    ("search result", content({"type": "search_result", "source": "https://a", "content": []}), None),
    ("format", {"output_config": {"format": {"type": "json_schema"}}}, "structured_output"),
    ("effort", {"output_config": {"effort": "low"}}, None),
    ("tool", {"tools": [{"name": "f", "input_schema": {}, "strict": False}]}, None),
    ("strict tool", {"tools": [{"name": "f", "input_schema": {}, "strict": True}]}, "strict_tools"),
    ("web search", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "server_tools"),
    ("bash", {"tools": [{"type": "bash_20250124", "name": "bash"}]}, None),
    ("earlier search", content({"type": "server_tool_use", "id": "s", "name": "web_search"}), "server_tools"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "missing"), CASES, ids=[case[0] for case in CASES])
def test_what_a_host_lacks(name: str, params: Any, missing: str | None) -> None:
    assert missing_feature(params, NOTHING) == missing
    assert missing_feature(params, ALL_FEATURES) is None
