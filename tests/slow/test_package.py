"""The package that `sam build` makes, built with the same Makefile: what the gateway imports, and little else."""

import ast
import asyncio
import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from claudexia.access.key_store import TableKeyStore
from claudexia.access.limits import Limits
from tests.fakes.aws import REGION
from tests.fakes.runtime_api import rest_event
from tests.helpers.serving import Upstream, serving
from tests.helpers.tables import NAME, faulty_dynamodb, key_counters, table_at

HANDLER = Path(__file__).parents[2] / "handler"
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
# pyc: magic number, flags (bit 0: hash-based, bit 1: check the source), hash. https://peps.python.org/pep-0552/
MAGIC_313 = (3571).to_bytes(2, "little") + b"\r\n"
UNCHECKED_HASH = (0b01).to_bytes(4, "little")
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
LIMITS = Limits(
    requests_per_minute=10, tokens_per_minute=10**6, usd_per_day_micros=10**9, usd_per_month_micros=10**9
)


def now() -> datetime:
    return datetime.now(UTC)


def python313() -> str | None:
    """The CPython 3.13 that the Makefile would use, without a download."""
    found = sorted(PYENV.glob("versions/3.13.*/bin/python3.13"))
    if found:
        return str(found[-1])
    find = ["uv", "python", "find", "--quiet", "--no-project", "--no-python-downloads", "cpython==3.13.*"]
    process = subprocess.run(find, capture_output=True, text=True, check=False)
    return process.stdout.strip() if process.returncode == 0 else None


def make(
    artifacts: Path | str, handler: Path = HANDLER, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    command = [
        shutil.which("make") or "make",
        "--no-print-directory",
        "build-GatewayFunction",
        f"ARTIFACTS_DIR={artifacts}",
    ]
    return subprocess.run(
        command,
        cwd=handler,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": path or os.environ["PATH"]},
    )


@pytest.fixture(scope="module")
def python() -> str:
    for tool in ("make", "uv"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing, and the package is built with it")
    return python313() or pytest.skip("this machine has no CPython 3.13 to make bytecode with")


@pytest.fixture(scope="module")
def package(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    artifacts = tmp_path_factory.mktemp("a package", numbered=True)
    process = make(artifacts)
    assert process.returncode == 0, process.stderr
    return artifacts


def files(package: Path, pattern: str = "*") -> list[Path]:
    return [path for path in sorted(package.rglob(pattern)) if path.is_file()]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_contains_the_pinned_dependencies(package: Path) -> None:
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", (HANDLER / "requirements.txt").read_text(), re.MULTILINE)
    shipped = [path.name.removesuffix(".dist-info").split("-") for path in package.glob("*.dist-info")]
    assert sorted((normalised(name), version) for name, version in shipped) == sorted(pins)


def test_it_contains_no_development_files(package: Path) -> None:
    top = {path.name for path in package.iterdir()}
    assert not top & {"boto3", "botocore", "click", "uvicorn", "pytest", "bin", ".lock", ".aarch64"}
    assert not {path.name for path in package.rglob("*")} & {
        "local",
        "event_handler",
        "Makefile",
        "requirements.txt",
    }
    assert {path.relative_to(package).parts[0] for path in files(package, "*.py")} == {"claudexia"}


def test_no_file_contains_a_path_of_the_build_machine(package: Path) -> None:
    places = [str(place).encode() for place in (package, HANDLER)]
    files_with_paths = [path for path in files(package) if any(place in path.read_bytes() for place in places)]
    assert not files_with_paths


def test_metadata_and_licences_are_complete(package: Path) -> None:
    for metadata in package.glob("*.dist-info"):
        with (metadata / "RECORD").open(newline="") as record:
            listed = {name: digest for name, digest, _ in csv.reader(record) if name.startswith(metadata.name)}
        for name, digest in listed.items():
            content = (package / name).read_bytes()
            found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert digest in {f"sha256={found}", ""}, name
        assert {f"{metadata.name}/METADATA", f"{metadata.name}/WHEEL"} <= listed.keys()
        assert [name for name in listed if re.match("LICEN[CS]E|COPYING", Path(name).name)], metadata.name


def test_it_contains_every_file_of_the_gateway(package: Path) -> None:
    def sources(root: Path) -> set[Path]:
        return {path.relative_to(root) for path in files(root) if "__pycache__" not in path.parts}

    gateway = sources(HANDLER / "claudexia")
    assert sources(package / "claudexia") == gateway


def test_the_wrapper_is_executable_and_all_files_are_readable(package: Path) -> None:
    assert (package / "bootstrap").read_bytes() == (HANDLER / "bootstrap").read_bytes()
    assert (package / "bootstrap").stat().st_mode & 0o777 == 0o755
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files(package))


def test_it_is_small(package: Path, tmp_path: Path) -> None:
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:  # as SAM does
        for path in files(package):
            out.write(path, path.relative_to(package))
    assert sum(path.stat().st_size for path in files(package)) < 24_000_000
    assert archive.stat().st_size < 12_000_000


def test_all_bytecode_is_for_313_and_never_checked(package: Path) -> None:
    compiled = files(package, "*.pyc")
    assert len(compiled) > 200
    assert {path.read_bytes()[:8] for path in compiled} == {MAGIC_313 + UNCHECKED_HASH}
    for source in files(package, "*.py"):
        assert (source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc").is_file()


def test_native_modules_exist_for_both_architectures(package: Path) -> None:
    modules = files(package, "*.so")
    built = {name: {path.name.split(".")[0] for path in modules if name in path.name} for name in ELF_MACHINES}
    assert built == {name: {"_pydantic_core"} for name in ELF_MACHINES}
    assert len(modules) == 2
    for path in modules:
        (machine,) = (number for name, number in ELF_MACHINES.items() if name in path.name)
        assert int.from_bytes(path.read_bytes()[18:20], "little") == machine


def imported(source: Path) -> set[str]:
    """The modules that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_every_imported_module_is_in_the_package(package: Path) -> None:
    files_with_paths = set[str]().union(*(imported(path) for path in files(package, "*.py")))
    for name in files_with_paths:
        top, *rest = name.split(".")
        if top in sys.stdlib_module_names:
            continue
        found = package.joinpath(top, *rest)
        candidates = (
            found / "__init__.pyc",
            found / "__init__.py",
            found.with_suffix(".pyc"),
            found.with_suffix(".py"),
        )
        assert any(path.is_file() for path in candidates), name


def run_isolated(python: str, script: str) -> list[str]:
    """Runs a script on Python 3.13 with only the standard library and the paths that it adds. Returns its output lines."""
    command = [python, "-I", "-S", "-B", "-c", script]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env={}, cwd="/")
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_it_starts_on_313_and_imports_only_the_package(python: str, package: Path) -> None:
    loaded = run_isolated(
        python,
        f"import sys; sys.path.insert(0, {str(package)!r})\n"
        "import claudexia.main, claudexia.runtime.__main__\n"
        "from importlib import metadata; assert metadata.version('fastapi')\n"
        "print(*(getattr(module, '__file__', None) or '' for module in sys.modules.values()), sep='\\n')",
    )
    assert str(package / "fastapi" / "__init__.pyc") in loaded
    assert not [path for path in loaded if "site-packages" in path]


ANSWERED = """
import json, os, sys
sys.path.insert(0, {package!r})
sys.path.append({site!r})  # where boto3 could be imported from, as on Lambda
os.environ.update({environ!r})
from claudexia.main import handler
response = handler({event!r}, None)
print(response["statusCode"], json.loads(response["body"]).get("choices"), file=sys.stderr)
assert response["statusCode"] == 200
print(*{{name.partition(".")[0] for name in sys.modules}}, sep="\\n")
"""


def test_an_answer_with_a_table_and_a_secret_needs_no_boto3(python: str, package: Path) -> None:
    site = str(Path(boto3.__file__).parents[1])
    with faulty_dynamodb() as (_, aws_url), serving(Upstream()) as upstream_url:
        boto3.client("secretsmanager", region_name=REGION).create_secret(Name="upstream", SecretString="sk-ant")
        store = TableKeyStore(table_at(aws_url, now), now)
        _, secret = asyncio.run(store.create("me", limits=LIMITS))
        environ = {
            "ANTHROPIC_API_KEY_SECRET": "upstream", "ANTHROPIC_BASE_URL": upstream_url, "CLAUDEXIA_TABLE": NAME,
            "AWS_ENDPOINT_URL": aws_url, "AWS_REGION": REGION, "AWS_LAMBDA_FUNCTION_NAME": "gateway",
            "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_SESSION_TOKEN": "testing",
            "LIMITS_ON_FAILURE": "closed",
        }  # fmt: skip
        body = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}
        headers = {"authorization": f"Bearer {secret}"}
        event = rest_event("POST", "/v1/chat/completions", headers=headers, body=json.dumps(body))
        script = ANSWERED.format(package=str(package), site=site, environ=environ, event=event)
        loaded = run_isolated(python, script)
        assert len(asyncio.run(key_counters(table_at(aws_url, now), asyncio.run(store.get("me")).id))[0]) == 4
    assert {"claudexia", "httpx"} <= set(loaded)
    assert not {"boto3", "botocore", "s3transfer", "urllib3"} & set(loaded)


FAILURES = [
    ("no folder to build into", "", None, "is no absolute path"),
    ("a folder relative to one's own", "built", None, "is no absolute path"),
    ("a folder with something in it", str(HANDLER), None, "is not empty"),
    ("no uv", "/nowhere", "/nowhere", "uv is missing"),
]


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    ("artifacts", "path", "error"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
def test_a_build_that_cannot_run_fails_with_a_message(artifacts: str, path: str | None, error: str) -> None:
    process = make(artifacts, path=path)
    assert process.returncode != 0
    assert error in process.stderr


BROKEN = [
    ("no pins", lambda pins: "", "does not hold what requirements.txt names"),
    ("a pin whose package is another", lambda pins: re.sub("[0-9a-f]{64}", "0" * 64, pins), "Hash mismatch"),
]


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(("break_pins", "error"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_build_with_wrong_pins_fails(break_pins: Callable[[str], str], error: str, tmp_path: Path) -> None:
    shutil.copytree(HANDLER, tmp_path / "handler")
    requirements = tmp_path / "handler" / "requirements.txt"
    requirements.write_text(break_pins(requirements.read_text()))
    process = make(tmp_path / "built", handler=tmp_path / "handler")
    assert process.returncode != 0
    assert error in process.stderr


OTHER_SETTINGS = """
[tool.uv]
override-dependencies = ["pydantic<2"]
constraint-dependencies = ["idna<3"]
no-binary = true
python-downloads = "never"
index-url = "http://127.0.0.1:9/simple"
"""


@pytest.mark.usefixtures("python")
def test_the_projects_uv_settings_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(OTHER_SETTINGS)
    shutil.copytree(HANDLER, tmp_path / "handler")
    process = make(tmp_path / "built", handler=tmp_path / "handler")
    assert process.returncode == 0, process.stderr
    test_it_contains_the_pinned_dependencies(tmp_path / "built")


@pytest.mark.usefixtures("python")
def test_the_users_uv_settings_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text('index-url = "http://127.0.0.1:9/mirror"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    process = make(tmp_path / "built")
    assert process.returncode != 0
    assert "127.0.0.1:9/mirror" in process.stderr
