"""DynamoTable: the table on DynamoDB.

boto3 waits, so every call runs in a thread. It is loaded with the first call: it comes with Lambda's runtime,
and takes longer to import than the whole gateway.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
"""

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from claudexia.storage.table import ALWAYS, EXPIRES, Change, Condition, Item, ItemKey, TableError, Value

# --- claudexia.access.dynamo_expressions
# Changes, conditions and items as DynamoDB spells them.

Spelled = dict[str, Any]


class Expression:
    """Collects the names and values that the texts of one call refer to."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Spelled] = {}

    def name(self, attribute: str) -> str:
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute
        return placeholder

    def value(self, value: Value) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = _attribute(value)
        return placeholder

    def update(self, change: Change) -> str:
        added = [self._pair(name, number) for name, number in change.add.items()]
        added += [self._pair(name, frozenset({member})) for name, member in change.include.items()]
        taken = [self._pair(name, frozenset({member})) for name, member in change.exclude.items()]
        assigned = [f"{self.name(name)} = {self.value(value)}" for name, value in change.assign.items()]
        clauses = {"SET": assigned, "ADD": added, "DELETE": taken}
        return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)

    def condition(self, condition: Condition) -> str:
        parts = [
            f"(attribute_not_exists({name}) OR {name} <= {self.value(most)})"
            for attribute, most in condition.at_most.items()
            for name in [self.name(attribute)]
        ]
        parts += [
            f"contains({self.name(attribute)}, {self.value(member)})"
            for attribute, member in condition.holding.items()
        ]
        if condition.present is not None:
            parts.append(f"attribute_{'exists' if condition.present else 'not_exists'}(pk)")
        return " AND ".join(parts)

    def _pair(self, name: str, value: Value) -> str:
        return f"{self.name(name)} {self.value(value)}"


def conditioned(expression: Expression, condition: Condition) -> Spelled:
    """The arguments of a write: `condition`, and every name and value that `expression` has collected."""
    arguments: Spelled = {}
    if text := expression.condition(condition):
        arguments["ConditionExpression"] = text
    if expression.names:
        arguments["ExpressionAttributeNames"] = expression.names
    if expression.values:
        arguments["ExpressionAttributeValues"] = expression.values
    return arguments


def to_attributes(item: Item) -> Spelled:
    """An empty set is left out: DynamoDB has none."""
    return {name: _attribute(value) for name, value in item.items() if value != frozenset()}


def from_attributes(attributes: Mapping[str, Any], without: Collection[str]) -> Item:
    return {name: _value(spelled) for name, spelled in attributes.items() if name not in without}


def _attribute(value: Value) -> Spelled:
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


def _value(spelled: Mapping[str, Any]) -> Value:
    (kind, content), *_ = spelled.items()
    match kind:
        case "N":
            return int(content)
        case "SS":
            return frozenset(content)
        case "B":
            return bytes(content)
    return content  # type: ignore[no-any-return]  # str or bool


PARTITION, SORT = "pk", "sk"
_BATCH = 100  # the most that one BatchGetItem takes
_AT_ONCE = 32  # calls; the others wait for a thread
_READS = {"get_item", "batch_get_item", "query"}
_KINDS = {
    "ResourceNotFoundException": "missing",
    "AccessDeniedException": "denied",
    "UnrecognizedClientException": "denied",
    "ExpiredTokenException": "denied",
    "ProvisionedThroughputExceededException": "throttled",
    "ThrottlingException": "throttled",
    "RequestLimitExceeded": "throttled",
}

Attributes = Mapping[str, Any]  # an item as DynamoDB spells it


class DynamoTable:
    """`name` is the table's, `now` gives the time with its zone, `client` makes the boto3 client to ask."""

    def __init__(self, name: str, now: Callable[[], datetime], client: Callable[[], Any] | None = None) -> None:
        self._name = name
        self._now = now
        self._make = client or make_client
        self._made: Any = None
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(_AT_ONCE, "table")

    async def get(self, key: ItemKey) -> Item | None:
        answer = await self._ask("get_item", Key=_spelled(key), ConsistentRead=True)
        return self._lasting(answer.get("Item"))

    async def get_many(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        found: dict[ItemKey, Item] = {}
        waiting = [_spelled(key) for key in dict.fromkeys(keys)]
        while waiting:
            asked, waiting = waiting[:_BATCH], waiting[_BATCH:]
            answer = await self._call("batch_get_item", RequestItems={self._name: {"Keys": asked}})
            for attributes in answer["Responses"].get(self._name, []):
                if item := self._lasting(attributes):
                    found[ItemKey(attributes[PARTITION]["S"], attributes[SORT]["S"])] = item
            # What did not fit into one answer of 16 MB, or was throttled.
            left = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            if len(left) == len(asked):
                raise TableError("throttled")
            waiting = left + waiting
        return found

    async def put(self, key: ItemKey, item: Item, condition: Condition = ALWAYS) -> bool:
        parts = conditioned(Expression(), condition)
        return await self._write("put_item", Item={**_spelled(key), **to_attributes(item)}, **parts)

    async def update(self, key: ItemKey, change: Change, condition: Condition = ALWAYS) -> bool:
        expression = Expression()
        text = expression.update(change)
        parts = conditioned(expression, condition)
        return await self._write("update_item", Key=_spelled(key), UpdateExpression=text, **parts)

    async def delete(self, key: ItemKey) -> None:
        await self._ask("delete_item", Key=_spelled(key))

    async def query(self, partition: str, first: str = "", last: str = "\U0010ffff") -> list[tuple[str, Item]]:
        found: list[tuple[str, Item]] = []
        page: dict[str, Any] = {}
        while True:
            answer = await self._ask(
                "query",
                KeyConditionExpression=f"{PARTITION} = :partition AND {SORT} BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":partition": {"S": partition},
                    ":first": {"S": first or " "},  # a key is never empty
                    ":last": {"S": last},
                },
                ConsistentRead=True,
                **page,
            )
            found += [
                (attributes[SORT]["S"], item)
                for attributes in answer["Items"]
                if (item := self._lasting(attributes)) is not None
            ]
            if "LastEvaluatedKey" not in answer:
                return found
            page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _lasting(self, attributes: Attributes | None) -> Item | None:
        """None also for an item whose time is over: DynamoDB removes those days later."""
        if attributes is None:
            return None
        item = from_attributes(attributes, {PARTITION, SORT})
        expires = item.get(EXPIRES)
        return None if isinstance(expires, int) and expires <= self._now().timestamp() else item

    async def _write(self, method: str, **arguments: Any) -> bool:
        answer = await self._ask(method, refusal="ConditionalCheckFailedException", **arguments)
        return answer is not _REFUSED

    async def _ask(self, method: str, *, refusal: str = "", **arguments: Any) -> Attributes:
        return await self._call(method, refusal=refusal, TableName=self._name, **arguments)

    async def _call(self, method: str, *, refusal: str = "", **arguments: Any) -> Attributes:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._called, method, refusal, arguments)
        except TableError as error:
            # A write that fell silent may have taken place, and what it adds must not be added twice.
            if method not in _READS and error.kind != "throttled":
                raise
        return await loop.run_in_executor(self._threads, self._called, method, refusal, arguments)

    def _called(self, method: str, refusal: str, arguments: Attributes) -> Attributes:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError  # noqa: PLC0415 - as above

        try:
            answer: Attributes = getattr(self._client(), method)(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if refusal and code == refusal:
                return _REFUSED
            raise TableError(_KINDS.get(code, "failed")) from error
        except HTTPClientError as error:
            raise TableError("timeout") from error
        except BotoCoreError as error:
            raise TableError("denied" if "Credential" in type(error).__name__ else "failed") from error
        return answer

    def _client(self) -> Any:
        with self._making:
            self._made = self._made or self._make()
            return self._made


_REFUSED: Attributes = {}


def make_client(session: Any = None, endpoint: str | None = None, timeout: float = 1.0) -> Any:
    """A client that gives a call up after `timeout` seconds."""
    import boto3  # noqa: PLC0415 - slow to import
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"total_max_attempts": 1, "mode": "standard"},  # DynamoTable knows better what to repeat
        max_pool_connections=_AT_ONCE,
    )
    return (session or boto3).client("dynamodb", endpoint_url=endpoint, config=config)


def _spelled(key: ItemKey) -> dict[str, Any]:
    return {PARTITION: {"S": key.partition}, SORT: {"S": key.sort}}
