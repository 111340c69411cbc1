"""A streaming client of the Lambda Runtime API. `handler/bootstrap` runs `python -m claudexia.runtime`.

    GET  invocation/next              an event; Mangum infers the ASGI scope and the body from it
    POST invocation/{id}/response     a prelude, 8 NUL bytes, then each body message when the app sends it
         ... 0, trailers              the app failed after the response had started
    POST invocation/{id}/error        the app failed before the response had started

The app runs as it does under uvicorn. AWS's own client for Python does not stream, and Mangum returns whole
responses; this package and the bootstrap can be deleted when one of them streams. All routes of the function
must use response streaming: a buffered integration would return the prelude as part of the body.

    __main__    the process: handler, lifespan, snapshots, one poll per concurrent invocation
    response    ASGI's `send` for one invocation
    api         the Runtime API over HTTP, and the invocations it returns

Sources:
- https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html (the API)
- https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
- https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html (the prelude)
"""
