"""What a web search found, as OpenAI's annotations of the text.

Claude cites a text block as a whole, so an annotation spans its block's part of `content`. What a document of
the caller's own is cited for (char_location, page_location, content_block_location) has no word of OpenAI's.

Sources: https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations and
https://platform.openai.com/docs/api-reference/chat/object
"""

from collections.abc import Iterable

from claudexia.translate.anthropic import Citation
from claudexia.translate.openai import Annotation


def to_annotations(citations: Iterable[Citation], start: int, end: int) -> list[Annotation]:
    """`start` and `end` are places in `content`, in code points. A page cited twice for them is told once."""
    annotations: list[Annotation] = []
    for citation in citations:
        if citation.get("type") != "web_search_result_location":
            continue
        url = citation["url"]
        annotation: Annotation = {
            "type": "url_citation",
            "url_citation": {
                "start_index": start,
                "end_index": end,
                "url": url,
                "title": citation.get("title") or url,  # OpenAI's is never null
            },
        }
        if annotation not in annotations:
            annotations.append(annotation)
    return annotations


class CitedText:
    """The annotations of a text on its way: begin() a text block, cite() its sources, end() it."""

    def __init__(self) -> None:
        self.annotations: list[Annotation] = []
        self._start = 0
        self._citations: list[Citation] = []

    def begin(self, start: int, citations: Iterable[Citation] | None) -> None:
        self._start = start
        self._citations = list(citations or ())

    def cite(self, citation: Citation) -> None:
        self._citations.append(citation)

    def end(self, end: int) -> None:
        """May be called where no block has begun."""
        if self._citations:
            self.annotations += to_annotations(self._citations, self._start, end)
            self._citations.clear()
