"""Claude's events and messages to OpenAI's chunks and completions."""
