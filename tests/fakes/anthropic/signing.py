"""Signatures of thinking blocks, as the server checks them when a client hands the blocks back.

https://platform.claude.com/docs/en/build-with-claude/preserved-thinking
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.fakes.anthropic.walk import Json, Params, Turn, as_blocks, entries, merged

_KINDS = ("thinking", "redacted_thinking")
MODIFIED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response."
)
INVALID = "Invalid `signature` in `thinking` block"
BOUND = "Invalid signature in thinking block. The block is bound to a different conversation"
FORGED = "Invalid `encrypted_content` in `web_search_result` block"


@dataclass(frozen=True)
class Signed:
    """What a signature says: the answer it is of, which of its thinking blocks, and what came before."""

    answer: str
    index: int
    count: int
    prefix: str


class Signer:
    """Signs what the server gives away and checks what comes back; `bound` also checks what comes before it."""

    def __init__(self, secret: bytes, bound: bool) -> None:
        self._secret = secret
        self._bound = bound

    def sign(self, answer: str, params: Params, account: str, content: list[Json]) -> list[Json]:
        """`content` with a signature on each thinking block."""
        before = _prompt(params, account)
        thoughts = [block for block in content if block["type"] in _KINDS]
        done: list[Json] = []
        for block in content:
            signed = block
            if block["type"] in _KINDS:
                index = sum(one["type"] in _KINDS for one in done)
                said = Signed(answer, index, len(thoughts), _digest(before))
                signed = {**block, _field(block): self.seal(_thought(block), **vars(said))}
            done.append(signed)
            before.append(["assistant", _plain(signed)])
        return done

    def seal(self, text: str, **said: Json) -> str:
        """An opaque token that only this server makes, for this text."""
        payload = json.dumps(said).encode()
        return base64.b64encode(self._mac(text, payload) + payload).decode()

    def opened(self, token: Json, text: str) -> dict[str, Any] | None:
        """What `seal` was told, or None for a token that is not this text's."""
        try:
            raw = base64.b64decode(str(token), validate=True)
        except ValueError:
            return None
        mac, payload = raw[:32], raw[32:]
        return json.loads(payload) if hmac.compare_digest(mac, self._mac(text, payload)) else None

    def refusal(self, params: Params, account: str) -> str | None:
        """What the server says about the thinking and the search results of a history, if anything."""
        before = _prompt({**params, "messages": []}, account)
        turns = merged(params)
        latest = max((index for index, turn in enumerate(turns) if turn.role == "assistant"), default=-1)
        for number, turn in enumerate(turns):
            if found := self._of_turn(turn, before, MODIFIED if number == latest else INVALID):
                return found
            if number == latest and not _complete(self._signed(block) for block in turn.of(*_KINDS)):
                return f"{turn.path}: {MODIFIED}"
        return None

    def _of_turn(self, turn: Turn, before: list[Json], invalid: str) -> str | None:
        """The first refusal of a turn, whose blocks are added to what stands before the next."""
        for path, block in turn.blocks:
            if found := self._of_block(block, before, invalid):
                return f"{path}: {found}"
            before.append([turn.role, _plain(block)])
        return None

    def _of_block(self, block: dict[str, Json], before: list[Json], invalid: str) -> str | None:
        if block["type"] in _KINDS:
            signed = self._signed(block)
            if signed is None:
                return invalid
            if self._bound and signed.prefix != _digest(before):
                return BOUND
        return None if self._results_are_ours(block) else FORGED

    def _signed(self, block: dict[str, Json]) -> Signed | None:
        said = self.opened(block[_field(block)], _thought(block))
        return Signed(**said) if said else None

    def _results_are_ours(self, block: dict[str, Json]) -> bool:
        found = entries(block.get("content")) if block.get("type") == "web_search_tool_result" else []
        return all(
            self.opened(one.get("encrypted_content"), str(one.get("url"))) is not None for _, one in found
        )

    def _mac(self, text: str, payload: bytes) -> bytes:
        return hmac.digest(self._secret, len(text).to_bytes(8, "big") + text.encode() + payload, "sha256")


def _complete(seen: Iterable[Signed | None]) -> bool:
    """Whether each answer's blocks are all there and in order; none at all is allowed."""
    by_answer: dict[str, list[Signed]] = {}
    for signed in filter(None, seen):
        by_answer.setdefault(signed.answer, []).append(signed)
    return all([one.index for one in group] == list(range(group[0].count)) for group in by_answer.values())


def _field(block: dict[str, Json]) -> str:
    return "signature" if block["type"] == "thinking" else "data"


def _thought(block: dict[str, Json]) -> str:
    return str(block.get("thinking", block["type"]))


def _prompt(params: Params, account: str) -> list[Json]:
    """Everything that stands before an answer."""
    said = [[turn.role, _plain(block)] for turn in merged(params) for _path, block in turn.blocks]
    return [account, _plain(params.get("tools") or []), _plain(as_blocks(params.get("system") or [])), *said]


def _plain(value: Json) -> Json:
    """The value without cache marks, and with text as blocks wherever a string may stand for them."""
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
