"""What /docs shows of the requests. The routes read them themselves, so FastAPI does not know their schema."""

from fastapi import FastAPI

from claudexia.translate.completion_params import CompletionCreateParams

MODEL_PARAMETER: dict[str, object] = {
    "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
}
_COMPONENTS = "#/components/schemas/{model}"


def describe_body(app: FastAPI, path: str) -> None:
    """Adds CompletionCreateParams to the OpenAPI description of POST `path`, when that is first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, object]:
        if app.openapi_schema:
            return app.openapi_schema
        description = plain()
        body = CompletionCreateParams.model_json_schema(ref_template=_COMPONENTS)
        schemas = description.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(body.pop("$defs", {}), CompletionCreateParams=body)
        reference = {"$ref": _COMPONENTS.format(model="CompletionCreateParams")}
        description["paths"][path]["post"]["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": reference}},
        }
        return description

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the description
