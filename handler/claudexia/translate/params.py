"""Params: the base of everything clients send."""

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Strict as OpenAI is: "5" is no number and 1 is no boolean."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
