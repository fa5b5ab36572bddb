"""The wheels that a job installs: one zip for each job, from our own bucket, the same bytes for the same pins.

Nothing but the standard library: `python -m stacks.wheels <job>` is what the CDK CLI runs when it uploads the zip.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stacks.packaging import add_file

_ROOT: Final = Path(__file__).parents[1]

REQUIREMENTS: Final = _ROOT / "glue_scripts" / "requirements.txt"

PACKAGES: Final[Mapping[str, frozenset[str] | None]] = {"validate-batch": None, "compute-kpis": frozenset({"duckdb"})}
"""Maps each job to the packages of REQUIREMENTS that it installs; None means all. Each makes every run start later."""

FOLDER: Final = _ROOT / ".local" / "wheels"
"""Where `make wheels` puts them."""

SUFFIX: Final = ".gluewheels.zip"
"""By which Glue 5.0 and later know a zip of wheels; with another end they take it for something else.

https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-libraries.html, Appendix A
"""

INSTALLER_OPTION: Final = "--no-index --no-deps"
"""For pip on Glue: no package index, and nothing beyond the pins, so that no package of Glue's own is replaced."""

_LAYOUT: Final = "wheels/ and its requirements.txt, stored"
"""A part of the zip's name: when `build_archive` lays it out differently, this text must change, too."""

_PIN: Final = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!+]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")


class PinError(ValueError):
    """A line of a requirements file does not name exactly one wheel."""


class UnknownJobError(ValueError):
    """No job has this name."""


class MissingWheelsError(RuntimeError):
    """Wheels that the pins name are not in the folder."""


@dataclass(frozen=True, order=True)
class Wheel:
    """A wheel that a requirements file names.

    Attributes:
        name: Name of the package.
        version: Its exact version.
        sha256: Hash of the wheel for Glue's platform, in hexadecimal digits.
    """

    name: str
    version: str
    sha256: str

    @property
    def pin(self) -> str:
        """As pip writes it: `name==version`."""
        return f"{self.name}=={self.version}"


def read_wheels(requirements: Path) -> list[Wheel]:
    """The wheels of a requirements file in pip's own format, `name==version --hash=sha256:…`.

    Args:
        requirements: The file; a line may go on after a backslash.

    Raises:
        PinError: A line has no exact version, or not exactly one hash: a job would run on whatever is newest that day,
            or on whatever somebody put in its place.
    """
    joined = requirements.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (" ".join(line.partition("#")[0].split()) for line in joined.splitlines())
    return sorted(_wheel(line, requirements) for line in lines if line)


def _wheel(line: str, requirements: Path) -> Wheel:
    match = _PIN.fullmatch(line)
    if match is None:
        raise PinError(
            f"{requirements.name}: {line!r} must name one wheel: name==version --hash=sha256:… of the wheel for Glue. "
            "docs/deploy.md tells how to change a pin."
        )
    return Wheel(**match.groupdict())


def wheels_of(job: str) -> list[Wheel]:
    """The wheels that a job installs.

    Args:
        job: One of PACKAGES.

    Raises:
        UnknownJobError: It is none of them.
        PinError: REQUIREMENTS lacks a package of the job, or a line of it is not understood.
    """
    if job not in PACKAGES:
        raise UnknownJobError(f"No job is named {job!r}: use one of {', '.join(PACKAGES)}.")
    wheels, packages = read_wheels(REQUIREMENTS), PACKAGES[job]
    if packages is None:
        return wheels
    if missing := packages - {wheel.name for wheel in wheels}:
        raise PinError(
            f"{REQUIREMENTS.name} lacks {', '.join(sorted(missing))}, which the job {job} installs: add a pin."
        )
    return [wheel for wheel in wheels if wheel.name in packages]


def archive_name(wheels: Iterable[Wheel]) -> str:
    """Name of the zip of these wheels in the asset bucket, known before any wheel is there.

    The hashes say what each wheel holds and `build_archive` what becomes of them, so another name is another content.
    """
    content = "\n".join([_LAYOUT, *(f"{wheel.pin} {wheel.sha256}" for wheel in sorted(wheels))])
    return f"{hashlib.sha256(content.encode()).hexdigest()}{SUFFIX}"


def build_archive(wheels: Sequence[Wheel], folder: Path, target: Path) -> None:
    """Write the zip that Glue takes as one of its `--additional-python-modules`.

    It holds `wheels/requirements.txt`, from which Glue's pip installs, and the wheels beside it. The requirements are
    plain pins, as in AWS's own example: their hashes are checked here.

    Args:
        wheels: What the zip must hold.
        folder: Where the wheels are; what else is there is left out.
        target: The zip to write.

    Raises:
        MissingWheelsError: One is not there, or its bytes are not those of its hash.
    """
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in sorted(folder.glob("*.whl"))}
    if missing := [wheel.pin for wheel in wheels if wheel.sha256 not in found]:
        raise MissingWheelsError(
            f"Wheels of the jobs are not there: {folder} lacks {len(missing)} of {len(wheels)}, such as "
            f"{missing[0]} (or holds it with other bytes than its hash in glue_scripts/requirements.txt says). "
            "Run «make wheels», which downloads them, then deploy again."
        )
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        pins = "".join(f"{wheel.pin}\n" for wheel in sorted(wheels))
        add_file(archive, "wheels/requirements.txt", pins.encode())
        for wheel in sorted(wheels):
            path = found[wheel.sha256]
            add_file(archive, f"wheels/{path.name}", path.read_bytes())


def main(job: str) -> None:
    """Build the zip of a job beside its wheels and print its path, as the CDK CLI expects of an asset's command."""
    wheels = wheels_of(job)
    target = FOLDER / archive_name(wheels)
    build_archive(wheels, FOLDER, target)
    print(target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m stacks.wheels {{{','.join(PACKAGES)}}}")
    try:
        main(sys.argv[1])
    except (PinError, UnknownJobError, MissingWheelsError) as error:
        sys.exit(f"error: {error}")
