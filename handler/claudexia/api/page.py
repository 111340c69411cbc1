"""The page at `/`, where a browser can try the gateway: page.html, one file without external resources."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse

_FILE = Path(__file__).with_name("page.html")
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def prefers_html(headers: Mapping[str, str]) -> bool:
    """Whether the client is a browser that opens a page. API clients accept `*/*` or JSON."""
    return "text/html" in headers.get("accept", "").lower()


def page() -> HTMLResponse:
    html, policy = _page_and_policy()
    headers = {
        "cache-control": "no-cache",
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "vary": "accept",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(html, headers=headers)


@cache
def _page_and_policy() -> tuple[str, str]:
    """The page, and a policy that allows its own script and style, by their hashes, and requests to its origin.

    Source: https://www.w3.org/TR/CSP3/
    """
    html = _FILE.read_text("utf-8")
    sources = {name: _hash(content) for name, content in _INLINE.findall(html)}
    policy = (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
