"""Reads the stream below READ_URL with huggingface_hub's client; prints what it got as one line of JSON."""

import json
import os
import sys

from huggingface_hub import InferenceClient

client = InferenceClient(base_url=os.environ["READ_URL"].removesuffix("/chat/completions"), api_key="x")
texts, error = [], None
try:
    messages = [{"role": "user", "content": "Hi"}]
    for chunk in client.chat.completions.create(model="m", messages=messages, stream=True):
        if "error" in chunk:
            error = chunk["error"]["message"]
            break
        texts += [choice.delta.content or "" for choice in chunk.choices]
except Exception as failure:
    error = str(failure)
sys.stdout.write(json.dumps({"text": "".join(texts), "error": error}) + "\n")
