"""create_app(): wiring, routes, exception handlers.

No route declares a parameter, a dependency or a response model. For the first one, FastAPI would load
`pydantic.v1`, which is a tenth of the gateway's cold start; it would resolve them again for every request, and
respond with a 422 to invalid input. `api.openapi` describes them instead. With nothing to resolve, FastAPI is
the router and the error handlers around a handler, and no more: see `_Route`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from claudexia import __version__
from claudexia.access.keys import Key, authenticate
from claudexia.access.prices import Prices
from claudexia.access.stores import Stores, open_stores
from claudexia.api import on_demand
from claudexia.api.chat_completions import ChatCompletions
from claudexia.api.completions import CompletionAPI, CompletionHandler
from claudexia.api.http import COUNT_TOKENS, MESSAGES, JSONResponse
from claudexia.api.middleware import RequestMiddleware, add_error_handlers, allow_origins, speaks_anthropic
from claudexia.api.page import page, prefers_html
from claudexia.generation.billing import Billing
from claudexia.observability.metrics import Metrics
from claudexia.settings import Settings, read_origins
from claudexia.storage.table import Table
from claudexia.translate.types.anthropic import ModelInfo, ModelInfoPage
from claudexia.translate.types.openai import Model, ModelList
from claudexia.upstream import Upstream
from claudexia.upstream.failover import open_upstream
from claudexia.upstream.hosts import price_factors

if TYPE_CHECKING:
    from claudexia.api.messages import MessagesHandler
    from claudexia.api.models import ModelCatalog
    from claudexia.api.responses import StoredResponses

# FastAPI's telemetry looks for three providers in every request, and its spans would quote exceptions.
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False}
# Its result is a response, or the content of a JSON response.
Handler = Callable[[Request], Awaitable[object]]
KeyOf = Callable[[Request], Awaitable[Key]]
_PREPARATION_SECONDS = 1.0
# Path, name of the operation, summary.
_CompletionRoute = tuple[str, str, str, CompletionAPI]


def create_app(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    table: Table | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The gateway. `transport` replaces the network to the upstream, `table` the table that the settings name,
    and `now` the clock; it returns the time with its zone.
    """
    metrics = Metrics(settings)
    stores = open_stores(settings, table, now, metrics.table_failed)
    upstream = open_upstream(settings, transport)
    prices = Prices(settings.prices, price_factors(settings))
    billing = Billing(stores.limiter, stores.ledger, prices, settings.shows_cost, settings.unpriced_models)
    completions = CompletionHandler(settings, upstream, stores.thinking, billing, now)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if settings.prepares:
            await _prepare(upstream, stores)
        yield
        await billing.settled()
        await upstream.aclose()

    async def key_of(request: Request) -> Key:
        return await authenticate(request.headers, stores.keys, now())

    app = FastAPI(
        title="Claudexia",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        default_response_class=JSONResponse,
        telemetry=_NO_TELEMETRY,
        openapi_url="/openapi.json" if settings.docs else None,  # None also removes /docs and /redoc
    )
    app.router.route_class = _Route
    _add_root(app, serves_page=settings.page)
    completion_routes = (
        ("/chat/completions", "create_chat_completion", "Create a chat completion", ChatCompletions()),
        ("/completions", "create_completion", "Complete a single prompt", on_demand.text_completions()),
        ("/responses", "create_response", "Create a model response", on_demand.responses(stores.responses)),
    )
    for route in completion_routes:
        _add_completion_route(app, route, completions, key_of)
    _add_response_routes(app, on_demand.stored_responses(stores.responses, now), key_of)
    _add_message_routes(app, on_demand.messages_handler(settings, upstream, billing, now), key_of)
    _add_model_routes(app, on_demand.model_catalog(settings, upstream, now), key_of)
    _add_health_routes(app)
    app.add_middleware(RequestMiddleware, metrics=metrics, settled=billing.settled)
    if settings.cors_origin:
        allow_origins(app, read_origins(settings.cors_origin))
    add_error_handlers(app)
    _describe_on_request(app)
    return app


async def _prepare(upstream: Upstream, stores: Stores) -> None:
    """Fetches and opens what the first request needs, for at most a second."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PREPARATION_SECONDS):
            await asyncio.gather(upstream.prepare(), stores.prepare())


class _Route(APIRoute):
    """Calls its handler with the request and nothing else."""

    def __init__(self, path: str, endpoint: Handler, **options: Any) -> None:
        super().__init__(path, endpoint, **options)

        async def respond(scope: Scope, receive: Receive, send: Send) -> None:
            result = await endpoint(Request(scope, receive))
            response = result if isinstance(result, Response) else JSONResponse(result)
            await response(scope, receive, send)

        self.app = respond


def _add_route(app: FastAPI, method: str, path: str, handler: Handler, summary: str = "") -> None:
    """Serves `path` below /v1, where it is described if it has a summary, and without /v1.

    The name of `handler` is that of the operation in /openapi.json.
    """
    for prefix in ("/v1", ""):
        app.add_api_route(
            prefix + path,
            handler,
            methods=[method],
            response_model=None,
            summary=summary,
            include_in_schema=bool(prefix and summary),
        )


def _add_completion_route(
    app: FastAPI, route: _CompletionRoute, completions: CompletionHandler, key_of: KeyOf
) -> None:
    path, name, summary, api = route

    async def create(request: Request) -> Response:
        return await completions.create(request, await key_of(request), api)

    create.__name__ = name
    _add_route(app, "POST", path, create, summary)


def _add_response_routes(app: FastAPI, responses: "Callable[[], StoredResponses]", key_of: KeyOf) -> None:
    async def retrieve_response(request: Request) -> object:
        return await responses().retrieve(request, await key_of(request))

    async def delete_response(request: Request) -> object:
        return await responses().delete(request, await key_of(request))

    async def list_input_items(request: Request) -> object:
        return await responses().list_input(request, await key_of(request))

    async def cancel_response(request: Request) -> object:
        return await responses().cancel(request, await key_of(request))

    one = "/responses/{response_id}"
    _add_route(app, "GET", one, retrieve_response, "Retrieve a response")
    _add_route(app, "DELETE", one, delete_response, "Delete a response")
    _add_route(app, "GET", f"{one}/input_items", list_input_items, "List a response's input")
    _add_route(app, "POST", f"{one}/cancel", cancel_response, "Cancel a response")


def _add_message_routes(app: FastAPI, messages: "Callable[[], MessagesHandler]", key_of: KeyOf) -> None:
    async def create_message(request: Request) -> Response:
        return await messages().create(request, await key_of(request), MESSAGES)

    async def count_tokens(request: Request) -> Response:
        return await messages().create(request, await key_of(request), COUNT_TOKENS)

    _add_route(app, "POST", MESSAGES, create_message, "Create a message")
    _add_route(app, "POST", COUNT_TOKENS, count_tokens, "Count the tokens of a message")


def _add_model_routes(app: FastAPI, models: "Callable[[], ModelCatalog]", key_of: KeyOf) -> None:
    async def list_models(request: Request) -> ModelList | ModelInfoPage:
        key = await key_of(request)
        if speaks_anthropic(request.scope):
            return await models().page_for(key, request.query_params)
        return {"object": "list", "data": await models().list_for(key)}

    async def retrieve_model(request: Request) -> Model | ModelInfo:
        key, name = await key_of(request), request.path_params["model"]
        if speaks_anthropic(request.scope):
            return await models().retrieve_info(key, name)
        return await models().retrieve(key, name)

    _add_route(app, "GET", "/models", list_models, "List models")
    _add_route(app, "HEAD", "/models", list_models)
    _add_route(app, "GET", "/models/{model:path}", retrieve_model, "Retrieve a model")
    _add_route(app, "HEAD", "/models/{model:path}", retrieve_model)


def _add_health_routes(app: FastAPI) -> None:
    async def health(request: Request) -> dict[str, str]:
        return {"status": "ok"}

    _add_route(app, "GET", "/health", health, "Check that the gateway runs")
    _add_route(app, "HEAD", "/health", health)


def _add_root(app: FastAPI, *, serves_page: bool) -> None:
    """`/` is a page for browsers, and the same as /health for API clients. Claude Code asks for its HEAD."""

    @app.api_route("/", methods=["GET", "HEAD"], response_model=None, include_in_schema=False)
    async def root(request: Request) -> Response:
        if serves_page and prefers_html(request.headers):
            return page()
        return JSONResponse({"status": "ok"}, headers={"vary": "accept"})


def _describe_on_request(app: FastAPI) -> None:
    """Replaces FastAPI's OpenAPI description, which knows no bodies. It is built when first requested."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            from claudexia.api.openapi import describe  # noqa: PLC0415  # no other request needs it

            app.openapi_schema = describe(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the description
