"""Results of the web search server tool, and text that cites them.

https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool
"""

from typing import Any

from tests.fakes.anthropic.signing import Signer

PAGES = (
    ("https://example.com/paris", "Paris", "Paris is the capital of France."),
    ("https://example.org/seine", "The Seine", "The Seine flows through Paris."),
)


def search_blocks(signer: Signer, call_id: str, query: str) -> list[dict[str, Any]]:
    """A web search call and its result."""
    results = [
        {"type": "web_search_result", "url": url, "title": title, "encrypted_content": signer.seal(url), "page_age": "2 days ago"}
        for url, title, _quote in PAGES
    ]  # fmt: skip
    return [
        {"type": "server_tool_use", "id": call_id, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": call_id, "content": results},
    ]


def cited_text(signer: Signer) -> list[dict[str, Any]]:
    """Several text blocks, of which two have citations."""
    first, second = (_cited(signer, *page) for page in PAGES)
    return [_text("I found this: "), first, _text(" Moreover: "), second, _text(" That is all.")]


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def _cited(signer: Signer, url: str, title: str, quote: str) -> dict[str, Any]:
    citation = {
        "type": "web_search_result_location", "url": url, "title": title, "cited_text": quote,
        "encrypted_index": signer.seal(quote),
    }  # fmt: skip
    return {**_text(quote), "citations": [citation]}
