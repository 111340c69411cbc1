"""How many tokens a text has, approximately, where Claude's own count is not known yet."""

BYTES_PER_TOKEN = 4  # of UTF-8


def utf8_length(text: str) -> int:
    """The bytes of `text`. Characters would not do: in Chinese, each is about a token."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
