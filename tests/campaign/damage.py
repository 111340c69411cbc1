"""Damages to JSON values and to bytes. Every function takes its random numbers from the Random it is given."""

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Json = Any
Path = tuple[str | int, ...]

# Text that json.dumps() cannot write stands in a value as RAW:... between single angle quotes, in hexadecimal.
_RAW = re.compile(rb'"\\u2039RAW:((?:[0-9a-f]{2})*)\\u203a"')
_REPEATED_KEY = "\u2039AGAIN\u203a"


def raw(text: str) -> str:
    """A value that dumped() writes as `text`, without quotes."""
    return f"\u2039RAW:{text.encode().hex()}\u203a"


def dumped(value: Json) -> bytes:
    """JSON, with raw() values and repeated keys written out."""
    text = json.dumps(value).encode()
    text = text.replace(json.dumps(_REPEATED_KEY)[1:-1].encode(), b"")
    return _RAW.sub(lambda match: bytes.fromhex(match[1].decode()), text)


STRINGS = (
    "", " ", "\x00", "\ud800", "\udfff\ud800", "\U0001f600", "\u202eabc", "e\u0301", "a" * 300, "\r\n\r\n", "null",
    "data:image/png;base64,", "data:,", "https://", "file:///etc/passwd", "{", '"', "%00", "\ufeff", "ß" * 5000, "0x10", "1e999",
)  # fmt: skip
NUMBERS = (
    0,
    -1,
    1,
    2,
    0.5,
    -0.0,
    9,
    64,
    10**6,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**30,
    1e308,
    1e-308,
)
RAWS = (
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 500, "9" * 4400, "-" + "1" * 310, "1" + "0" * 309 + ".5",
    "0" * 3, "1.", "tru", "'a'", "[" * 60 + "]" * 60, "[" * 3000 + "]" * 3000, '{"a":' * 150 + "1" + "}" * 150, "[[[",
    '"\\ud800"', '"\\u0000"', '"\\x"', '{"a":1,"a":2}', "/* */1",
)  # fmt: skip
CONTAINERS: tuple[Json, ...] = (
    [], {}, [[]], [{}], {"": ""}, [None], [1, 2], ["a"], {"type": "text"}, {"type": "text", "text": "a"}, {"$ref": "#"},
    [{"type": "text", "text": "a"}], {"type": "object"}, {"type": []}, {"type": {}}, {"role": "user", "content": "a"},
)  # fmt: skip
NAMES = (
    "", "x", "type", "role", "content", "text", "name", "id", "$ref", "a.b", "a[0]", "messages", "0", "\u00e9", "\ud800",
    "__proto__", "__class__", "constructor", "a" * 200, "cache_control", "model", "function", "properties",
)  # fmt: skip


def paths(value: Json, at: Path = ()) -> list[Path]:
    """The paths of all nodes below `value`, without its own."""
    steps: Sequence[tuple[str | int, Json]] = ()
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    found = []
    for step, inner in steps:
        found.append((*at, step))
        found += paths(inner, (*at, step))
    return found


def node(value: Json, path: Path) -> Json:
    for step in path:
        value = value[step]
    return value


def some_value(random: Random) -> Json:
    kinds: Sequence[Callable[[], Json]] = (
        lambda: random.choice((None, True, False)),
        lambda: random.choice(NUMBERS),
        lambda: random.choice(STRINGS),
        lambda: json.loads(json.dumps(random.choice(CONTAINERS))),
        lambda: raw(random.choice(RAWS)),
    )
    return random.choice(kinds)()


def _delete(random: Random, parent: Json, step: Any) -> None:
    del parent[step]


def _retype(random: Random, parent: Json, step: Any) -> None:
    parent[step] = some_value(random)


def _rename(random: Random, parent: Json, step: Any) -> None:
    if isinstance(parent, dict):
        name = random.choice((*NAMES, step.upper(), step[:-1], f"{step}_", f" {step}"))
        items = [(name if key == step else key, inner) for key, inner in parent.items()]
        parent.clear()
        parent.update(items)
    else:
        random.shuffle(parent)


def _repeat(random: Random, parent: Json, step: Any) -> None:
    """Repeats a list's item, or an object's key with another value."""
    if isinstance(parent, list):
        parent[step:step] = [parent[step]] * random.choice((1, 1, 2, 5, 40, 200))
    else:
        again = random.choice((parent[step], some_value(random)))
        parent[step + _REPEATED_KEY] = again


def _nest(random: Random, parent: Json, step: Any) -> None:
    inner = parent[step]
    wraps: Sequence[Callable[[Json], Json]] = (
        lambda value: [value],
        lambda value: [[value]],
        lambda value: {"type": value},
        lambda value: {step if isinstance(step, str) else "value": value},
    )
    for _ in range(random.choice((1, 1, 2, 30))):
        inner = random.choice(wraps)(inner)
    parent[step] = inner


def _unwrap(random: Random, parent: Json, step: Any) -> None:
    inner = parent[step]
    if isinstance(inner, dict | list) and inner:
        parent[step] = random.choice(list(inner.values()) if isinstance(inner, dict) else inner)
    else:
        parent[step] = str(inner)


def _unknown(random: Random, parent: Json, step: Any) -> None:
    target = parent[step] if isinstance(parent[step], dict) else parent
    if isinstance(target, dict):
        for number in range(random.choice((1, 1, 3, 60))):
            target[random.choice(NAMES) + (str(number) if number else "")] = some_value(random)
    else:
        target.insert(random.randrange(len(target) + 1), some_value(random))


def _spoil(random: Random, parent: Json, step: Any) -> None:
    """Changes a string, or a number, a little."""
    value = parent[step]
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        insert = random.choice((*STRINGS, "\x1b", "\u2028", value))
        parent[step] = random.choice((value[:at], value[at:], value[:at] + insert + value[at:], value * 3))
    elif isinstance(value, int | float):
        parent[step] = random.choice((-value, value + 0.5, value * 10**9, str(value), bool(value), [value]))
    else:
        parent[step] = some_value(random)


_STRUCTURAL = (_delete, _retype, _retype, _rename, _repeat, _nest, _unwrap, _unknown, _spoil)


def damage_value(value: Json, random: Random) -> Json:
    """Damages `value`, an object or an array, in one place; changes and returns it."""
    found = paths(value)
    if not found or random.random() < 0.01:
        return some_value(random)
    # The deeper half of a body are schemas; the root's keys have their share too.
    path = random.choice(found if random.random() < 0.7 else [path for path in found if len(path) < 3])
    if random.random() < 0.1:  # a copy of another part
        parent = node(value, path[:-1])
        parent[path[-1]] = json.loads(json.dumps(node(value, random.choice(found))))
        return value
    random.choice(_STRUCTURAL)(random, node(value, path[:-1]), path[-1])
    return value


def _truncate(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _flip(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _insert(random: Random, data: bytes) -> bytes:
    junk = (
        b"\x00",
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\r\n",
        b"}",
        b",",
        b'"',
        b"\\",
        b"[[[[",
    )
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(junk) + data[at:]


def _cut(random: Random, data: bytes) -> bytes:
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.choice((1, 2, 7, 50)) :]


def _encode(random: Random, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    encoding = random.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-7"))
    return text.encode(encoding, "replace")


def _around(random: Random, data: bytes) -> bytes:
    before = random.choice((b"", b"\xef\xbb\xbf", b" \n\t", b"\x1f\x8b", b"--x\r\n", b")]}',\n"))
    after = random.choice((b"", b"\x00", b"}", b" \n", b'{"a":1}', data))
    return before + data + after


_AT_BYTES = (_truncate, _flip, _flip, _insert, _cut, _encode, _around)


def damage_bytes(data: bytes, random: Random) -> bytes:
    return random.choice(_AT_BYTES)(random, data)
