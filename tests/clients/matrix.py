"""The clients and cases, and the README's table of the results."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
SCRIPTS = Path(__file__).parent / "scripts"
BEGIN, END = "<!-- clients: begin -->\n", "<!-- clients: end -->\n"

CASES = ("text", "stream", "tools", "structured", "image", "error")
HEAD = ["client", "version", "passed"]
_CLIENTS_PER_LINE = 3
# Passed by the clients that were tried with all cases on that API, too.
RESPONSES = "Responses API"
# The first thinks by default and refuses a forced tool; the second does neither.
MODELS = ("claude-sonnet-5-5", "claude-haiku-4-5")


@dataclass(frozen=True)
class Client:
    """`packages` are requirements as uv takes them for a .py script, as npm takes them for an .mjs one.

    `responses` is whether the client has the Responses API, too: then its script runs again with that.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    responses: bool = False


CLIENTS = (
    Client("openai-python 3", "openai_sdk.py", ("openai>=3.54,<4",), responses=True),
    Client("openai-python 2", "openai_sdk.py", ("openai>=2.54,<3",), responses=True),
    Client("openai-node", "openai_sdk.mjs", ("openai@7", "zod@4"), responses=True),
    Client("pydantic-ai", "pydantic_ai_client.py", ("pydantic-ai-slim[openai]>=2.68,<3",), responses=True),
    Client(
        "langchain-openai",
        "langchain_client.py",
        ("langchain-openai>=1.7,<2", "langchain>=1.4,<2"),
        responses=True,
    ),
    Client("openai-agents", "openai_agents_client.py", ("openai-agents>=0.24,<1",), responses=True),
    Client("instructor", "instructor_client.py", ("instructor>=1.17,<2",)),
    Client(
        "Vercel AI SDK",
        "ai_sdk.mjs",
        ("ai@7", "@ai-sdk/openai@4", "@ai-sdk/openai-compatible@3", "zod@4"),
        responses=True,
    ),
    Client("litellm", "litellm_client.py", ("litellm[mcp]>=1.106,<2",)),
    Client("llama-index", "llama_index_client.py", ("llama-index-llms-openai-like>=0.8.1,<1",)),
    Client("agno", "agno_client.py", ("agno>=3.1,<4", "openai>=2.54,<4")),
    Client("strands-agents", "strands_client.py", ("strands-agents[openai]>=1.62,<2",)),
    Client("haystack", "haystack_client.py", ("haystack-ai>=3.4,<4",)),
    Client(
        "openai-agents JS", "openai_agents.mjs", ("@openai/agents@0.20", "openai@7", "zod@4"), responses=True
    ),
    Client(
        "LangGraph JS",
        "langgraph.mjs",
        ("@langchain/langgraph@1", "@langchain/openai@1", "@langchain/core@1", "langchain@1", "zod@4"),
        responses=True,
    ),
    Client("smolagents", "smolagents_client.py", ("smolagents[openai]>=1.26,<2",)),
    Client("llm", "llm_client.py", ("llm>=0.36,<1",), responses=True),
    Client("autogen", "autogen_client.py", ("autogen-agentchat>=0.7,<1", "autogen-ext[openai]>=0.7,<1")),
    Client("dspy", "dspy_client.py", ("dspy>=3.4,<4",)),
    Client("semantic-kernel", "semantic_kernel_client.py", ("semantic-kernel>=1.45,<2",)),
)


@dataclass(frozen=True)
class ForcedClient:
    """A script of `client` with `cases` that force tool calls, and those for which the client forces none."""

    client: Client
    script: str
    cases: tuple[str, ...] = ("whole", "streamed")
    unforced: tuple[str, ...] = ()


def _client(name: str) -> Client:
    return next(client for client in CLIENTS if client.name == name)


# Both refuse `tool_choice` any and tool.
FORCED_MODELS = ("claude-sonnet-5-5", "claude-opus-5-5")
FORCED_CLIENTS = (
    ForcedClient(
        _client("llama-index"),
        "forced_llama_index.py",
        ("structured_predict", "as_structured_llm"),
        unforced=("as_structured_llm_streamed", "stream_structured_predict"),
    ),
    ForcedClient(_client("instructor"), "forced_instructor.py"),
    ForcedClient(_client("langchain-openai"), "forced_langchain.py"),
    ForcedClient(_client("LangGraph JS"), "forced_langchain.mjs"),
    ForcedClient(_client("smolagents"), "forced_smolagents.py"),
)


@dataclass
class Outcome:
    """A client's version, and for each case the failures of both models; a case that passed has none.

    `responses` are the failures of all cases with the Responses API, None for a client that was not tried with it.
    """

    version: str = ""
    failures: dict[str, list[str]] = field(default_factory=lambda: {case: [] for case in CASES})
    responses: list[str] | None = None

    @property
    def failed(self) -> bool:
        return bool(self.responses) or any(self.failures.values())


def row_of(name: str, outcome: Outcome) -> list[str]:
    return [name, outcome.version, _passed(outcome)]


def table(rows: Sequence[list[str]]) -> str:
    """The clients in `rows`, three in a line, so that the README's table stays short."""
    blank = [""] * len(HEAD)
    padded = [*rows, *[blank] * (-len(rows) % _CLIENTS_PER_LINE)]
    lines = zip(*(padded[start::_CLIENTS_PER_LINE] for start in range(_CLIENTS_PER_LINE)), strict=True)
    head = _line(HEAD * _CLIENTS_PER_LINE) + "|" + "---|" * (_CLIENTS_PER_LINE * len(HEAD)) + "\n"
    return head + "".join(_line([cell for row in line for cell in row]) for line in lines)


def renewed_rows(readme: str, rows: Sequence[list[str]]) -> list[list[str]]:
    """`rows` and those of the README for the other clients, in the order of CLIENTS."""
    known = {row[0]: row for row in [*rows_of(readme)[1:], *rows]}
    return [known[client.name] for client in CLIENTS if client.name in known]


def _passed(outcome: Outcome) -> str:
    failed = [case for case, failures in outcome.failures.items() if failures]
    if outcome.responses:
        failed.append(RESPONSES)
    everything = "all" if outcome.responses is None else f"all, {RESPONSES}"
    return f"{'all' if RESPONSES in failed else everything} but {', '.join(failed)}" if failed else everything


def with_table(readme: str, written: str) -> str:
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{written}{END}{after}"


def rows_of(readme: str) -> list[list[str]]:
    """The head of the table between the markers, then the cells of each client."""
    lines = readme.partition(BEGIN)[2].partition(END)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = [row for row in cells if not row[0].startswith("---")]
    width = len(HEAD)
    starts = range(0, width * _CLIENTS_PER_LINE, width)
    clients = [part for row in rows[1:] for start in starts if (part := row[start : start + width])[0]]
    return [rows[0][:width], *clients] if rows else []


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
