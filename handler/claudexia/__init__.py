"""Claudexia: OpenAI's chat completions in front, Anthropic's Messages API behind.

Where things are; imports only point down this list:

    main            the Lambda entry: `app` and `handler`
    runtime         a client of the Lambda Runtime API that streams
    local           what only a person's own machine needs: command line, servers, echo upstream
    app             create_app(): routes, exception handlers
    completions     one completion, from the request's bytes to the response
    telling         from Claude's events to what goes out
    answers         what Claude says to one request: begun, resumed, asked again without thinking
    account         what one request costs its key
    memory          what a client's tool loop has to be reminded of
    wire            the body and the headers around a completion
    together        several things at once, which fail together
    docs            what /docs shows beyond the routes
    deadline        when an answer has to be over
    edge            what every request gets: an id, a line in the log, an answer even to a bug
    elsewhere       what to use instead of the addresses that are not served
    event_stream    server-sent events to a client who may leave
    model_list      what GET /v1/models answers
    upstream        the Messages API over httpx: status first, then events
    access          who may call, how much, at what price; what is kept, on a table or in memory
    secret          a secret of the gateway's own, given or stored
    metrics         what is counted
    telemetry       what is logged
    records         the facts about one request
    settings        what an operator can choose
    translate       the core: pure functions and one state machine; no clock, no HTTP, no AWS
"""

__version__ = "0.1.0"
