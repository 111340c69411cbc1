"""Signatures of thinking blocks, and the checks when a client sends the blocks back.

https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from claudexia_cli.echo.params import Json, Params, Turn, as_blocks, merged_turns, objects

_THINKING_TYPES = ("thinking", "redacted_thinking")
MODIFIED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response."
)
INVALID = "Invalid `signature` in `thinking` block"
BOUND = "Invalid signature in thinking block. The block is bound to a different conversation"
FORGED = "Invalid `encrypted_content` in `web_search_result` block"


@dataclass(frozen=True)
class Signature:
    """The content of a signature.

    The id of the message, the index of the thinking block among the `count` of the message, and a digest of the
    conversation before the block.
    """

    message_id: str
    index: int
    count: int
    prefix: str


class Signer:
    """Signs content and checks it when it is sent back. `bound` also checks the conversation before each block."""

    def __init__(self, secret: bytes, bound: bool) -> None:
        self._secret = secret
        self._bound = bound

    def sign(self, message_id: str, params: Params, account: str, content: list[Json]) -> list[Json]:
        """`content` with a signature on each thinking block."""
        before = _prompt(params, account)
        count = sum(block["type"] in _THINKING_TYPES for block in content)
        result: list[Json] = []
        for block in content:
            signed = block
            if block["type"] in _THINKING_TYPES:
                index = sum(other["type"] in _THINKING_TYPES for other in result)
                signature = Signature(message_id, index, count, _digest(before))
                signed = {**block, _field(block): self.seal(_signed_text(block), **vars(signature))}
            result.append(signed)
            before.append(["assistant", _plain(signed)])
        return result

    def seal(self, text: str, **content: Json) -> str:
        """An authenticated token with `content`, valid only for `text`."""
        payload = json.dumps(content).encode()
        return base64.b64encode(self._mac(text, payload) + payload).decode()

    def unseal(self, token: Json, text: str) -> dict[str, Any] | None:
        """The content of a token, or None if it is not valid for `text`."""
        try:
            raw = base64.b64decode(str(token), validate=True)
        except ValueError:
            return None
        mac, payload = raw[:32], raw[32:]
        return json.loads(payload) if hmac.compare_digest(mac, self._mac(text, payload)) else None

    def error(self, params: Params, account: str) -> str | None:
        """The error message for thinking blocks and search results in the messages, if any."""
        before = _prompt({**params, "messages": []}, account)
        turns = merged_turns(params)
        latest = max((index for index, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
        for number, turn in enumerate(turns):
            if found := self._turn_error(turn, before, MODIFIED if number == latest else INVALID):
                return found
            if number == latest and not _complete(
                self._signature(block) for block in turn.of_type(*_THINKING_TYPES)
            ):
                return f"{turn.path}: {MODIFIED}"
        return None

    def _turn_error(self, turn: Turn, before: list[Json], invalid: str) -> str | None:
        """The first error in a turn. Appends the turn's blocks to `before`."""
        for path, block in turn.blocks:
            if found := self._block_error(block, before, invalid):
                return f"{path}: {found}"
            before.append([turn.role, _plain(block)])
        return None

    def _block_error(self, block: dict[str, Json], before: list[Json], invalid: str) -> str | None:
        if block["type"] in _THINKING_TYPES:
            signature = self._signature(block)
            if signature is None:
                return invalid
            if self._bound and signature.prefix != _digest(before):
                return BOUND
        return None if self._search_results_are_valid(block) else FORGED

    def _signature(self, block: dict[str, Json]) -> Signature | None:
        content = self.unseal(block[_field(block)], _signed_text(block))
        return Signature(**content) if content else None

    def _search_results_are_valid(self, block: dict[str, Json]) -> bool:
        results = objects(block.get("content")) if block.get("type") == "web_search_tool_result" else []
        return all(
            self.unseal(result.get("encrypted_content"), str(result.get("url"))) is not None
            for _, result in results
        )

    def _mac(self, text: str, payload: bytes) -> bytes:
        return hmac.digest(self._secret, len(text).to_bytes(8, "big") + text.encode() + payload, "sha256")


def _complete(signatures: Iterable[Signature | None]) -> bool:
    """Whether all thinking blocks of each message are present and in order. No block at all is allowed."""
    by_message: dict[str, list[Signature]] = {}
    for signature in filter(None, signatures):
        by_message.setdefault(signature.message_id, []).append(signature)
    return all(
        [signature.index for signature in group] == list(range(group[0].count)) for group in by_message.values()
    )


def _field(block: dict[str, Json]) -> str:
    return "signature" if block["type"] == "thinking" else "data"


def _signed_text(block: dict[str, Json]) -> str:
    return str(block.get("thinking", block["type"]))


def _prompt(params: Params, account: str) -> list[Json]:
    """The conversation before the reply."""
    messages = [[turn.role, _plain(block)] for turn in merged_turns(params) for _path, block in turn.blocks]
    return [
        account,
        _plain(params.get("tools") or []),
        _plain(as_blocks(params.get("system") or [])),
        *messages,
    ]


def _plain(value: Json) -> Json:
    """The value without cache breakpoints, and with every string content as a text block."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _plain(item) for key, item in value.items() if key != "cache_control"}
    if plain.get("type") == "tool_result":
        plain["content"] = _plain(as_blocks(plain.get("content") or []))
    return plain


def _digest(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
