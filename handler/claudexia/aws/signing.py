"""AWS Signature Version 4 of an HTTP request, in its Authorization header.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# Headers that proxies, tracing and HTTP clients add or change on the way.
_UNSIGNED_HEADERS = {
    "authorization",
    "baggage",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """`session_token` is "" for long-term credentials; `expires` is aware, None means never."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class SigningScope:
    """Where a signature is valid: `service` is the signing name, such as `dynamodb` or `bedrock`."""

    region: str
    service: str


def sign_request(  # noqa: PLR0913 - a request has four parts
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    scope: SigningScope,
    now: datetime,
) -> dict[str, str]:
    """Returns the headers to add: `authorization`, `x-amz-date` and, with a token, `x-amz-security-token`.

    `url` and `headers` are as they are sent: the URL percent-encoded, with %20 for a space in the query, and
    header names unique in any case. Without `host` in `headers`, the host of `url` is signed. `now` is aware.
    Not for S3, which signs paths and bodies by rules of its own.
    """
    time = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    added = {"x-amz-date": time}
    if credentials.session_token:
        added["x-amz-security-token"] = credentials.session_token
    signed = {"host": _host(parts.scheme, parts.netloc), **_lower(headers.items()), **added}
    signed = {name: " ".join(signed[name].split()) for name in sorted(signed) if name not in _UNSIGNED_HEADERS}
    names = ";".join(signed)
    canonical_request = "\n".join(
        [
            method.upper(),
            _canonical_path(parts.path),
            _canonical_query(parts.query),
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            names,
            sha256(body).hexdigest(),
        ]
    )
    credential_scope = f"{time[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = "\n".join([_ALGORITHM, time, credential_scope, sha256(canonical_request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in credential_scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    added["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{credential_scope}, "
        f"SignedHeaders={names}, Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
    )
    return added


def _lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _host(scheme: str, netloc: str) -> str:
    return netloc.rpartition("@")[2].lower().removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def _canonical_path(path: str) -> str:
    """Without empty, `.` and `..` segments, and percent-encoded once more: it is encoded in the URL already."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return quote("/" + "/".join(segments) + end, safe="/~")


def _canonical_query(query: str) -> str:
    """Sorted by name, then value. A parameter without a value has an empty one."""
    if not query:
        return ""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&"))
    return "&".join(f"{name}={value}" for name, value in pairs)
