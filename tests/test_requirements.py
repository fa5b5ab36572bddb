"""What a fresh machine installs: every package is pinned, goes with the others, and is what the tests run on."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from laptop.glue_environment import packages_of_glue

REPOSITORY = Path(__file__).parents[1]
LINES = [
    line
    for line in (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
PINS = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)}


def _needs_of(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed package needs on this machine, with the extras that are asked for."""
    for line in importlib.metadata.requires(requirement.name) or []:
        needed = Requirement(line)
        extras = ("", *requirement.extras)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            yield needed


def _wanted() -> list[Requirement]:
    """What requirements.in asks for, and what that needs in turn."""
    due = [Requirement(line) for line in (REPOSITORY / "requirements.in").read_text(encoding="utf-8").splitlines()]
    wanted: dict[str, Requirement] = {}
    while due:
        requirement = due.pop()
        if wanted.setdefault(str(requirement), requirement) is requirement:
            due += _needs_of(requirement)
    return list(wanted.values())


def test_every_line_is_one_exact_version_and_no_package_stands_twice() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in LINES)
    assert len(PINS) == len(LINES)


def test_the_installed_versions_are_the_pinned_ones() -> None:
    installed = {name: importlib.metadata.version(name) for name in PINS}
    assert installed == PINS


def test_the_pins_are_what_requirements_in_needs_and_nothing_else() -> None:
    wanted = _wanted()
    for requirement in wanted:
        pinned = PINS.get(canonicalize_name(requirement.name))
        assert pinned is not None, f"{requirement} is not pinned"
        assert requirement.specifier.contains(pinned), f"{requirement} is wanted, {pinned} is pinned"
    assert PINS.keys() == {canonicalize_name(requirement.name) for requirement in wanted}


def test_what_glue_brings_is_pinned_to_glue_s_version() -> None:
    glue = packages_of_glue()
    assert {name: PINS[name] for name in PINS.keys() & glue.keys()} == {
        name: glue[name] for name in PINS.keys() & glue.keys()
    }


@pytest.mark.parametrize("package", ["aws-cdk", "mermaid", "uplot"])
def test_a_package_of_npm_is_one_exact_version(package: str) -> None:
    pinned = json.loads((REPOSITORY / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", pinned[package])
