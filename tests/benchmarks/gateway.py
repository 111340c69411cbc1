"""The gateway, as a process to be measured."""

from fastapi import FastAPI

from claudexia.app import create_app
from claudexia.settings import Settings
from tests.benchmarks.serving import serve

KEY = "sk_cdx_benchmark"


def _gateway(upstream: str) -> FastAPI:
    return create_app(Settings(anthropic_base_url=upstream, anthropic_api_key="x", api_keys={"benchmark": KEY}))


if __name__ == "__main__":
    serve(_gateway)
