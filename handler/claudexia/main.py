"""The Lambda entry point. Everything that can be done before the first request is done at import."""

from mangum import Mangum

from claudexia.app import create_app
from claudexia.settings import Settings

app = create_app(Settings.from_env())
handler = Mangum(app, lifespan="off")
