"""Request log and metrics.

    record     RequestRecord: the facts about one request
    log        one JSON line per request; unhandled exceptions and warnings
    metrics    CloudWatch metrics in the embedded metric format

Nothing here holds the content of a request or of a response, a key, or a header's value.
"""
