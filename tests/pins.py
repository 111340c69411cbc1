"""The one version of every package that is installed here: `uv run --no-sync python -m tests.pins`.

    --renew  resolves anew without the present pins, and writes what it finds to pyproject.toml and to
             handler/requirements.txt
    --check  resolves the same way and prints what differs from the present pins; nothing is written

pyproject.toml pins in [tool.uv] what `uv run` installs (constraint-dependencies), with what builds the project
(build-constraint-dependencies); handler/requirements.txt pins, with hashes, the part of it that is deployed.
The versions found have wheels for each of PYTHONS on each of PLATFORMS. No registry's address is written.
Only the standard library is imported, so that --no-sync is enough: pins that cannot be installed, or that a changed
range no longer allows, can be renewed too.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = Path("pyproject.toml")
REQUIREMENTS = Path("handler", "requirements.txt")

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "x86_64-manylinux_2_28": "sys_platform == 'linux' and platform_machine == 'x86_64'",
    "aarch64-manylinux_2_28": "sys_platform == 'linux' and platform_machine == 'aarch64'",
    "x86_64-apple-darwin": "sys_platform == 'darwin' and platform_machine == 'x86_64'",
    "aarch64-apple-darwin": "sys_platform == 'darwin' and platform_machine == 'arm64'",
}
DEPLOYED_ON = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_28")
# hatchling names it only when it is asked to install a project in place, as `uv run` does.
BUILD_EXTRAS = ["editables"]
ROUNDS = 5

# Nothing is built, so that any interpreter does, whichever version is resolved for.
_COMPILE = ("uv", "pip", "compile", "--python", sys.executable, "--quiet", "--no-header", "--no-annotate")
_EVERYTHING = ("pyproject.toml", "--group", "dev")
_LINE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.+!]+)(?: ; .+)?")
_HASHED = re.compile(r"(?:[a-z0-9-]+==[\w.+!]+(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n)+")

Versions = dict[str, str]


class CannotResolveError(Exception):
    """uv found no versions that agree, or wrote something that is not a pin."""


@dataclass(frozen=True)
class Pins:
    """Versions by normalised name; `requirements` is the text of handler/requirements.txt."""

    installed: Versions
    build: Versions
    requirements: str


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.pins", description="Renews or checks the pins.")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--renew", action="store_true", help="write the newest versions that work together")
    chosen.add_argument("--check", action="store_true", help="only say what is newer")
    options = parser.parse_args(arguments)
    try:
        present, found = written(ROOT), resolve(ROOT)
        sys.stdout.write(differences(present, found))
        if options.renew:
            write(ROOT, found)
    except CannotResolveError as error:
        sys.exit(str(error))


def written(root: Path) -> Pins:
    """The pins that the project under `root` has."""
    settings = tomllib.loads((root / PYPROJECT).read_text("utf-8"))["tool"]["uv"]
    return Pins(
        _versions(settings.get("constraint-dependencies", [])),
        _versions(settings.get("build-constraint-dependencies", [])),
        (root / REQUIREMENTS).read_text("utf-8"),
    )


def deployed(requirements: str) -> Versions:
    """The versions in the text of handler/requirements.txt."""
    return _versions(re.findall(r"^[^\s#].*?(?= \\$|$)", requirements, re.MULTILINE))


def resolve(root: Path) -> Pins:
    """The newest versions that the project under `root` allows: one of each package, for all that it runs on."""
    text = loosened((root / PYPROJECT).read_text("utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / PYPROJECT).write_text(_for_all_platforms(text), "utf-8")
        installed = _one_of_each(place, *_EVERYTHING)
        (place / "build.in").write_text(
            "\n".join([*tomllib.loads(text)["build-system"]["requires"], *BUILD_EXTRAS]), "utf-8"
        )
        build = _one_of_each(place, "build.in")

        (place / PYPROJECT).write_text(pinned(text, installed, build), "utf-8")
        requirements = _run(place, "pyproject.toml", "--generate-hashes", *DEPLOYED_ON)
        if not _HASHED.fullmatch(requirements):
            raise CannotResolveError(f"These are not versions with hashes:\n{requirements}")
        for python in PYTHONS:
            for platform in PLATFORMS:
                _run(place, *_EVERYTHING, "--python-version", python, "--python-platform", platform)
    return Pins(installed, build, requirements)


def loosened(text: str) -> str:
    """A pyproject.toml without its pins; an override allows what the project itself asks for."""
    asked = tomllib.loads(text)["project"]["dependencies"]
    overridden = _versions(tomllib.loads(text)["tool"]["uv"]["override-dependencies"])
    loose = [each for each in asked if re.split(r"[^\w.-]", each)[0] in overridden]
    text = _with_list(text, "override-dependencies", loose)
    text = _with_list(text, "constraint-dependencies", [])
    return _with_list(text, "build-constraint-dependencies", [])


def pinned(text: str, installed: Versions, build: Versions) -> str:
    """A pyproject.toml with these pins; its overrides keep their names."""
    names = [
        re.split(r"[^\w.-]", each)[0] for each in tomllib.loads(text)["tool"]["uv"]["override-dependencies"]
    ]
    text = _with_list(text, "override-dependencies", [f"{name}=={installed[name]}" for name in names])
    text = _with_list(text, "constraint-dependencies", _lines(installed))
    return _with_list(text, "build-constraint-dependencies", _lines(build))


def write(root: Path, pins: Pins) -> None:
    """Changes pyproject.toml and handler/requirements.txt under `root`."""
    path = root / PYPROJECT
    path.write_text(pinned(path.read_text("utf-8"), pins.installed, pins.build), "utf-8")
    (root / REQUIREMENTS).write_text(pins.requirements, "utf-8")


def differences(present: Pins, found: Pins) -> str:
    """A line for each package whose version is not the same in both."""
    pairs = [
        ("", present.installed, found.installed),
        ("build: ", present.build, found.build),
        ("deployed: ", deployed(present.requirements), deployed(found.requirements)),
    ]
    return "".join(
        f"{kind}{name} {old.get(name, 'not pinned')} -> {new.get(name, 'not needed')}\n"
        for kind, old, new in pairs
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _versions(lines: list[str]) -> Versions:
    """Takes `name==version` alone, so that no address gets into what is written."""
    found: Versions = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if not match:
            raise CannotResolveError(f"This is not one version of a package: {line}")
        found[match["name"]] = match["version"]
    return found


def _lines(versions: Versions) -> list[str]:
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def _with_list(text: str, key: str, values: list[str]) -> str:
    inside = "".join(f'\n    "{value}",' for value in values)
    several = f"[{inside}\n]" if len(values) > 1 else "[" + "".join(f'"{value}"' for value in values) + "]"
    replaced, times = re.subn(rf"^{key} = \[[^\]]*\]", f"{key} = {several}", text, flags=re.MULTILINE)
    if times != 1:
        raise CannotResolveError(f"pyproject.toml has to hold one list {key} under [tool.uv].")
    return replaced


def _for_all_platforms(text: str) -> str:
    """Lets uv pass over a version that lacks a wheel for one of PLATFORMS there."""
    required = "".join(f'"{marker}", ' for marker in PLATFORMS.values())
    return text.replace("[tool.uv]\n", f"[tool.uv]\nrequired-environments = [{required}]\n", 1)


def _one_of_each(place: Path, *sources: str) -> Versions:
    """Where uv finds different versions for different machines, the lowest serves them all."""
    limits: list[str] = []
    for _ in range(ROUNDS):
        (place / "limits.txt").write_text("\n".join(limits), "utf-8")
        everywhere = ("--universal", "--python-version", PYTHONS[0], "--constraints", "limits.txt")
        lines = _run(place, *sources, *everywhere).splitlines()
        named = [line.partition("==")[0] for line in lines]
        if len(named) == len(set(named)):
            return _versions(lines)
        # uv lists the versions of one package in ascending order.
        limits += [
            f"{name}<={_versions([line])[name]}"
            for name, line in dict(zip(reversed(named), reversed(lines), strict=True)).items()
            if named.count(name) > 1
        ]
    raise CannotResolveError(
        f"No single version of each package after {ROUNDS} rounds; the limits were {limits}."
    )


def _run(place: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*_COMPILE, "--only-binary", ":all:", *arguments],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotResolveError(f"uv {' '.join(arguments)}:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
