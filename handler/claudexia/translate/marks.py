"""Cache marks that clients set themselves."""

from pydantic import ValidationError

from claudexia.translate.anthropic_params import CacheControlParam
from claudexia.translate.cache_params import CacheControl
from claudexia.translate.errors import invalid_request
from claudexia.translate.fields import Report
from claudexia.translate.params import Params


def client_mark(given: Params, path: str, report: Report) -> CacheControlParam | None:
    """The mark on `given`, which stands at `path`. Raises APIError 400 where it is none."""
    value = (given.model_extra or {}).get("cache_control")
    if value is None:
        return None
    try:
        mark = CacheControl.model_validate(value)
    except ValidationError:
        raise invalid_request(
            f"Invalid '{path}.cache_control': expected {{'type': 'ephemeral'}} with a 'ttl' of '5m' or '1h'.",
            f"{path}.cache_control",
            "invalid_value",
        ) from None
    return {"type": "ephemeral", "ttl": mark.ttl} if mark.ttl else {"type": "ephemeral"}
