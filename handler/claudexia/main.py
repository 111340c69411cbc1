"""The Lambda entry point: `app` and `handler`. The import does everything that is possible before a request."""

from mangum import Mangum

from claudexia.app import create_app
from claudexia.settings import Settings

app = create_app(Settings.from_env())
handler = Mangum(app, lifespan="off")
