"""The exec wrapper in its three environments, with scripts in place of the interpreters."""

import subprocess
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[2] / "handler" / "bootstrap"


def write_script(path: Path, output: str) -> Path:
    path.write_text(f'#!/bin/sh\necho "{output}"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("sam_local", "arguments", "expected"),
    [
        pytest.param(
            "", ["python3.13", "bootstrap.py"], "python -m claudexia.runtime from {path}", id="lambda"
        ),
        pytest.param("true", ["python3.13", "bootstrap.py"], "python bootstrap.py from ", id="sam-local"),
        pytest.param("true", [], "stock ", id="sam-local-taking-it-for-a-runtime"),
    ],
)
def test_wrapper(tmp_path: Path, sam_local: str, arguments: list[str], expected: str) -> None:
    write_script(tmp_path / "python3.13", "python $* from $PYTHONPATH")
    write_script(tmp_path / "bootstrap", "stock $*")
    environ = {
        "PATH": "/usr/bin:/bin",
        "AWS_SAM_LOCAL": sam_local,
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": str(tmp_path),
    }
    command = [str(tmp_path / arguments[0]), *arguments[1:]] if arguments else []
    process = subprocess.run([str(WRAPPER), *command], env=environ, capture_output=True, text=True, check=True)
    layers = "/opt/python/lib/python3.13/site-packages:/opt/python"
    assert process.stdout.rstrip("\n") == expected.format(path=f"/var/task:{layers}:{tmp_path}")
