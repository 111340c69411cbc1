"""What clients send about reasoning, in OpenAI's words, OpenRouter's and Anthropic's own.

Sources: https://platform.openai.com/docs/api-reference/chat/create, https://openrouter.ai/docs/use-cases/reasoning-tokens
and https://platform.claude.com/docs/en/build-with-claude/extended-thinking
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from claudexia.translate.params import Params

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ThinkingType = Literal["adaptive", "enabled", "disabled", "between_tools"]
Display = Literal["summarized", "omitted"]
# LiteLLM's clients send OpenAI's effort inside an object.
ReasoningEffort = Annotated[
    Effort, BeforeValidator(lambda v: v["effort"] if isinstance(v, dict) and "effort" in v else v)
]


class Reasoning(Params):
    """OpenRouter's: `exclude` hides the reasoning, `max_tokens` bounds it, `enabled` asks for some."""

    effort: Effort | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class Thinking(Params):
    """Anthropic's; `budget_tokens` belongs to `enabled` only."""

    type: ThinkingType
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    display: Display | None = None
