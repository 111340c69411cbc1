"""Pinned versions are the installed ones, and newer versions in the index are ignored."""

import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import pins

ROOT = pins.ROOT
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WRITTEN = pins.written(ROOT)
DEPLOYED = pins.deployed(WRITTEN.requirements)
ON_LAMBDA = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux"}


def groups(name: str) -> list[str]:
    """The requirements of a dependency group, those of the groups it includes too."""
    found: list[str] = []
    for entry in PYPROJECT["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else groups(entry["include-group"])
    return found


def closure(requirements: Iterable[str], environment: Mapping[str, str] | None = None) -> set[str]:
    """The names of all packages that `requirements` need, directly and indirectly, in this or another environment."""
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, requiring = waiting.pop()
        marker = requirement.marker
        if marker and not marker.evaluate({**(environment or {}), "extra": requiring}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(Requirement(text), extra) for text in metadata.requires(name) or []]
    return {name for name, _ in seen}


INSTALLED = sorted(closure([*PYPROJECT["project"]["dependencies"], *groups("dev")]))


@pytest.mark.parametrize("name", INSTALLED)
def test_installed_versions_equal_the_pins(name: str) -> None:
    assert metadata.version(name) == WRITTEN.installed.get(name), "run: uv sync"


def test_overrides_equal_the_pins() -> None:
    for override in PYPROJECT["tool"]["uv"]["override-dependencies"]:
        name, _, version = override.partition("==")
        assert WRITTEN.installed[name] == version


def test_the_build_backend_is_pinned() -> None:
    for requirement in map(Requirement, PYPROJECT["build-system"]["requires"]):
        assert requirement.specifier.contains(WRITTEN.build[requirement.name])


def test_deployed_packages_are_pyprojects_dependencies() -> None:
    required = PYPROJECT["project"]["dependencies"]
    for requirement in map(Requirement, required):
        assert requirement.specifier.contains(DEPLOYED[requirement.name]), requirement
    assert DEPLOYED.keys() == closure(required, ON_LAMBDA)


def test_deployed_versions_equal_tested_versions() -> None:
    assert {name: WRITTEN.installed[name] for name in DEPLOYED} == DEPLOYED


def test_every_deployed_pin_has_hashes() -> None:
    assert len(DEPLOYED) == WRITTEN.requirements.count("==")
    assert len(re.findall(r"\\\n    --hash=sha256:[0-9a-f]{64}", WRITTEN.requirements)) >= len(DEPLOYED)


def test_no_registry_url_is_in_the_pins() -> None:
    assert not re.search(r"index|find-links|https?:", WRITTEN.requirements)
    assert not {"index", "index-url", "extra-index-url", "find-links"} & PYPROJECT["tool"]["uv"].keys()


NOT_PINS = [
    ("a range", "idna>=3"),
    ("an address", "idna @ https://packages.example/idna-3.20-py3-none-any.whl"),
    ("an index", "--index-url https://packages.example/simple"),
]


@pytest.mark.parametrize("line", [row[1] for row in NOT_PINS], ids=[row[0] for row in NOT_PINS])
def test_only_versions_can_be_written(line: str) -> None:
    with pytest.raises(pins.CannotResolveError, match=re.escape(line)):
        pins.deployed(f"h11==0.16.0\n{line}\n")


def test_removing_and_adding_pins_restores_the_file() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    loose = pins.loosened(text)
    assert "pydantic==" not in loose
    assert pins.pinned(loose, WRITTEN.installed, WRITTEN.build) == text


def test_differences_have_one_line_per_package() -> None:
    present = pins.Pins({"a": "1", "b": "1", "c": "1"}, {"hatchling": "1.0"}, "a==1 \\\n")
    found = pins.Pins({"a": "2", "b": "1", "d": "1"}, {"hatchling": "1.1"}, "a==2 \\\n")
    assert pins.differences(present, found).splitlines() == [
        "a 1 -> 2",
        "c 1 -> not needed",
        "d not pinned -> 1",
        "build: hatchling 1.0 -> 1.1",
        "deployed: a 1 -> 2",
    ]


def wheel(folder: Path, name: str, version: str) -> None:
    """An empty release, so that its use would be noticed."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as out:
        out.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


class Checkout:
    """A copy of the project with an index that has additional releases."""

    def __init__(self, place: Path) -> None:
        self.root = place / "project"
        self.index = place / "index"
        self.index.mkdir()
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "handler", self.root / "handler", ignore=ignored)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.root)

    def loosen(self) -> None:
        path = self.root / "pyproject.toml"
        path.write_text(pins.loosened(path.read_text("utf-8")), "utf-8")

    def uv(self, *arguments: str, fails: bool = False) -> str:
        outer = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "UV_FROZEN", "UV_NO_SYNC")
        environment = {name: value for name, value in os.environ.items() if name not in outer}
        done = subprocess.run(
            ["uv", *arguments],  # noqa: S607
            cwd=self.root,
            env={**environment, "UV_FIND_LINKS": str(self.index)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr

    def would_install(self, name: str) -> str:
        """The version that `uv run` would put into a new environment."""
        output = self.uv("sync", "--dry-run")
        (version,) = re.findall(rf"^ \+ {name}==(\S+)$", output, re.MULTILINE)
        return str(version)

    def builds_with(self, name: str, fails: bool = False) -> str:
        """The version of the builder, or of what it needs, that building the project fetches."""
        out = str(self.index.parent / "built")
        output = self.uv("build", "--wheel", "--verbose", "--out-dir", out, fails=fails)
        (version,) = set(re.findall(rf"Installing build requirements: .*\b{name}==([\w.]+)", output))
        return str(version)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    if not shutil.which("uv"):
        pytest.skip("uv is missing, and it is what installs the project")
    return Checkout(tmp_path)


NEWER = [
    ("a dependency of a dependency", "idna", "3.9999"),
    ("a dependency with an override", "pydantic", "2.9999"),
    ("what runs the tests", "pytest", "9.9999"),
    ("the linter", "ruff", "0.17.9999"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "version"), [row[1:] for row in NEWER], ids=[row[0] for row in NEWER])
def test_a_newer_release_is_installed_only_without_pins(name: str, version: str, checkout: Checkout) -> None:
    wheel(checkout.index, name, version)
    assert checkout.would_install(name) == WRITTEN.installed[name]
    checkout.loosen()
    assert checkout.would_install(name) == version


@pytest.mark.slow
def test_a_newer_build_backend_is_used_only_without_pins(checkout: Checkout) -> None:
    wheel(checkout.index, "trove_classifiers", "9999")
    assert checkout.builds_with("trove-classifiers") == WRITTEN.build["trove-classifiers"]
    checkout.loosen()
    assert checkout.builds_with("trove-classifiers", fails=True) == "9999"


@pytest.mark.slow
def test_renewal_updates_every_use_of_a_package(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_FIND_LINKS", str(checkout.index))
    wheel(checkout.index, "idna", "3.9999")
    found = pins.resolve(checkout.root)
    pins.write(checkout.root, found)
    again = pins.written(checkout.root)
    assert again == found
    assert again.installed["idna"] == pins.deployed(again.requirements)["idna"] == "3.9999"
    assert str(checkout.index) not in again.requirements + (checkout.root / "pyproject.toml").read_text("utf-8")
