"""The Lambda entry point: `app` and `handler`. The import does everything that is possible before a request."""

import pydantic

# FastAPI's models of OpenAPI descriptions are a twelfth of the import. So pydantic builds models at their first
# use, unless their own configuration says otherwise.
pydantic.BaseModel.model_config["defer_build"] = True

from mangum import Mangum  # noqa: E402

from claudexia.app import create_app  # noqa: E402
from claudexia.settings import Settings  # noqa: E402

app = create_app(Settings.from_env())
handler = Mangum(app, lifespan="off")
