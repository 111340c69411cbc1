"""Powertools for AWS Lambda, without botocore.

Powertools imports botocore if it can, as on Lambda, to name itself in boto3's user agent. Nothing deployed uses
boto3.
"""

import sys

_had_botocore = "botocore" in sys.modules
if not _had_botocore:
    sys.modules["botocore"] = None  # type: ignore[assignment]  # makes its import fail

from aws_lambda_powertools import Logger  # noqa: E402
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter  # noqa: E402

if not _had_botocore:
    del sys.modules["botocore"]

__all__ = ["LambdaPowertoolsFormatter", "Logger"]
