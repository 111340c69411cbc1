"""Claudexia: OpenAI's APIs and Anthropic's own in front, Anthropic's Messages API behind.

The rooms, from top to bottom. Imports only point down this list:

    main            the Lambda entry: `app` and `handler`
    runtime         a client of the Lambda Runtime API that streams responses
    app             create_app(): wiring, routes, exception handlers
    api             what clients speak: one module per API, with its encoder; the request handling that the APIs
                    share (`completions`), server-sent events, the model list, the middleware around every
                    request
    generation      one request to Claude, whatever API the client uses: start, resume, stream, bill
    upstream        where Claude runs, behind the Protocol Upstream: one host, or several with failover
    access          keys, limits, prices, the ledger, the thinking store, the stored responses
    observability   the record of a request, the log, the metrics
    storage         one table: in DynamoDB or in memory
    aws             signed calls to AWS: Signature Version 4, credentials, a client of the JSON APIs
    translate       pure functions and state machines; no HTTP, no AWS, no clock
        request         a chat completion or Responses request -> MessageCreateParams
        response        MessageStreamEvents -> accumulator -> chat completion or response, whole or streamed
        schema          JSON Schema as Claude accepts it
        types           the wire types of both vendors
    settings        Settings: what an operator can configure
    models          the Claude models: names, limits, capabilities
    errors          APIError and the error envelopes of both vendors
    json_text       JSON that every line reader can read

A streamed request:

    app -> api.completions: authenticate, read, parse, translate, admit
    -> generation: open the upstream's stream; its first event arrives before the response starts
    each event: MessageAccumulator (usage, content, resumption) -> the API's Encoder -> bytes
    at the end: usage, cost and timing are recorded once

A request of the Messages API takes the same way without translation: api.messages -> generation.relay, which
passes the upstream's bytes on and reads them a second time to count.
"""

__version__ = "0.1.0"
