"""A control group that limits processes to a share of one core, as Lambda limits a function with little memory."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PERIOD = 20_000  # microseconds
_ROOT = Path("/sys/fs/cgroup")


class NoControlGroupError(Exception):
    """This machine offers none: the message says why."""


@contextmanager
def limited_to(share: float) -> Iterator[Callable[[int], None]]:
    """Yields a function that moves the process with a pid, and its children from then on, into the group.

    Version 1 and 2 of Linux's control groups, at their root. Raises NoControlGroupError.
    """
    quota = round(share * _PERIOD)
    is_v2 = (_ROOT / "cgroup.controllers").exists()
    group = (_ROOT if is_v2 else _ROOT / "cpu") / f"claudexia-benchmark-{os.getpid()}"
    limits = (
        {"cpu.max": f"{quota} {_PERIOD}"}
        if is_v2
        else {"cpu.cfs_period_us": f"{_PERIOD}", "cpu.cfs_quota_us": f"{quota}"}
    )
    try:
        group.mkdir()
    except OSError as error:
        raise NoControlGroupError(f"no control group for CPU time: {error.strerror}") from error
    try:
        for name, value in limits.items():
            _write(group / name, value)
        yield lambda pid: _write(group / "cgroup.procs", str(pid))
    finally:
        group.rmdir()


def _write(file: Path, value: str) -> None:
    try:
        file.write_text(value)
    except OSError as error:
        raise NoControlGroupError(f"{file} cannot be written: {error.strerror}") from error
