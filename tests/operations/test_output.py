"""Names that a producer chose are printed as they are: no markup, no emoji, no control character, and nothing cut."""

from __future__ import annotations

import io
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glue_scripts.ledger import FileStatus, Snapshot
from operations.output import add_row, data_console, data_table, json_text, lines
from tests.operations.conftest import DAY, World

HOSTILE = "pipeline:abc:smile: [bold]x[/bold] [/] \x1b[31m\x9b\u202e\r.csv"
SHOWN = r"pipeline:abc:smile: [bold]x[/bold] [/] \x1b[31m\x9b\u202e\x0d.csv"
ROOT = Path(__file__).parents[2]


def printed(*parts: object, width: int = 80) -> str:
    text = io.StringIO()
    data_console(text, width=width).print(*parts)
    return text.getvalue()


def test_lines_titles_headings_and_cells_show_text_as_it_is() -> None:
    table = data_table(HOSTILE, HOSTILE)
    add_row(table, HOSTILE)

    assert printed(table, lines(HOSTILE), width=200).count(SHOWN) == 4


def test_a_plain_text_is_neither_markup_nor_emoji() -> None:
    assert printed("[bold]:smile:[/bold]") == "[bold]:smile:[/bold]\n"


def test_a_cell_that_is_too_long_is_folded_and_not_cut() -> None:
    table = data_table("", "key", "status")
    key = "raw/streams/" + "".join(f"{number:04}" for number in range(100))
    add_row(table, key, "REJECTED")

    shown = printed(table)

    pieces = [line.split("│")[1].strip() for line in shown.splitlines() if "│" in line]
    assert "".join(pieces) == key


def test_all_that_a_command_prints_goes_through_the_one_console() -> None:
    """A console, a table or a text of rich that is made elsewhere would interpret markup, or let an ESC through."""
    for path in [*(ROOT / "operations").glob("*.py"), *(ROOT / "laptop").glob("*.py")]:
        source = path.read_text(encoding="utf-8")
        made = re.findall(r"(?<![\w.])(?:Console|Table|Text)\(", source)
        assert not made or path.name == "output.py", path


@given(st.text(st.characters(exclude_categories=())), st.text())
def test_json_is_exact_and_has_no_control_character(text: str, other: str) -> None:
    shown = json_text({"key": [text, other]})

    assert json.loads(shown) == {"key": [text, other]}
    assert shown.replace("\n", "").isprintable()
    assert shown.encode()


def test_json_has_the_numbers_of_dynamodb_and_sets_in_order() -> None:
    assert json.loads(json_text({"a": Decimal("3.50"), "b": Decimal(7), "c": {"y", "x"}})) == {
        "a": 3.5,
        "b": 7,
        "c": ["x", "y"],
    }


def test_what_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(TypeError):
        json_text({"a": b"bytes"})


class TestStatus:
    """`status`, the names of which producers choose."""

    def reject(self, world: World, key: str, uploaded_at: str) -> None:
        world.receive(key, "v", uploaded_at)
        world.deployment.ledger.advance_file(key, "v", FileStatus.REJECTED, {})

    def test_a_hostile_key_is_shown_as_it_is_and_whole(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        key = "raw/streams/" + "long" * 40 + HOSTILE
        world.receive(key, "v1")
        self.reject(world, key, "2024-06-25T00:00:00Z")

        told = world.run("status")

        shown = "raw/streams/" + "long" * 40 + SHOWN
        assert f"  {shown}#v1\n" in told.out
        assert f"  {shown}#v 2024-06-25T00:00:00Z\n" in told.out
        assert told.out.replace("\n", "").isprintable()
        assert json.loads(world.run("status", "--json").out)["unfinished_files"]["RECEIVED"] == [f"{key}#v1"]

    def test_rejected_files_are_named_the_latest_first_and_json_has_those_that_are_not_printed(
        self, world: World
    ) -> None:
        for number in range(23):
            self.reject(world, f"raw/streams/{number:02}.csv", f"2024-06-25T00:00:{number:02}Z")

        told = world.run("status").out

        assert "Files REJECTED, the latest uploads first, 1,000 at most, as key#version (23):" in told
        assert "  raw/streams/22.csv#v 2024-06-25T00:00:22Z\n  raw/streams/21.csv#v" in told
        assert "raw/streams/02.csv" not in told
        assert "and 3 more: --json lists them with their executions" in told
        listed = json.loads(world.run("status", "--json").out)["rejected_files"]
        assert [file["key"] for file in listed] == [f"raw/streams/{number:02}.csv" for number in range(22, -1, -1)]
        assert listed[0] == {
            "uploaded_at": "2024-06-25T00:00:22Z",
            "key": "raw/streams/22.csv",
            "version_id": "v",
            "execution": "arn:e",
        }


class TestErrors:
    """Errors that repeat what was given."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["kpis", "--day", HOSTILE],
            [HOSTILE],
            ["redrive", HOSTILE],
            ["replay", HOSTILE],
            ["status", f"--{HOSTILE}"],
            ["recompute", "--from", DAY, "--to", HOSTILE],
        ],
        ids=lambda arguments: arguments[0][:9],
    )
    def test_an_argument_is_repeated_as_it_is(self, world: World, arguments: list[str]) -> None:
        ended = world.run(*arguments)

        assert ended.exit_code == 2
        assert "pipeline:abc:smile: [bold]x[/bold]" in ended.err
        assert (ended.out + ended.err).replace("\n", "").isprintable()

    def test_help_needs_no_markup(self, world: World) -> None:
        told = world.run("redrive", "--help")

        assert told.exit_code == 0
        assert "[EXECUTION]..." in told.out

    def test_an_error_of_aws_tells_call_and_code_and_nothing_that_was_sent(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret = "listener-of-no-trace"
        world.receive(secret, "v")
        monkeypatch.setattr(
            "operations.replay.find",
            lambda *_: world.deployment.s3.head_object(Bucket=world.deployment.bucket, Key=secret),
        )

        ended = world.run("replay", "x")

        assert ended.exit_code == 1
        assert "AWS refused HeadObject: 404, request " in ended.err
        assert secret not in ended.err

    def test_no_answer_is_told_by_host_and_kind(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

        ended = world.run("status")

        assert ended.exit_code == 1
        assert "AWS did not answer at 127.0.0.1:9: EndpointConnectionError" in ended.err


def test_snapshots_of_several_days_are_printed_once(world: World) -> None:
    for dataset, name in {"songs": "a", "users": "b"}.items():
        uri = f"s3://bucket/reference/{dataset}/{name}/"
        world.deployment.ledger.make_current(Snapshot(dataset, uri, "k", "v", "2024-06-24T00:00:00Z", 1))
    world.publish("2024-06-24", "run")
    world.publish("2024-06-25", "run")

    told = world.run("recompute", "--from", "2024-06-24", "--to", "2024-06-25").out

    assert told.count("s3://bucket/reference/songs/a/") == told.count("s3://bucket/reference/users/b/") == 1
    assert "All computed with the snapshots" in told
