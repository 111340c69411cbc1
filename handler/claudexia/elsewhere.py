"""Addresses that OpenAI and Anthropic have and the gateway has not: what to use instead."""

_CHAT = "use POST /v1/chat/completions"
_STATELESS = f"The gateway stores nothing: {_CHAT} with the whole conversation in 'messages'."

# By the first step of the path after /v1.
_INSTEAD = {
    "assistants": _STATELESS,
    "audio": "Claude takes and makes no audio: use a service for speech before and after the gateway.",
    "batches": f"The gateway has no batches: {_CHAT} once for each request, or Anthropic's own batches.",
    "embeddings": "Claude has no embeddings: use a provider that has, such as Amazon Bedrock or Voyage AI.",
    "files": f"The gateway stores no files: {_CHAT} with the file's data in a part of type 'file'.",
    "images": f"Claude makes no images. To have one read, {_CHAT} with a part of type 'image_url'.",
    "messages": f"This gateway takes OpenAI's requests: {_CHAT}, or send this one to Anthropic's API.",
    "moderations": f"Claude has no moderation endpoint: {_CHAT} with a prompt that asks for a verdict.",
    "responses": f"The gateway does not serve the Responses API: {_CHAT}; most clients have a setting for it.",
    "threads": _STATELESS,
}


def elsewhere(path: str) -> str:
    """A space and a sentence to put behind "Invalid URL", or nothing where there is no advice."""
    step = path.rpartition("/v1/")[2].lstrip("/").partition("/")[0]
    return f" {_INSTEAD[step]}" if step in _INSTEAD else ""
