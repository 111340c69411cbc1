"""The page at `/`: who gets it, and what its headers allow. tests/slow/test_page.py runs it in a browser."""

import base64
import hashlib
import re
from collections.abc import Mapping

import httpx
import pytest

from claudexia.settings import Settings
from tests.helpers.serving import Upstream, gateway

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
ACCEPT: dict[str, tuple[str, bool]] = {
    "a browser": (CHROME, True),
    "another spelling": ("Text/HTML", True),
    "curl": ("*/*", False),
    "an API client": ("application/json", False),
    "no preference": ("", False),
}


def get(accept: str, method: str = "GET", **settings: bool) -> httpx.Response:
    with gateway(Upstream(), **settings) as url:
        return httpx.request(method, url.removesuffix("v1"), headers={"accept": accept})


@pytest.mark.parametrize(("accept", "is_page"), ACCEPT.values(), ids=ACCEPT.keys())
def test_browsers_get_the_page_and_clients_get_json(accept: str, is_page: bool) -> None:
    response = get(accept)
    assert response.status_code == 200
    assert response.headers["vary"] == "accept"
    if is_page:
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "<title>Claudexia</title>" in response.text
    else:
        assert response.json() == {"status": "ok"}


@pytest.mark.parametrize("accept", [CHROME, "*/*"])
def test_head_has_no_body(accept: str) -> None:
    response = get(accept, "HEAD")
    assert (response.status_code, response.content) == (200, b"")


def test_browsers_get_json_if_the_page_is_off() -> None:
    assert get(CHROME, page=False).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("environ", "served"),
    [({}, True), ({"SERVE_PAGE": "off"}, False), ({"SERVE_PAGE": "on", "AWS_LAMBDA_FUNCTION_NAME": "f"}, True)],
    ids=str,
)
def test_the_setting(environ: Mapping[str, str], served: bool) -> None:
    assert Settings.from_env(environ).page is served


def test_the_policy_allows_the_page_and_nothing_else() -> None:
    response = get(CHROME)
    directives = dict(
        directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; ")
    )
    inline = {
        name: base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for name, content in re.findall(r"<(script|style)>(.*?)</\1>", response.text, re.DOTALL)
    }
    assert directives == {
        "default-src": "'none'",
        "script-src": f"'sha256-{inline['script']}'",
        "style-src": f"'sha256-{inline['style']}'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_the_page_has_no_external_resources() -> None:
    html = re.sub(r"<script>.*?</script>", "", get(CHROME).text, flags=re.DOTALL)
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!["']?data:)\S+""", html) == []
    assert "@import" not in html
