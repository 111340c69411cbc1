"""The gateway in front of fakes of Claude's hosts, with real sockets."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from claudexia.app import create_app
from claudexia.settings import AWSHosts, Settings
from tests.fakes.hosts import KEY as HOST_KEY
from tests.fakes.hosts import REGION, WORKSPACE
from tests.helpers.serving import KEY, OTHER_KEY, UPSTREAM_KEY, serving

# The host of UPSTREAM and the fields of its address, by kind.
_ADDRESSES: Mapping[str, tuple[str, str]] = {
    "aws": ("aws", "base_url"),
    "bedrock": ("bedrock", "bedrock_base_url"),
    "mantle": ("bedrock", "bedrock_mantle_base_url"),
}


@contextmanager
def hosts_gateway(upstreams: Mapping[str, Any], *, with_key: bool = False, **settings: Any) -> Iterator[str]:
    """The gateway with `upstreams` in their order: an ASGI app each for anthropic, aws, bedrock or mantle.

    Requests to AWS are signed with the environment's credentials, or, `with_key`, carry the host's API key.
    Yields the base URL with /v1. An app that is None stands for a host that refuses connections.
    """
    with ExitStack() as stack:
        aws: dict[str, str] = {"region": REGION, "workspace_id": WORKSPACE}
        values: dict[str, Any] = {}
        names = []
        for kind, app in upstreams.items():
            url = stack.enter_context(serving(app)) if app else "http://127.0.0.1:9"
            name, field = _ADDRESSES.get(kind, (kind, ""))
            names.append(name)
            if field:
                aws[field] = url + ("/anthropic" if kind == "mantle" else "")
            else:
                values["anthropic_base_url"] = url
            if kind == "mantle":
                aws["bedrock_endpoint"] = "mantle"
        if with_key:
            aws |= {"api_key": HOST_KEY, "bedrock_token": HOST_KEY}
        app_arguments = {name: settings.pop(name) for name in ("now", "table") if name in settings}
        aws |= settings.pop("aws", {})
        values |= {
            "upstream": tuple(names),
            "aws": AWSHosts(**aws),
            "anthropic_api_key": UPSTREAM_KEY,
            "api_keys": {"test": KEY, "other": OTHER_KEY},
            **settings,
        }
        yield stack.enter_context(serving(create_app(Settings(**values), **app_arguments))) + "/v1"
