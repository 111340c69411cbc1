"""DynamoTable: the table on Amazon DynamoDB.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from claudexia.aws.client import DYNAMODB, AWSClient, AWSError, Json
from claudexia.storage.table import (
    ALWAYS,
    AttributeValue,
    Change,
    Condition,
    Item,
    ItemKey,
    TableError,
    UpdateResult,
    is_expired,
)

PARTITION_KEY, SORT_KEY = "pk", "sk"
_MAX_BATCH = 100  # keys in one BatchGetItem
_READS = {"GetItem", "BatchGetItem", "Query"}
_ERROR_KINDS = {
    "ResourceNotFoundException": "missing",
    "AccessDeniedException": "denied",
    "UnrecognizedClientException": "denied",
    "ExpiredTokenException": "denied",
    "ProvisionedThroughputExceededException": "throttled",
    "ThrottlingException": "throttled",
    "RequestLimitExceeded": "throttled",
    "NoCredentials": "denied",
    "Timeout": "timeout",
}


class DynamoTable:
    """`name` is the table's name, `now` returns an aware datetime."""

    def __init__(self, name: str, now: Callable[[], datetime], client: AWSClient) -> None:
        self._name = name
        self._now = now
        self._client = client

    async def get(self, key: ItemKey) -> Item | None:
        result = await self._call_table("GetItem", Key=_encode_key(key), ConsistentRead=True)
        return self._decode_item(result["Item"]) if "Item" in result else None

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        items: dict[ItemKey, Item] = {}
        pending = [_encode_key(key) for key in dict.fromkeys(keys)]
        while pending:
            batch, pending = pending[:_MAX_BATCH], pending[_MAX_BATCH:]
            result = await self._call("BatchGetItem", RequestItems={self._name: {"Keys": batch}})
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
        return await self._write("PutItem", _Expressions(), condition, Item=encoded)

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        expressions = _Expressions()
        update = expressions.update(change)
        return await self._write(
            "UpdateItem", expressions, condition, Key=_encode_key(key), UpdateExpression=update
        )

    async def update_and_read(
        self, key: ItemKey, change: Change, condition: Condition = ALWAYS
    ) -> UpdateResult:
        expressions = _Expressions()
        update = expressions.update(change)
        try:
            result = await self._call_table(
                "UpdateItem",
                Key=_encode_key(key),
                UpdateExpression=update,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **expressions.arguments(condition),
            )
        except _ConditionFailedError as error:
            if not error.item:  # a server that does not return it
                return UpdateResult(False, await self.get(key))
            return UpdateResult(False, self._decode_item(error.item))
        return UpdateResult(True, self._decode_item(result["Attributes"]))

    async def delete(self, key: ItemKey) -> None:
        await self._call_table("DeleteItem", Key=_encode_key(key))

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        rows: list[tuple[str, Item]] = []
        page: dict[str, Any] = {}
        while True:
            result = await self._call_table(
                "Query",
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

    def _decode_item(self, encoded: Json) -> Item | None:
        """None for an expired item: DynamoDB deletes it up to a few days later."""
        item = {
            name: _decode_value(value)
            for name, value in encoded.items()
            if name not in (PARTITION_KEY, SORT_KEY)
        }
        return None if is_expired(item, self._now()) else item

    async def _write(
        self, operation: str, expressions: "_Expressions", condition: Condition, **arguments: Any
    ) -> bool:
        """Returns False if `condition` does not hold."""
        try:
            await self._call_table(operation, **arguments, **expressions.arguments(condition))
        except _ConditionFailedError:
            return False
        return True

    async def _call_table(self, operation: str, **arguments: Any) -> Json:
        return await self._call(operation, TableName=self._name, **arguments)

    async def _call(self, operation: str, **arguments: Any) -> Json:
        try:
            # A write without a response may have been executed. A repetition could add its numbers twice.
            return await self._client.call(DYNAMODB, operation, arguments, repeatable=operation in _READS)
        except AWSError as error:
            if error.code == "ConditionalCheckFailedException":
                raise _ConditionFailedError(error.details.get("Item")) from None
            raise TableError(_ERROR_KINDS.get(error.code, "failed")) from error


class _ConditionFailedError(Exception):
    """The condition of a write does not hold. `item` is the item, if it was requested."""

    def __init__(self, item: Json | None) -> None:
        super().__init__()
        self.item = item


class _Expressions:
    """The expressions of one write, with the placeholders for the names and values in them."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Json] = {}

    def update(self, change: Change) -> str:
        """The UpdateExpression for `change`."""
        added = [self._pair(name, number) for name, number in change.add.items()]
        added += [self._pair(name, frozenset({member})) for name, member in change.include.items()]
        excluded = [self._pair(name, members) for name, members in change.exclude.items()]
        assigned = [f"{self._name(name)} = {self._value(value)}" for name, value in change.assign.items()]
        removed = [self._name(name) for name in change.remove]
        clauses = {"SET": assigned, "ADD": added, "DELETE": excluded, "REMOVE": removed}
        return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)

    def arguments(self, condition: Condition) -> Json:
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
            f"contains({placeholder}, {self._value(member)})"
            for name, members in condition.contains.items()
            for placeholder in [self._name(name)]
            for member in members
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


def _encode_key(key: ItemKey) -> dict[str, Json]:
    return {PARTITION_KEY: {"S": key.partition}, SORT_KEY: {"S": key.sort}}


def _encode_item(item: Item) -> dict[str, Json]:
    """Leaves empty sets out: DynamoDB has none."""
    return {name: _encode_value(value) for name, value in item.items() if value != frozenset()}


def _encode_value(value: AttributeValue) -> Json:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": b64encode(value).decode()}
    return {"SS": sorted(value)}


def _decode_value(encoded: Json) -> AttributeValue:
    (kind, content), *_ = encoded.items()
    match kind:
        case "N":
            return int(content)
        case "SS":
            return frozenset(content)
        case "B":
            return b64decode(content)
    return content  # type: ignore[no-any-return]  # a str or a bool
