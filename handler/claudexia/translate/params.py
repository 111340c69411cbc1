"""Params: the base of everything that clients send."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Strict as OpenAI is: "5" is no number and 1 is no boolean. Unknown fields are kept, to be reported."""

    # Built once, inside CompletionCreateParams, and not each for itself as well.
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, defer_build=True)
