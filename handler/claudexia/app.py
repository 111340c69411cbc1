"""create_app(): wiring, routes, exception handlers.

No route declares a parameter, a dependency or a response model. For the first one, FastAPI would load
`pydantic.v1`, which is a tenth of the gateway's cold start; it would resolve them again for every request, and
respond with a 422 to invalid input. `api.openapi` describes them instead.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response

from claudexia import __version__
from claudexia.access.keys import Key, authenticate
from claudexia.access.prices import Prices
from claudexia.access.stores import open_stores
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
from claudexia.upstream.failover import open_upstream
from claudexia.upstream.hosts import price_factors

if TYPE_CHECKING:
    from claudexia.api.messages import MessagesHandler
    from claudexia.api.models import ModelCatalog
    from claudexia.api.responses import StoredResponses

_HIDDEN: Any = {"response_model": None, "include_in_schema": False}
KeyOf = Callable[[Request], Awaitable[Key]]
# Path, name, summary.
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
        yield
        await billing.settled()
        await upstream.aclose()

    async def key_of(request: Request) -> Key:
        return await authenticate(request.headers, stores.keys, now())

    routes = APIRouter()

    completion_routes = (
        ("/chat/completions", "create_chat_completion", "Create a chat completion", ChatCompletions()),
        ("/completions", "create_completion", "Complete a single prompt", on_demand.text_completions()),
        ("/responses", "create_response", "Create a model response", on_demand.responses(stores.responses)),
    )
    for route in completion_routes:
        _add_completion_route(routes, route, completions, key_of)
    _add_response_routes(routes, on_demand.stored_responses(stores.responses, now), key_of)
    _add_message_routes(routes, on_demand.messages_handler(settings, upstream, billing, now), key_of)
    _add_model_routes(routes, on_demand.model_catalog(settings, upstream, now), key_of)

    @routes.head("/health", **_HIDDEN)
    @routes.get("/health", response_model=None, summary="Check that the gateway runs")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app = FastAPI(
        title="Claudexia",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        default_response_class=JSONResponse,
        openapi_url="/openapi.json" if settings.docs else None,  # None also removes /docs and /redoc
    )
    _add_root(app, serves_page=settings.page)
    app.include_router(routes, prefix="/v1")
    app.include_router(routes, include_in_schema=False)
    app.add_middleware(RequestMiddleware, metrics=metrics, settled=billing.settled)
    if settings.cors_origin:
        allow_origins(app, read_origins(settings.cors_origin))
    add_error_handlers(app)
    _describe_on_request(app)
    return app


def _add_completion_route(
    routes: APIRouter, route: _CompletionRoute, completions: CompletionHandler, key_of: KeyOf
) -> None:
    path, name, summary, api = route

    async def create(request: Request) -> Response:
        return await completions.create(request, await key_of(request), api)

    routes.add_api_route(path, create, methods=["POST"], name=name, response_model=None, summary=summary)


def _add_response_routes(routes: APIRouter, responses: "Callable[[], StoredResponses]", key_of: KeyOf) -> None:
    one = "/responses/{response_id}"

    @routes.get(one, response_model=None, summary="Retrieve a response")
    async def retrieve_response(request: Request) -> Mapping[str, Any]:
        return await responses().retrieve(request, await key_of(request))

    @routes.delete(one, response_model=None, summary="Delete a response")
    async def delete_response(request: Request) -> Mapping[str, Any]:
        return await responses().delete(request, await key_of(request))

    @routes.get(f"{one}/input_items", response_model=None, summary="List a response's input")
    async def list_input_items(request: Request) -> Mapping[str, Any]:
        return await responses().list_input(request, await key_of(request))

    @routes.post(f"{one}/cancel", response_model=None, summary="Cancel a response")
    async def cancel_response(request: Request) -> Mapping[str, Any]:
        return await responses().cancel(request, await key_of(request))


def _add_message_routes(routes: APIRouter, messages: "Callable[[], MessagesHandler]", key_of: KeyOf) -> None:
    @routes.post(MESSAGES, response_model=None, summary="Create a message")
    async def create_message(request: Request) -> Response:
        return await messages().create(request, await key_of(request), MESSAGES)

    @routes.post(COUNT_TOKENS, response_model=None, summary="Count the tokens of a message")
    async def count_tokens(request: Request) -> Response:
        return await messages().create(request, await key_of(request), COUNT_TOKENS)


def _add_model_routes(routes: APIRouter, models: "Callable[[], ModelCatalog]", key_of: KeyOf) -> None:
    @routes.get("/models", response_model=None, summary="List models")
    @routes.get("/models/", **_HIDDEN)
    @routes.head("/models", **_HIDDEN)
    async def list_models(request: Request) -> ModelList | ModelInfoPage:
        key = await key_of(request)
        if speaks_anthropic(request.scope):
            return await models().page_for(key, request.query_params)
        return {"object": "list", "data": await models().list_for(key)}

    @routes.head("/models/{model:path}", **_HIDDEN)
    @routes.get("/models/{model:path}", response_model=None, summary="Retrieve a model")
    async def retrieve_model(request: Request) -> Model | ModelInfo:
        key, name = await key_of(request), request.path_params["model"]
        if speaks_anthropic(request.scope):
            return await models().retrieve_info(key, name)
        return await models().retrieve(key, name)


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
