"""JSONObjectText: of a text that comes in pieces, only the JSON object in it."""


class JSONObjectText:
    def feed(self, text: str) -> str:
        return text

    def close(self) -> str:
        return ""
