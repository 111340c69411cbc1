"""The Lambda entry point: `app` and `handler`. The import does everything that is possible before a request."""

import pydantic

# FastAPI defines 40 models for OpenAPI descriptions, which pydantic builds at their first use instead, in a
# request for /openapi.json: a tenth of the import. Models that are built at import set `defer_build=False`.
pydantic.BaseModel.model_config["defer_build"] = True

from mangum import Mangum  # noqa: E402

from claudexia.app import create_app  # noqa: E402
from claudexia.settings import Settings  # noqa: E402

app = create_app(Settings.from_env())
handler = Mangum(app, lifespan="off")
