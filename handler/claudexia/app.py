"""create_app(): routes, exception handlers; nothing else.

No route declares a parameter, a dependency or a response model. FastAPI loads `pydantic.v1` for the first
one, a tenth of the gateway's cold start, resolves them anew for every request, and answers what does not fit
with a 422. What /docs shows of them is in `docs.py`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response

from claudexia import __version__
from claudexia.access.keys import authenticate
from claudexia.access.prices import Prices
from claudexia.access.stores import open_stores
from claudexia.api.completions import TEXT, Completions
from claudexia.api.middleware import RequestMiddleware, add_error_handlers, allow_origin
from claudexia.api.models import Models
from claudexia.generation.billing import Billing
from claudexia.observability.metrics import Metrics
from claudexia.settings import Settings
from claudexia.storage.table import Table
from claudexia.translate.types.openai import Model, ModelList
from claudexia.translate.types.params import CompletionCreateParams
from claudexia.upstream.anthropic import Upstream

# --- claudexia.docs
# What /docs shows beyond the routes themselves: bodies, the path's parameter, and how a key is sent.

MODEL_PARAMETER: dict[str, object] = {
    "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
}
NO_KEY: dict[str, object] = {"security": []}

_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
}
_COMPONENTS = "#/components/schemas/{model}"


def describe(app: FastAPI, path: str) -> None:
    """Completes the app's OpenAPI description, and that of the body of POST `path`, when first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema:
            return app.openapi_schema
        description = plain()
        body = CompletionCreateParams.model_json_schema(ref_template=_COMPONENTS)
        schemas = {**body.pop("$defs", {}), "CompletionCreateParams": body}
        description["components"] = {"schemas": schemas, "securitySchemes": _KEYS}
        description["security"] = [{name: []} for name in _KEYS]
        reference = {"$ref": _COMPONENTS.format(model="CompletionCreateParams")}
        description["paths"][path]["post"]["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": reference}},
        }
        return description

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the description


def create_app(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    table: Table | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The gateway. `transport` replaces the network to the upstream, `table` the one that the settings
    name, `now` the clock.
    """
    metrics = Metrics(settings)
    stores = open_stores(settings, table, now, metrics.table_failed)
    keys = stores.keys
    upstream = Upstream(settings, transport)
    books = Billing(stores.limiter, stores.ledger, Prices(settings.prices), settings.shows_cost)
    completions = Completions(settings, upstream, stores.thinking, books, now)
    models = Models(upstream, settings.model_aliases, now)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await books.settled()
        await upstream.aclose()

    routes = APIRouter()

    @routes.post("/chat/completions", response_model=None, summary="Create a chat completion")
    async def create_chat_completion(request: Request) -> Response:
        return await completions.create(request, await authenticate(request.headers, keys, now()))

    @routes.post("/completions", response_model=None, summary="Complete a single prompt")
    async def create_completion(request: Request) -> Response:
        return await completions.create(request, await authenticate(request.headers, keys, now()), TEXT)

    @routes.get("/models", response_model=None, summary="List models")
    async def list_models(request: Request) -> ModelList:
        key = await authenticate(request.headers, keys, now())
        return {"object": "list", "data": await models.listed(key)}

    @routes.get(
        "/models/{model:path}", response_model=None, summary="Retrieve a model", openapi_extra=MODEL_PARAMETER
    )
    async def retrieve_model(request: Request) -> Model:
        key = await authenticate(request.headers, keys, now())
        return await models.retrieve(key, request.path_params["model"])

    @routes.get("/health", response_model=None, summary="Tell that the gateway runs", openapi_extra=NO_KEY)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app = FastAPI(title="Claudexia", version=__version__, lifespan=lifespan, redirect_slashes=False)
    app.include_router(routes, prefix="/v1")
    app.include_router(routes, include_in_schema=False)
    app.add_middleware(RequestMiddleware, metrics=metrics, settled=books.settled)
    if settings.cors_origin:
        allow_origin(app, settings.cors_origin)
    add_error_handlers(app)
    describe(app, "/v1/chat/completions")
    return app
