"""A client of the Lambda Runtime API that streams; `handler/bootstrap` runs `python -m claudexia.runtime`.

    GET  invocation/next              an event; Mangum infers the ASGI scope and the body from it
    POST invocation/{id}/response     a prelude, 8 NUL bytes, then each body message as the app sends it
         ... 0, trailers              the app broke off: what has been sent cannot be taken back
    POST invocation/{id}/error        it failed before it had begun to answer

The app cannot tell whether uvicorn or Lambda runs it. AWS's own client for Python does not stream, and Mangum
returns one whole response; when either learns to, this package and the wrapper go. Until then every route of
the function must stream: a buffered integration would get the prelude as its payload.

    __main__      the process: handler, lifespan, snapshots, a poll for each concurrent invocation
    answer        ASGI's `send` for one invocation
    api           the Runtime API over HTTP
    invocation    one event and what came with it
    lifespan      ASGI's lifespan, once per process

Sources:
- https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html (the API)
- https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
- https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html (the prelude)
"""
