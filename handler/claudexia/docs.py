"""What /docs shows beyond the routes themselves: bodies, the path's parameter, and how a key is sent."""

from fastapi import FastAPI

from claudexia.translate.completion_params import CompletionCreateParams

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
