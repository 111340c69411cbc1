"""The CPU time of the gateway's import in a new process, compared with the import of three frameworks."""

import os
import sys

_GATEWAY = "import claudexia.main"
_BASELINE = "import fastapi, httpx, mangum"


class ColdImport:
    """`cache` is a directory for bytecode, so that neither a missing nor a stale cache is measured."""

    def __init__(self, cache: str) -> None:
        excluded_prefixes = ("ANTHROPIC_", "CLAUDEXIA_", "MODEL_ALIASES", "PYTHONDONTWRITEBYTECODE")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(excluded_prefixes)}
        self._environ = {**environ, "PYTHONPYCACHEPREFIX": cache}
        self._run(_GATEWAY)
        self._run(_BASELINE)

    def measure(self, turn: int) -> tuple[float, float]:
        """CPU ms of a fresh process that imports the gateway, and of one that imports the baseline."""
        order = (_GATEWAY, _BASELINE)[:: -1 if turn % 2 else 1]
        used = {code: self._run(code) for code in order}
        return used[_GATEWAY], used[_BASELINE]

    def _run(self, code: str) -> float:
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], self._environ)
        _, status, usage = os.wait4(pid, 0)
        if status:
            raise RuntimeError(f"{code!r} failed")
        return (usage.ru_utime + usage.ru_stime) * 1000
