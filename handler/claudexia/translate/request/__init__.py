"""Requests: parse_params() reads a chat completion request, to_message_params() builds the upstream request."""
