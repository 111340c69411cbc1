"""create_app(): routes, dependencies, exception handlers; nothing else.

No route declares a parameter or a response model: FastAPI loads `pydantic.v1` for the first one, a tenth of the
gateway's cold start, and would answer what does not fit with a 422.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import Response
from fastapi.security import APIKeyHeader, HTTPBearer

from claudexia import __version__
from claudexia.access.keys import Key, MemoryKeyStore, authenticate
from claudexia.completions import Completions
from claudexia.docs import MODEL_PARAMETER, describe_body
from claudexia.edge import Edge, add_error_handlers
from claudexia.settings import Settings
from claudexia.translate import find_model, listed_models
from claudexia.translate.openai import Model, ModelList
from claudexia.upstream import Upstream

# Only so that /docs can ask for a key; authenticate() reads the headers itself.
_IN_DOCS = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="api-key", auto_error=False))]


def create_app(
    settings: Settings,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> FastAPI:
    """The gateway. `transport` replaces the network to the upstream, `now` the clock."""
    upstream = Upstream(settings, transport)
    completions = Completions(settings, upstream, now)
    keys = MemoryKeyStore(settings.api_keys)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await upstream.aclose()

    async def caller(request: Request) -> Key:
        return await authenticate(request.headers, keys)

    routes = APIRouter(dependencies=[*_IN_DOCS, Depends(caller)])

    @routes.post("/chat/completions", response_model=None, summary="Create a chat completion")
    async def create_chat_completion(request: Request) -> Response:
        return await completions.create(request)

    @routes.get("/models", response_model=None, summary="List models")
    async def list_models() -> ModelList:
        return {"object": "list", "data": listed_models(settings.model_aliases)}

    @routes.get(
        "/models/{model:path}", response_model=None, openapi_extra=MODEL_PARAMETER, summary="Retrieve a model"
    )
    async def retrieve_model(request: Request) -> Model:
        name = request.path_params["model"]
        model = find_model(name, settings.model_aliases)
        return model.as_listed(name if name in settings.model_aliases else None)

    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app = FastAPI(title="Claudexia", version=__version__, lifespan=lifespan, redirect_slashes=False)
    for prefix in ("/v1", ""):
        app.include_router(routes, prefix=prefix, include_in_schema=bool(prefix))
        app.add_api_route(f"{prefix}/health", health, response_model=None, include_in_schema=not prefix)
    app.add_middleware(Edge)
    add_error_handlers(app)
    describe_body(app, "/v1/chat/completions")
    return app
