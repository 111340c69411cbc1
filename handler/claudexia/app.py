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
from claudexia.access.keys import MemoryKeyStore, SecretKeyStore, authenticate
from claudexia.completions import Completions
from claudexia.docs import MODEL_PARAMETER, NO_KEY, describe
from claudexia.edge import Edge, add_error_handlers, allow_origin
from claudexia.metrics import Metrics
from claudexia.secret import StoredSecret
from claudexia.settings import Settings
from claudexia.translate import find_model, listed_models
from claudexia.translate.openai import Model, ModelList
from claudexia.upstream import Upstream


def create_app(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The gateway. `transport` replaces the network to the upstream, `now` the clock."""
    upstream = Upstream(settings, transport)
    completions = Completions(settings, upstream, now)
    stored = StoredSecret(settings.api_keys_secret) if settings.api_keys_secret else None
    keys = SecretKeyStore(stored) if stored and not settings.api_keys else MemoryKeyStore(settings.api_keys)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await upstream.aclose()

    routes = APIRouter()

    @routes.post("/chat/completions", response_model=None, summary="Create a chat completion")
    async def create_chat_completion(request: Request) -> Response:
        await authenticate(request.headers, keys)
        return await completions.create(request)

    @routes.get("/models", response_model=None, summary="List models")
    async def list_models(request: Request) -> ModelList:
        await authenticate(request.headers, keys)
        return {"object": "list", "data": listed_models(settings.model_aliases)}

    @routes.get(
        "/models/{model:path}", response_model=None, summary="Retrieve a model", openapi_extra=MODEL_PARAMETER
    )
    async def retrieve_model(request: Request) -> Model:
        await authenticate(request.headers, keys)
        name = request.path_params["model"]
        model = find_model(name, settings.model_aliases)
        return model.as_listed(name if name in settings.model_aliases else None)

    @routes.get("/health", response_model=None, summary="Tell that the gateway runs", openapi_extra=NO_KEY)
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app = FastAPI(title="Claudexia", version=__version__, lifespan=lifespan, redirect_slashes=False)
    app.include_router(routes, prefix="/v1")
    app.include_router(routes, include_in_schema=False)
    app.add_middleware(Edge, metrics=Metrics(settings))
    if settings.cors_origin:
        allow_origin(app, settings.cors_origin)
    add_error_handlers(app)
    describe(app, "/v1/chat/completions")
    return app
