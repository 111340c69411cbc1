"""What a host of the Messages API does not take, found in a request that is sent unchanged.

Sources: https://platform.claude.com/docs/en/build-with-claude/claude-in-amazon-bedrock and
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from claudexia.models import HostLimits

# The types of Anthropic's tools that the host runs. The client runs the others, such as `bash_20250124`.
_SERVER_RUN = ("web_search_", "web_fetch_", "code_execution_", "advisor_", "mcp_")
_SERVER_BLOCKS = ("server_tool_use", "mcp_tool_use", "container_upload")


def is_server_run(tool_type: str) -> bool:
    return tool_type.startswith(_SERVER_RUN)


def missing_feature(params: Mapping[str, object], limits: HostLimits) -> str | None:
    """The field of `HostLimits` that the request needs and the host lacks; None if it can be sent unchanged."""
    lacking = (name for name in _NEEDS if not getattr(limits, name))  # the request is read for these only
    return next((name for name in lacking if _NEEDS[name](params)), None)


def _has_format(params: Mapping[str, object]) -> bool:
    config = params.get("output_config")
    return isinstance(config, Mapping) and bool(config.get("format"))


def _has_strict_tool(params: Mapping[str, object]) -> bool:
    return any(tool.get("strict") for tool in _objects(params.get("tools")))


def _needs_server(params: Mapping[str, object]) -> bool:
    tools = (is_server_run(str(tool.get("type", ""))) for tool in _objects(params.get("tools")))
    return any(tools) or any(block.get("type") in _SERVER_BLOCKS for block in _blocks(params))


def _has_url(params: Mapping[str, object]) -> bool:
    return any(source.get("type") == "url" for source in _sources(params))


def _sources(params: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The sources of images and documents, also of those in tool results and in documents."""
    for block in _blocks(params):
        for inner in (block, *_objects(block.get("content"))):
            source = inner.get("source")
            if isinstance(source, Mapping):
                yield source
                for part in _objects(source.get("content")):
                    yield from (value for value in part.values() if isinstance(value, Mapping))


def _blocks(params: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for turn in _objects(params.get("messages")):
        yield from _objects(turn.get("content"))


def _objects(value: object) -> Sequence[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


_NEEDS: Mapping[str, Callable[[Mapping[str, object]], bool]] = {
    "structured_output": _has_format,
    "strict_tools": _has_strict_tool,
    "server_tools": _needs_server,
    "url_sources": _has_url,
}
