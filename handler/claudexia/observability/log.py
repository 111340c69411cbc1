"""What is logged: facts about a request, never its content, a completion, a key or a header's value.

Every line is one JSON object. POWERTOOLS_LOG_LEVEL and POWERTOOLS_SERVICE_NAME are Powertools' own settings:
https://docs.powertools.aws.dev/lambda/python/latest/core/logger/
"""

import logging
import os
import sys
import traceback

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from claudexia.observability.record import RequestRecord

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME") or "claudexia"
# A person's own terminal is told what went wrong and not each request, unless the person asks for it.
_QUIET = not {"AWS_LAMBDA_FUNCTION_NAME", "POWERTOOLS_LOG_LEVEL"} & os.environ.keys()

# From Python 3.12 on, every record names the asyncio task it was made in: no fact about the request.
vars(logging)["logAsyncioTasks"] = False

_logger = Logger(service=SERVICE, level="WARNING" if _QUIET else None)
_TELL = {
    logging.ERROR: _logger.error,
    logging.WARNING: _logger.warning,
    logging.INFO: _logger.info,
}


def log_request(record: RequestRecord) -> None:
    """The one line of a request: an error for what the gateway or the upstream failed at."""
    status = record.status or 0
    if status >= 500 or (status < 400 and record.outcome in ("error", "deadline")):
        level = logging.ERROR
    else:
        level = logging.WARNING if status >= 400 else logging.INFO
    if level >= _logger.log_level:  # the facts cost more than to find out that nobody wants them
        _TELL[level]("request", extra=record.facts())


def log_bug(error: BaseException) -> None:
    """Where an unforeseen exception was raised. Its message is left out, since it may quote the request."""
    _logger.error("unhandled exception", exception_type=type(error).__name__, frames=frames_of(error))


def log_fact(message: str, **facts: str | int) -> None:
    _logger.warning(message, extra=dict(facts))


def frames_of(error: BaseException) -> list[str]:
    """The error's traceback, outermost call first, as `file:line function`."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def log_as_json() -> None:
    """What libraries log goes out as one JSON line each too: CloudWatch takes every line for an event."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LambdaPowertoolsFormatter(service=SERVICE))
    handler.addFilter(_of_a_library)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _of_a_library(line: logging.LogRecord) -> bool:
    """Takes off what may quote a request: an exception's text, and what asyncio writes below its first line."""
    if line.name == _logger.name:  # it has a handler of its own
        return False
    line.msg, line.args = line.getMessage().partition("\n")[0], None
    if line.exc_info and line.exc_info[1]:
        error, line.exc_info = line.exc_info[1], None
        line.__dict__.update(exception_type=type(error).__name__, frames=frames_of(error))
    return True
