"""Request bodies in other encodings are read, or refused with the encoding's name."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.helpers.serving import KEY, Upstream, gateway
from tests.helpers.waiting import PATIENCE

LIMIT = 20_000
TEXT = "h\u00e9llo \U0001f600"
BODY: dict[str, Any] = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": TEXT}]}
JSON = json.dumps(BODY, ensure_ascii=False)
PLAIN = JSON.encode()
LATIN = JSON.replace("\U0001f600", "").encode("latin-1")


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def url(upstream: Upstream) -> Iterator[str]:
    with gateway(upstream, max_body=LIMIT) as url:
        yield url


def post(url: str, body: bytes, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{url}/chat/completions", content=body, headers=sent, timeout=PATIENCE)


READ = {
    "gzip": (gzip.compress(PLAIN), {"content_encoding": "gzip"}, TEXT),
    "gzip-in-two-members": (gzip.compress(PLAIN[:9]) + gzip.compress(PLAIN[9:]), {"content_encoding": "gzip"}, TEXT),
    "x-gzip": (gzip.compress(PLAIN), {"content_encoding": "X-Gzip"}, TEXT),
    "deflate": (zlib.compress(PLAIN), {"content_encoding": "deflate"}, TEXT),
    "deflate-without-header": (raw_deflate(PLAIN), {"content_encoding": "deflate"}, TEXT),
    "identity": (PLAIN, {"content_encoding": "identity"}, TEXT),
    "utf-8-bom": (JSON.encode("utf-8-sig"), {}, TEXT),
    "utf-16-bom": (JSON.encode("utf-16"), {}, TEXT),
    "utf-16-little": (JSON.encode("utf-16-le"), {}, TEXT),
    "utf-16-big": (JSON.encode("utf-16-be"), {"content_type": "application/json; charset=UTF-16"}, TEXT),
    "utf-32": (JSON.encode("utf-32"), {}, TEXT),
    "gzip-of-utf-16": (gzip.compress(JSON.encode("utf-16")), {"content_encoding": "gzip"}, TEXT),
    "charset-utf-8": (PLAIN, {"content_type": 'application/json; charset="UTF-8"'}, TEXT),
    "charset-latin-1": (LATIN, {"content_type": "application/json; charset=ISO-8859-1"}, TEXT[:-1]),
    "utf-8-called-latin-1": (PLAIN, {"content_type": "application/json; charset=ISO-8859-1"}, TEXT),
    "no-content-type": (PLAIN, {"content_type": "text/plain"}, TEXT),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_read(url: str, upstream: Upstream, name: str) -> None:
    body, headers, text = READ[name]
    response = post(url, body, **headers)
    assert response.status_code == 200, response.text
    (content,) = [block for block in upstream.bodies[-1]["messages"][-1]["content"] if block["type"] == "text"]
    assert content["text"].strip() == text.strip()


REFUSED = {
    "brotli": (PLAIN, {"content_encoding": "br"}, 415, "'br'"),
    "zstd": (PLAIN, {"content_encoding": "zstd"}, 415, "'zstd'"),
    "twice": (gzip.compress(gzip.compress(PLAIN)), {"content_encoding": "gzip, gzip"}, 415, "'gzip, gzip'"),
    "not-gzip": (PLAIN, {"content_encoding": "gzip"}, 400, "not gzip data"),
    "half-of-gzip": (gzip.compress(PLAIN)[:-20], {"content_encoding": "gzip"}, 400, "could not be decompressed"),
    "not-deflate": (b"\xff\xff" + PLAIN, {"content_encoding": "deflate"}, 400, "not deflate data"),
    "a-bomb": (gzip.compress(bytes(5_000_000)), {"content_encoding": "gzip"}, 413, "larger than"),
    "a-raw-bomb": (raw_deflate(bytes(5_000_000)), {"content_encoding": "deflate"}, 413, "larger than"),
    "a-bomb-of-members": (gzip.compress(bytes(9_000)) * 3, {"content_encoding": "gzip"}, 413, "larger than"),
    "unknown-charset": (PLAIN, {"content_type": "application/json; charset=klingon"}, 415, "'klingon'"),
    "no-text-codec": (PLAIN, {"content_type": "application/json; charset=base64"}, 415, "'base64'"),
    "no-utf-8": (LATIN, {}, 400, "not valid UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(url: str, upstream: Upstream, name: str) -> None:
    body, headers, status, words = REFUSED[name]
    sent = len(upstream.bodies)
    response = post(url, body, **headers)
    assert response.status_code == status
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert words in error["message"]
    assert len(upstream.bodies) == sent
