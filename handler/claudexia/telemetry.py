"""What is logged: facts about a request, never its content, a completion, a key or a header's value."""

import logging
import sys
import traceback

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

_logger = Logger(service="claudexia")


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
    handler.setFormatter(LambdaPowertoolsFormatter(service="claudexia"))
    handler.addFilter(lambda record: record.name != _logger.name)  # it has a handler of its own
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
