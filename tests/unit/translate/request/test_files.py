"""Files in messages: PDFs, text and images, recognised by their bytes; everything else is refused with a reason."""

import json
from typing import Any

import pytest

from claudexia.errors import APIError
from claudexia.translate.request.media import MAX_FILE_BASE64 as MAX_BASE64
from claudexia.translate.request.parse import parse_params
from tests.helpers.content_part import MODEL, encoded, translate_part

PDF, PNG = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", b"\x89PNG\r\n\x1a\n" + bytes(8)


def pdf(title: str | None = None) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded(PDF)}
    return {"type": "document", "source": source, **({"title": title} if title else {})}


def text(data: str) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": data}}


def translate(file: Any, role: str = "user") -> tuple[Any, list[str]]:
    return translate_part({"type": "file", "file": file}, role)


READ = [
    pytest.param(f"data:application/pdf;base64,{encoded(PDF)}", pdf(), id="pdf"),
    pytest.param(f"data:text/plain;base64,{encoded(PDF)}", pdf(), id="pdf-with-a-wrong-label"),
    pytest.param(f"data:;base64,{encoded(PDF)}", pdf(), id="pdf-without-a-label"),
    pytest.param(encoded(PDF), pdf(), id="bare-base64"),
    pytest.param(f"{encoded(PDF)[:8]}\n{encoded(PDF)[8:]}", pdf(), id="wrapped-lines"),
    pytest.param(f"data:text/csv;base64,{encoded(b'a,b')}", text("a,b"), id="csv"),
    pytest.param(f"data:application/json;base64,{encoded(b'{}')}", text("{}"), id="json"),
    pytest.param(f"data:application/octet-stream;base64,{encoded('é'.encode())}", text("é"), id="any-utf-8"),
    pytest.param(encoded(b"\xef\xbb\xbfa"), text("a"), id="byte-order-mark"),
    pytest.param(
        f"data:application/pdf;base64,{encoded(PNG)}",
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded(PNG)}},
        id="image",
    ),
    pytest.param(
        "https://x/y.pdf", {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}, id="url"
    ),
]


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize(("data", "block"), READ)
def test_the_bytes_determine_the_type_of_a_file(data: str, block: Any, role: str) -> None:
    assert translate({"file_data": data}, role) == (block, [])


def test_a_url_is_in_file_url() -> None:
    block, _ = translate({"file_url": "HTTPS://x/y.pdf"})
    assert block["source"] == {"type": "url", "url": "https://x/y.pdf"}


def test_the_filename_becomes_the_document_title() -> None:
    assert translate({"file_data": encoded(PDF), "filename": "a.pdf"}) == (pdf("a.pdf"), [])
    assert translate({"file_data": encoded(PDF), "filename": " "}) == (pdf(), [])


def test_the_filename_of_an_image_is_reported() -> None:
    assert translate({"file_data": encoded(PNG), "filename": "a.png"})[1] == [
        "messages[0].content[0].file.filename"
    ]


def test_litellms_format_field_is_ignored_and_other_fields_are_reported() -> None:
    assert translate({"file_data": encoded(PDF), "format": "application/pdf"})[1] == []
    assert translate({"file_data": encoded(PDF), "pages": 3})[1] == ["messages[0].content[0].file.pages"]


REFUSED = [
    pytest.param({"file_id": "file-1"}, "file_id", "unsupported_parameter", "stores no files", id="file-id"),
    pytest.param({}, "file_data", "missing_required_parameter", "Missing", id="nothing"),
    pytest.param({"file_data": " "}, "file_data", "missing_required_parameter", "Missing", id="blank"),
    pytest.param({"file_data": "@@@"}, "file_data", "invalid_base64", "not valid base64", id="no-base64"),
    pytest.param({"file_data": "data:;base64,%PDF"}, "file_data", "invalid_base64", "base64", id="not-encoded"),
    pytest.param({"file_data": "data:text/plain,a"}, "file_data", "invalid_value", "base64", id="not-labeled"),
    pytest.param(
        {"file_data": encoded(b"PK\x03\x04\0\0")},
        "file_data",
        "invalid_file_format",
        "Claude reads PDF",
        id="zip",
    ),
    pytest.param(
        {"file_data": encoded(b"\xff\xfea\0")}, "file_data", "invalid_file_format", "UTF-8", id="utf-16"
    ),
    pytest.param({"file_data": encoded(b" \n")}, "file_data", "invalid_file_format", "empty", id="empty"),
    pytest.param({"file_url": "ftp://x/y"}, "file_url", "invalid_base64", "base64", id="scheme"),
    pytest.param({"file_data": "A" * (MAX_BASE64 + 4)}, "file_data", "file_too_large", "32 MB", id="too-large"),
    pytest.param({"file_data": "a", "filename": "a" * 501}, "filename", "invalid_value", "500", id="long-name"),
]


@pytest.mark.parametrize(("file", "field", "code", "words"), REFUSED)
def test_refused(file: Any, field: str, code: str, words: str) -> None:
    with pytest.raises(APIError, match=words) as caught:
        translate(file)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert caught.value.param == f"messages[0].content[0].file.{field}"
    assert len(caught.value.message) < 300


def test_a_file_part_without_its_file_is_refused() -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": [{"type": "file"}]}]}
    with pytest.raises(APIError) as caught:
        parse_params(json.dumps(body).encode())
    assert caught.value.param == "messages[0].content[0].file"
