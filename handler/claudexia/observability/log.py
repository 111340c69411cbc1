"""The log: one JSON object per line, without content, keys or header values.

POWERTOOLS_LOG_LEVEL and POWERTOOLS_SERVICE_NAME are settings of Powertools:
https://docs.powertools.aws.dev/lambda/python/latest/core/logger/
"""

import logging
import os
import sys
import traceback

from claudexia.observability.powertools import LambdaPowertoolsFormatter, Logger
from claudexia.observability.record import RequestRecord

SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME") or "claudexia"
# Outside Lambda only warnings and errors are logged, unless POWERTOOLS_LOG_LEVEL is set.
_WARNINGS_ONLY = not {"AWS_LAMBDA_FUNCTION_NAME", "POWERTOOLS_LOG_LEVEL"} & os.environ.keys()

# Python 3.12 and later add the asyncio task's name to every record, which is not a fact about the request.
vars(logging)["logAsyncioTasks"] = False

_logger = Logger(service=SERVICE, level="WARNING" if _WARNINGS_ONLY else None)
_LOG_AT = {
    logging.ERROR: _logger.error,
    logging.WARNING: _logger.warning,
    logging.INFO: _logger.info,
}


def log_request(record: RequestRecord) -> None:
    """Logs one line: an error if the gateway or the upstream failed, a warning for any other 4xx."""
    status = record.status or 0
    if status >= 500 or (status < 400 and record.outcome in ("error", "deadline")):
        level = logging.ERROR
    else:
        level = logging.WARNING if status >= 400 else logging.INFO
    if level >= _logger.log_level:  # building the fields is the expensive part
        _LOG_AT[level]("request", extra=record.log_fields())


def log_bug(error: BaseException) -> None:
    """Logs an unhandled exception's type and stack. Its message is omitted: it may quote the request."""
    _logger.error("unhandled exception", exception_type=type(error).__name__, frames=stack_frames(error))


def log_warning(message: str, **extra: str | int) -> None:
    _logger.warning(message, extra=dict(extra))


def stack_frames(error: BaseException) -> list[str]:
    """The stack of `error`, outermost call first, each frame as `file:line function`."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def log_as_json() -> None:
    """Writes each log record of a library as one JSON line. CloudWatch treats every line as an event."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(LambdaPowertoolsFormatter(service=SERVICE))
    handler.addFilter(_without_content)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _without_content(line: logging.LogRecord) -> bool:
    """Removes what may quote a request: an exception's message, and every line of a message but the first.

    asyncio appends the context of an error after the first line. False for the gateway's own records, which
    have their own handler.
    """
    if line.name == _logger.name:
        return False
    line.msg, line.args = line.getMessage().partition("\n")[0], None
    if line.exc_info and line.exc_info[1]:
        error, line.exc_info = line.exc_info[1], None
        line.__dict__.update(exception_type=type(error).__name__, frames=stack_frames(error))
    return True
