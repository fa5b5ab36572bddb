"""What an earlier run left is never deleted: the next start moves it aside and says where."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local_aws.previous_runs import folders, sentence, set_aside
from local_aws.server import EmbeddedAws
from local_aws.work_dir import WorkDir
from tests.local.assemblies import template, write_assembly
from tests.local.slow_start import DEADLINE_SECONDS, REPOSITORY, has_ended, in_a_group_of_its_own, server_of

DROPPED = Path("buckets/data/raw/streams/mine.csv")
LEFT = (DROPPED, Path("emails/0001.txt"), Path("logs/glue/job/jr_1.log"))


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    bucket = ("AWS::S3::Bucket", {"BucketName": "data"})
    return write_assembly(tmp_path / "cdk.out", {"Stack": template({"Bucket": bucket})})


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return tmp_path / "aws"


def leave_files(work_dir: Path) -> None:
    for name in LEFT:
        (work_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (work_dir / name).write_text(f"of a user: {name}", encoding="utf-8")


def assert_kept_in(folder: Path) -> None:
    for name in LEFT:
        assert (folder / name).read_text(encoding="utf-8") == f"of a user: {name}"


def up_and_down(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`up --detach` as the user sees it, and `down`."""
    arguments = ["--assembly", "cdk.out", "--work-dir", "aws", "--port", "0", "--detach", *options]
    process = in_a_group_of_its_own(["local_aws", "up", *arguments], tmp_path)
    output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    down = in_a_group_of_its_own(["local_aws", "down", "--work-dir", "aws"], tmp_path)
    down.communicate(timeout=DEADLINE_SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@pytest.mark.usefixtures("assembly")
def test_a_start_after_a_crash_keeps_the_files_and_says_where(tmp_path: Path, work_dir: Path) -> None:
    arguments = ["local_aws", "up", "--assembly", "cdk.out", "--work-dir", "aws", "--port", "0"]
    crashed = in_a_group_of_its_own(arguments, tmp_path)
    server_of(work_dir)
    assert crashed.stdout is not None
    assert "answers at" in crashed.stdout.readline()
    leave_files(work_dir)
    crashed.kill()
    crashed.communicate()
    assert has_ended(crashed.pid)

    started = up_and_down(tmp_path)

    (folder,) = folders(work_dir)
    assert_kept_in(folder)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", folder.name)
    told = started.stdout.splitlines()[0]
    assert re.fullmatch(
        rf"The previous run's files \(\d+ files, [\d.]+ (bytes|kB)\) are now in aws/previous/{folder.name}/; "
        "to delete them: rm -r aws/previous",
        told,
    ), told
    assert not (work_dir / DROPPED).exists()


def test_a_start_after_an_orderly_end_keeps_them_too_and_tells_of_all_earlier_runs(
    assembly: Path, work_dir: Path
) -> None:
    said: list[str] = []
    for _ in range(3):
        with EmbeddedAws(assembly, work_dir, say=said.append):
            leave_files(work_dir)

    assert len(folders(work_dir)) == 2
    for folder in folders(work_dir):
        assert_kept_in(folder)
    assert len(said) == 2
    assert re.search(r"to delete them and 1 earlier run \([\d.]+ kB\): rm -r .*aws/previous$", said[1])


def test_a_start_that_fails_says_it_too(tmp_path: Path, work_dir: Path) -> None:
    write_assembly(tmp_path / "cdk.out", {"Stack": template({"Cluster": ("AWS::EKS::Cluster", {})})})
    WorkDir(work_dir).close()
    leave_files(work_dir)

    failed = up_and_down(tmp_path)

    assert failed.returncode == 1
    (folder,) = folders(work_dir)
    assert_kept_in(folder)
    assert f"aws/previous/{folder.name}/" in failed.stdout


def test_a_start_that_is_refused_moves_nothing(assembly: Path, tmp_path: Path, work_dir: Path) -> None:
    with EmbeddedAws(assembly, work_dir):
        leave_files(work_dir)
        arguments = ["-m", "local_aws", "up", "--assembly", "cdk.out", "--work-dir", "aws", "--port", "0", "--detach"]
        second = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            check=False,
        )

        assert second.returncode == 1
        assert_kept_in(work_dir)
        assert folders(work_dir) == frozenset()


def test_a_run_that_left_no_file_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "emails/empty").mkdir(parents=True)

    assert set_aside(tmp_path, ["emails", "never-made"]) is None
    assert not (tmp_path / "previous").exists()


def test_two_runs_of_the_same_second_have_a_folder_each(tmp_path: Path) -> None:
    kept = []
    for number in range(3):
        (tmp_path / "emails").mkdir()
        (tmp_path / "emails/1.txt").write_text(str(number), encoding="utf-8")
        kept.append(set_aside(tmp_path, ["emails"]))

    assert [(folder / "emails/1.txt").read_text(encoding="utf-8") for folder in kept if folder] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("size", "words"),
    [(1, "(1 file, 1 bytes)"), (1_500, "(1 file, 1.5 kB)"), (2_000_000, "2.0 MB"), (3_100_000_000, "3.1 GB")],
)
def test_the_sentence_tells_the_size(tmp_path: Path, size: int, words: str) -> None:
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs/sparse").open("wb") as file:
        file.truncate(size)
    folder = set_aside(tmp_path, ["logs"])

    assert folder is not None
    assert words in sentence(folder)


def test_the_command_of_the_sentence_deletes_earlier_runs_and_nothing_else(tmp_path: Path) -> None:
    parent = tmp_path / "a folder"
    (parent / "logs").mkdir(parents=True)
    (parent / "logs/1.log").touch()
    (parent / "mine.txt").touch()
    folder = set_aside(parent, ["logs"])
    assert folder is not None

    subprocess.run(["sh", "-c", sentence(folder).partition(": ")[2]], check=True)

    assert [path.name for path in parent.iterdir()] == ["mine.txt"]
