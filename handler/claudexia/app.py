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
from claudexia.access.table import Table
from claudexia.account import Books
from claudexia.completions import Completions
from claudexia.docs import MODEL_PARAMETER, NO_KEY, describe
from claudexia.edge import Edge, add_error_handlers, allow_origin
from claudexia.endpoint import TEXT
from claudexia.metrics import Metrics
from claudexia.model_list import Models
from claudexia.settings import Settings
from claudexia.translate.openai import Model, ModelList
from claudexia.upstream import Upstream


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
    books = Books(stores.limiter, stores.ledger, Prices(settings.prices), settings.shows_cost)
    completions = Completions(settings, upstream, stores.thoughts, books, now)
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
    app.add_middleware(Edge, metrics=metrics, settled=books.settled)
    if settings.cors_origin:
        allow_origin(app, settings.cors_origin)
    add_error_handlers(app)
    describe(app, "/v1/chat/completions")
    return app
