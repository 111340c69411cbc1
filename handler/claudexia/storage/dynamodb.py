"""DynamoTable: the table on Amazon DynamoDB.

boto3 blocks, so every call runs in a thread. The first call imports boto3: it is part of Lambda's runtime, and
its import takes longer than that of the whole gateway.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from claudexia.storage.table import (
    ALWAYS,
    AttributeValue,
    Change,
    Condition,
    Item,
    ItemKey,
    TableError,
    is_expired,
)

PARTITION_KEY, SORT_KEY = "pk", "sk"
_MAX_BATCH = 100  # keys in one BatchGetItem
_MAX_CALLS = 32  # concurrent calls; more of them wait for a thread
_READS = {"get_item", "batch_get_item", "query"}
_ERROR_KINDS = {
    "ResourceNotFoundException": "missing",
    "AccessDeniedException": "denied",
    "UnrecognizedClientException": "denied",
    "ExpiredTokenException": "denied",
    "ProvisionedThroughputExceededException": "throttled",
    "ThrottlingException": "throttled",
    "RequestLimitExceeded": "throttled",
}

# JSON of the DynamoDB API: the arguments or the result of a call, an item, or a typed value like {"N": "1"}.
_Json = Mapping[str, Any]


class DynamoTable:
    """`name` is the table's name, `now` returns an aware datetime, `create_client` creates the boto3 client."""

    def __init__(
        self, name: str, now: Callable[[], datetime], create_client: Callable[[], Any] | None = None
    ) -> None:
        self._name = name
        self._now = now
        self._create_client = create_client or make_client
        self._client: Any = None
        self._client_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_MAX_CALLS, "table")

    async def get(self, key: ItemKey) -> Item | None:
        result = await self._call_table("get_item", Key=_encode_key(key), ConsistentRead=True)
        return self._decode_item(result["Item"]) if "Item" in result else None

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        items: dict[ItemKey, Item] = {}
        pending = [_encode_key(key) for key in dict.fromkeys(keys)]
        while pending:
            batch, pending = pending[:_MAX_BATCH], pending[_MAX_BATCH:]
            result = await self._call("batch_get_item", RequestItems={self._name: {"Keys": batch}})
            for encoded in result["Responses"].get(self._name, []):
                if item := self._decode_item(encoded):
                    items[ItemKey(encoded[PARTITION_KEY]["S"], encoded[SORT_KEY]["S"])] = item
            # Keys beyond the response limit of 16 MB, and keys that were throttled.
            unprocessed = result.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            if len(unprocessed) == len(batch):
                raise TableError("throttled")
            pending = unprocessed + pending
        return items

    async def put(self, key: ItemKey, item: Item, condition: Condition = ALWAYS) -> bool:
        encoded = {**_encode_key(key), **_encode_item(item)}
        return await self._write("put_item", _Expressions(), condition, Item=encoded)

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        expressions = _Expressions()
        update = expressions.update(change)
        return await self._write(
            "update_item", expressions, condition, Key=_encode_key(key), UpdateExpression=update
        )

    async def delete(self, key: ItemKey) -> None:
        await self._call_table("delete_item", Key=_encode_key(key))

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        rows: list[tuple[str, Item]] = []
        page: dict[str, Any] = {}
        while True:
            result = await self._call_table(
                "query",
                KeyConditionExpression=f"{PARTITION_KEY} = :partition AND {SORT_KEY} BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":partition": {"S": partition},
                    ":first": {"S": first or " "},  # DynamoDB allows no empty key
                    ":last": {"S": last},
                },
                ConsistentRead=True,
                **page,
            )
            rows += [
                (encoded[SORT_KEY]["S"], item)
                for encoded in result["Items"]
                if (item := self._decode_item(encoded)) is not None
            ]
            if "LastEvaluatedKey" not in result:
                return rows
            page = {"ExclusiveStartKey": result["LastEvaluatedKey"]}

    def _decode_item(self, encoded: _Json) -> Item | None:
        """None for an expired item: DynamoDB deletes it up to a few days later."""
        item = {
            name: _decode_value(value)
            for name, value in encoded.items()
            if name not in (PARTITION_KEY, SORT_KEY)
        }
        return None if is_expired(item, self._now()) else item

    async def _write(
        self, method: str, expressions: "_Expressions", condition: Condition, **arguments: Any
    ) -> bool:
        """Returns False if `condition` does not hold."""
        try:
            await self._call_table(method, **arguments, **expressions.arguments(condition))
        except _ConditionFailedError:
            return False
        return True

    async def _call_table(self, method: str, **arguments: Any) -> _Json:
        return await self._call(method, TableName=self._name, **arguments)

    async def _call(self, method: str, **arguments: Any) -> _Json:
        """Runs the call in a thread and repeats it once after a failure, if that is safe."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._call_blocking, method, arguments)
        except TableError as error:
            # A write without a response may have been executed. A repetition could add its numbers twice.
            if method not in _READS and error.kind != "throttled":
                raise
        return await loop.run_in_executor(self._threads, self._call_blocking, method, arguments)

    def _call_blocking(self, method: str, arguments: _Json) -> _Json:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415 - slow to import

        try:
            result: _Json = getattr(self._shared_client(), method)(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                raise _ConditionFailedError from None
            raise TableError(_ERROR_KINDS.get(code, "failed")) from error
        except HTTPClientError as error:
            raise TableError("timeout") from error
        except BotoCoreError as error:
            raise TableError("denied" if "Credential" in type(error).__name__ else "failed") from error
        return result

    def _shared_client(self) -> Any:
        with self._client_lock:
            self._client = self._client or self._create_client()
            return self._client


def make_client(session: Any = None, endpoint: str | None = None, timeout: float = 1.0) -> Any:
    """A boto3 client for DynamoDB. `timeout` limits connecting and each read, in seconds."""
    import boto3  # noqa: PLC0415 - slow to import
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"total_max_attempts": 1, "mode": "standard"},  # DynamoTable decides what is repeated
        max_pool_connections=_MAX_CALLS,
    )
    return (session or boto3).client("dynamodb", endpoint_url=endpoint, config=config)


class _ConditionFailedError(Exception):
    """The condition of a write does not hold."""


class _Expressions:
    """The expressions of one write, with the placeholders for the names and values in them."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, _Json] = {}

    def update(self, change: Change) -> str:
        """The UpdateExpression for `change`."""
        added = [self._pair(name, number) for name, number in change.add.items()]
        added += [self._pair(name, frozenset({member})) for name, member in change.include.items()]
        removed = [self._pair(name, frozenset({member})) for name, member in change.exclude.items()]
        assigned = [f"{self._name(name)} = {self._value(value)}" for name, value in change.assign.items()]
        clauses = {"SET": assigned, "ADD": added, "DELETE": removed}
        return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)

    def arguments(self, condition: Condition) -> _Json:
        """The call's arguments for `condition` and for all placeholders used so far."""
        arguments: dict[str, Any] = {}
        if expression := self._condition(condition):
            arguments["ConditionExpression"] = expression
        if self._names:
            arguments["ExpressionAttributeNames"] = self._names
        if self._values:
            arguments["ExpressionAttributeValues"] = self._values
        return arguments

    def _condition(self, condition: Condition) -> str:
        parts = [
            f"(attribute_not_exists({placeholder}) OR {placeholder} <= {self._value(most)})"
            for name, most in condition.at_most.items()
            for placeholder in [self._name(name)]
        ]
        parts += [
            f"contains({self._name(name)}, {self._value(member)})"
            for name, member in condition.contains.items()
        ]
        if condition.exists is not None:
            parts.append(f"attribute_{'exists' if condition.exists else 'not_exists'}({PARTITION_KEY})")
        return " AND ".join(parts)

    def _pair(self, name: str, value: AttributeValue) -> str:
        return f"{self._name(name)} {self._value(value)}"

    def _name(self, name: str) -> str:
        placeholder = f"#n{len(self._names)}"
        self._names[placeholder] = name
        return placeholder

    def _value(self, value: AttributeValue) -> str:
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = _encode_value(value)
        return placeholder


def _encode_key(key: ItemKey) -> dict[str, _Json]:
    return {PARTITION_KEY: {"S": key.partition}, SORT_KEY: {"S": key.sort}}


def _encode_item(item: Item) -> dict[str, _Json]:
    """Leaves empty sets out: DynamoDB has none."""
    return {name: _encode_value(value) for name, value in item.items() if value != frozenset()}


def _encode_value(value: AttributeValue) -> _Json:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
    return {"SS": sorted(value)}


def _decode_value(encoded: _Json) -> AttributeValue:
    (kind, content), *_ = encoded.items()
    match kind:
        case "N":
            return int(content)
        case "SS":
            return frozenset(content)
        case "B":
            return bytes(content)
    return content  # type: ignore[no-any-return]  # a str or a bool
