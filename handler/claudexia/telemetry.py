"""What is logged: facts about a request, never its content, a completion, a key or a header's value."""

import traceback

from aws_lambda_powertools import Logger

_logger = Logger(service="claudexia")


def log_bug(error: BaseException) -> None:
    """Where an unforeseen exception was raised. Its message is left out, since it may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)
    _logger.error(
        "unhandled exception",
        exception_type=type(error).__name__,
        frames=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
