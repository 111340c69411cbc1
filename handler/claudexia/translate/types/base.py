"""Params: the base of everything that clients send."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Strict as OpenAI is: "5" is no number and 1 is no boolean. Unknown fields are kept, to be reported."""

    # Built once, inside CompletionCreateParams, and not each for itself as well.
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, defer_build=True)


# --- claudexia.translate.cache_params
# What clients send about prompt caching, in OpenAI's words and Anthropic's.


class CacheControl(Params):
    """Anthropic's mark, on a part, a message, a tool or the whole request."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class PromptCacheOptions(Params):
    """OpenAI's: `explicit` caches only up to the parts with a `prompt_cache_breakpoint`."""

    mode: Literal["implicit", "explicit"] | None = None
    ttl: str | None = None


class PromptCacheBreakpoint(Params):
    """OpenAI's mark on a content part."""

    mode: Literal["explicit"] | None = None
    ttl: str | None = None


class Marked(Params):
    """What may carry a cache mark, in Anthropic's words or OpenAI's."""

    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: PromptCacheBreakpoint | None = None
