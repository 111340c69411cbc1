"""paths_to(): where in a JSON value something is."""

from collections.abc import Callable, Iterator

from claudexia.translate.report import Path, Step


def paths_to(wanted: Callable[[object], bool], document: object) -> Iterator[Path]:
    """The paths of the values in `document`, any JSON, for which `wanted` returns True; in document order."""
    if wanted(document):
        yield ()
    # One iterator and one step for each value that is open, however many values there are.
    path: list[Step] = []
    levels = [_children(document)]
    while levels:
        for step, child in levels[-1]:
            if wanted(child):
                yield (*path, step)
            if isinstance(child, dict | list):
                path.append(step)
                levels.append(_children(child))
                break
        else:
            levels.pop()
            del path[-1:]


def _children(value: object) -> Iterator[tuple[Step, object]]:
    if isinstance(value, dict):
        return iter(value.items())
    return iter(enumerate(value)) if isinstance(value, list) else iter(())
