"""FakeHost: Claude Platform on AWS or Amazon Bedrock in front of a FakeAnthropic.

It checks the signature with botocore, or the key, and has the host's own paths, model ids, errors and limits. It
signs thinking with its own secret, since thinking is tied to an account.
https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fakes.anthropic.server import FakeAnthropic
from tests.fakes.strict_json import strict_json

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Kind = Literal["aws", "bedrock", "mantle"]

ACCESS_KEY, SECRET_KEY, SESSION_TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "session/token+with=signs"
KEY = "key-of-the-host"
REGION = "eu-west-1"
WORKSPACE = "wrkspc_01"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_SESSION_TOKEN": SESSION_TOKEN,
}
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)
_SERVICES = {"aws": "aws-external-anthropic", "bedrock": "bedrock", "mantle": "bedrock-mantle"}
# Bedrock's models by id, from the model cards of its user guide. Up to 4.6 the ids have versions.
# https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html
_BEDROCK_MODELS = {
    "anthropic.claude-haiku-4-5-20251001-v1:0": "claude-haiku-4-5",
    "anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4-5",
    "anthropic.claude-opus-4-5-20251101-v1:0": "claude-opus-4-5",
    "anthropic.claude-opus-4-6-v1": "claude-opus-4-6",
    **{
        f"anthropic.claude-{name}": f"claude-{name}"
        for name in (
            "sonnet-4-6", "opus-4-7", "opus-4-8", "opus-5", "sonnet-5", "fable-5", "fable-5-1",
            "opus-5-5", "sonnet-5-5", "haiku-5-5",
        )
    },
}  # fmt: skip
# In the ids of messages and tool calls.
_IDS = {"aws": "aws", "bedrock": "bdrk", "mantle": "bdrk"}
_PROFILES = ("global", "us", "eu", "apac", "jp", "au")
_STRUCTURED = {"claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5", "claude-opus-4-6"}
_STRICT = _STRUCTURED | {"claude-sonnet-4-6"}
_CLIENT_TOOLS = ("bash_", "text_editor_", "computer_", "memory_", "custom")
_MAX_BYTES = 20 * 1024 * 1024


class _RefusedError(Exception):
    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


@dataclass
class FakeHost:
    """`requests` are those that were received: path, headers and the decoded body."""

    kind: Kind
    anthropic: Any = None
    bound: bool = False
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    # Models of the account; None for all of them.
    models: set[str] | None = None

    def __post_init__(self) -> None:
        self.anthropic = self.anthropic or FakeAnthropic(bound=self.bound, host=_IDS[self.kind])

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _body(receive)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        try:
            self._authenticate(scope, headers, body)
            changed = self._changed(scope, headers, body)
        except _RefusedError as error:
            await _refuse(error, send)
            return
        inner = {**scope, "path": scope["path"].removeprefix("/anthropic")}
        inner["headers"] = [(b"x-api-key", self.kind.encode()), (b"anthropic-version", b"2023-06-01")]
        models = [json.loads(each).get("model", "") if each else "" for each in (changed, body)]
        await self.anthropic(inner, _receiver(changed), self._outgoing(send, *models))

    def _authenticate(self, scope: Message, headers: dict[str, str], body: bytes) -> None:
        key = headers.get("x-api-key") if self.kind == "aws" else None
        if key or headers.get("authorization", "").startswith("Bearer "):
            if key != KEY and headers.get("authorization") != f"Bearer {KEY}":
                raise _RefusedError(403, "AccessDeniedException", "Authentication failed")
            return
        found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if not found:
            raise _RefusedError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        access_key, region, service, signed, signature = found.groups()
        if headers.get("x-amz-security-token") == "expired":
            raise _RefusedError(
                403, "ExpiredTokenException", "The security token included in the request is expired"
            )
        if (access_key, region, service) != (ACCESS_KEY, REGION, _SERVICES[self.kind]):
            raise _RefusedError(403, "UnrecognizedClientException", "The security token is invalid")
        if signature != expected_signature(scope, headers, body, signed.split(";"), service):
            raise _RefusedError(403, "InvalidSignatureException", "The request signature does not match")

    def _changed(self, scope: Message, headers: dict[str, str], body: bytes) -> bytes:
        """The body for the inner API. Raises _RefusedError for what this host does not take."""
        params = strict_json(body) if body else {}
        self.requests.append((scope["path"], headers, params))
        if "anthropic-version" not in headers:
            raise _RefusedError(400, "ValidationException", "anthropic-version: header is required")
        if self.kind == "aws":
            if headers.get("anthropic-workspace-id") != WORKSPACE:
                raise _RefusedError(403, "AccessDeniedException", "not authorized to perform CreateInference")
            return body
        if scope["path"] != "/anthropic/v1/messages":
            raise _RefusedError(404, "UnknownOperationException", "")
        if len(body) > _MAX_BYTES:
            raise _RefusedError(413, "ValidationException", "The request is too large")
        model = self._model(str(params.get("model")))
        self._check_features(model, params)
        return json.dumps({**params, "model": model}).encode()

    def _model(self, sent: str) -> str:
        profile, _, id_ = sent.rpartition("anthropic.")
        if self.kind == "mantle":
            model = f"claude-{sent.removeprefix('anthropic.claude-')}"
            known = sent.startswith("anthropic.claude-") and model in _BEDROCK_MODELS.values()
        else:
            model = _BEDROCK_MODELS.get(f"anthropic.{id_}", "")
            known = bool(model) and profile.removesuffix(".") in ("", *_PROFILES)
        if not known:
            raise _RefusedError(400, "ValidationException", "The provided model identifier is invalid.")
        if self.kind == "bedrock" and not profile:
            raise _RefusedError(
                400,
                "ValidationException",
                f"Invocation of model ID {sent} with on-demand throughput isn't supported. Retry your request "
                "with the ID or ARN of an inference profile that contains this model.",
            )
        if self.models is not None and model not in self.models:
            raise _RefusedError(
                403, "AccessDeniedException", "You don't have access to the model with the specified model ID."
            )
        return model

    def _check_features(self, model: str, params: dict[str, Any]) -> None:
        tools = params.get("tools", [])
        if params.get("output_config", {}).get("format") and (
            self.kind == "mantle" or model not in _STRUCTURED
        ):
            raise _RefusedError(
                400, "ValidationException", "output_config.format: Extra inputs are not permitted"
            )
        if any("strict" in tool for tool in tools) and model not in _STRICT:
            raise _RefusedError(
                400, "ValidationException", "tools.0.custom.strict: Extra inputs are not permitted"
            )
        if any(not str(tool.get("type", "custom")).startswith(_CLIENT_TOOLS) for tool in tools):
            raise _RefusedError(400, "ValidationException", "tools.0: Input tag is not supported")
        if '"type": "url"' in json.dumps(params.get("messages", [])):
            raise _RefusedError(400, "ValidationException", "URL sources are not supported")

    def _outgoing(self, send: Send, model: str, host_model: str) -> Send:
        """Replaces Anthropic's response headers and model id by the host's."""

        async def outgoing(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] == b"content-type"]
                request_id = b"request-id" if self.kind == "aws" else b"x-amzn-requestid"
                message = {**message, "headers": [*kept, (request_id, f"req_{self.kind}".encode())]}
            elif self.kind != "aws" and b'"message_start"' in message.get("body", b""):
                named = (json.dumps({"model": name})[1:-1].encode() for name in (model, host_model))
                message = {**message, "body": message["body"].replace(*named)}
            await send(message)

        return outgoing


def expected_signature(
    scope: Message, headers: dict[str, str], body: bytes, signed: list[str], service: str
) -> str:
    """botocore's signature of the received request, over the headers that its sender has signed."""
    query = scope["query_string"].decode()
    url = f"http://{headers['host']}{scope['raw_path'].decode()}" + (f"?{query}" if query else "")
    request = AWSRequest(scope["method"], url, {name: headers[name] for name in signed if name != "host"}, body)
    assert urlsplit(url).netloc
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, headers.get("x-amz-security-token")), service, REGION)
    return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


async def _body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _receiver(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    return receive


async def _refuse(error: _RefusedError, send: Send) -> None:
    pairs = [
        (b"content-type", b"application/json"),
        (b"x-amzn-errortype", f"{error.kind}:http://internal.amazon.com/coral/".encode()),
        (b"x-amzn-requestid", b"req_aws"),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": pairs})
    await send({"type": "http.response.body", "body": json.dumps({"message": error.message}).encode()})
