"""Images in messages: URLs passed on, data sniffed and checked."""

from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.translate.request.media import MAX_BASE64
from tests.helpers.content_part import encoded, translate_part

PNG, JPEG, GIF, WEBP = (
    b"\x89PNG\r\n\x1a\n" + bytes(8),
    b"\xff\xd8\xff\xe0" + bytes(8),
    b"GIF89a" + bytes(8),
    b"RIFF\x24\x00\x00\x00WEBPVP8 ",
)


def translate(image_url: Any, role: str = "user") -> tuple[Any, list[str]]:
    return translate_part({"type": "image_url", "image_url": image_url}, role)


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize(
    "given", [{"url": "https://x/y.png"}, {"url": "https://x/y.png", "detail": "auto"}, "https://x/y.png"]
)
def test_urls_are_passed_on(given: Any, role: str) -> None:
    assert translate(given, role) == (
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        [],
    )


@pytest.mark.parametrize("label", ["image/png", "image/jpeg", "application/octet-stream", ""])
@pytest.mark.parametrize(
    ("data", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
    ids=["png", "jpeg", "gif", "webp"],
)
def test_the_bytes_determine_the_media_type(data: bytes, media_type: str, label: str) -> None:
    block, _ = translate({"url": f"data:{label};base64,{encoded(data)}"})
    assert block["source"] == {"type": "base64", "media_type": media_type, "data": encoded(data)}


def test_white_space_in_base64_is_dropped() -> None:
    data = encoded(PNG)
    block, _ = translate({"url": f"data:image/png;base64,{data[:5]}\r\n {data[5:]}"})
    assert block["source"]["data"] == data


def test_detail_is_reported() -> None:
    assert translate({"url": "https://x/y.png", "detail": "high"})[1] == [
        "messages[0].content[0].image_url.detail"
    ]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        pytest.param("gs://bucket/x.png", "invalid_value", id="scheme"),
        pytest.param("iVBORw0KGgo", "invalid_value", id="bare-base64"),
        pytest.param("", "invalid_value", id="empty"),
        pytest.param("data:image/png,abc", "invalid_value", id="not-base64-labelled"),
        pytest.param("data:image/png;base64", "invalid_value", id="no-data"),
        pytest.param("data:image/png;base64,@@@@", "invalid_base64", id="no-base64"),
        pytest.param("data:image/png;base64,é", "invalid_base64", id="not-ascii"),
        pytest.param(f"data:image/png;base64,{encoded(b'PK' + bytes(9))}", "invalid_image_format", id="a-zip"),
        pytest.param(f"data:image/png;base64,{encoded(b'  ')}", "invalid_image_format", id="blank-text"),
        pytest.param(
            f"data:image/png;base64,{encoded(b'GIF8' + bytes(MAX_BASE64))}", "image_too_large", id="too-large"
        ),
    ],
)
def test_refused(url: str, code: str) -> None:
    with pytest.raises(APIError) as caught:
        translate({"url": url})
    assert (caught.value.status, caught.value.code) == (400, code)
    assert caught.value.param == "messages[0].content[0].image_url.url"
    assert len(caught.value.message) < 300
