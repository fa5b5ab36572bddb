"""`python -m laptop.glue_environment FOLDER`: a virtual environment for the jobs that has what Glue has, and no more.

Its packages are those that Glue 5.1 brings (`glue_scripts/glue-5.1-packages.txt`, as far as they are installed here),
those of the jobs' own wheels (`glue_scripts/requirements.txt`), and Spark and awsglue, which are Glue itself. Each is a
link to where it is installed already, in exactly the version that Glue has: copies would take 900 MB.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stacks.wheels import REQUIREMENTS, read_wheels

PACKAGES_OF_GLUE: Final = REQUIREMENTS.with_name("glue-5.1-packages.txt")
GLUE_ITSELF: Final = ("awsgluedataplanepython", "py4j", "pyspark")

_NAME: Final = re.compile(r"[-_.]+")


class OtherVersionError(RuntimeError):
    """A package is installed in another version than Glue has: correct requirements.txt, then `make setup`."""


def packages_of_glue() -> dict[str, str]:
    """Version by name of every Python package that Glue brings."""
    lines = PACKAGES_OF_GLUE.read_text(encoding="utf-8").splitlines()
    pins = (line.partition("==") for line in lines if not line.startswith("#"))
    return {_normalized(name): version for name, _, version in pins}


def packages_of_the_jobs() -> dict[str, str]:
    """Version by name of every Python package that the jobs' wheels bring."""
    return {_normalized(wheel.name): wheel.version for wheel in read_wheels(REQUIREMENTS)}


def make_environment(folder: Path) -> Path:
    """Makes the environment, in place of one that is there.

    Args:
        folder: where to.

    Returns:
        Its interpreter.

    Raises:
        OtherVersionError: a package is installed here in another version, or one of the jobs' wheels is not.
    """
    # Not all of sys.path: once setuptools is imported, that has the packages which setuptools brings for itself.
    installed = {
        _normalized(one.name): one for one in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    }
    wanted = {name: version for name, version in packages_of_glue().items() if name in installed}
    wanted |= packages_of_the_jobs()
    _check(wanted, {name: one.version for name, one in installed.items()})
    venv.EnvBuilder(symlinks=True, clear=True).create(folder)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    for name in (*wanted, *GLUE_ITSELF):
        _link(installed[name], packages)
    return folder / "bin" / "python"


def _check(wanted: Mapping[str, str], installed: Mapping[str, str]) -> None:
    for name, version in wanted.items():
        if installed.get(name) != version:
            raise OtherVersionError(
                f"Glue's jobs have {name} {version}, here is {installed.get(name, 'none')}: "
                "correct requirements.txt, then run make setup."
            )


def _link(distribution: importlib.metadata.Distribution, packages: Path) -> None:
    """Links what a package has put into site-packages; its programs, if it has any, are not Glue's."""
    site_packages = Path(str(distribution.locate_file("")))
    names = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
    for name in names:
        (packages / name).symlink_to(site_packages / name)


def _normalized(name: str) -> str:
    return _NAME.sub("-", name).lower()


if __name__ == "__main__":
    print(f"Python of the Glue jobs: {make_environment(Path(sys.argv[1]))}")
