"""A second judge of whether a file is valid: plain Python on whole files, by the words of docs/rules.md.

It shares with the pipeline's own judge the names of the rules and of the columns, and no code.
"""

from __future__ import annotations

import csv
import io
import string
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tests import oracle
from validators.schemas import MAX_COLUMNS, MAX_ROW_CHARACTERS, REQUIRED_COLUMNS

Fields = dict[str, str]

_OF_NO_TEXT: Final = frozenset(
    ("unreadable", "not_utf8", "missing_column", "duplicate_column", "unbalanced_quote", "long_row", "no_rows")
)
"""What came before the bytes that are no text may break any rule."""


class NoTextError(Exception):
    """The bytes are no text."""


@dataclass(frozen=True)
class Row:
    """A row, which is not blank.

    Attributes:
        fields: its fields.
        number: as a spreadsheet numbers it.
        line: its first line, as an editor numbers it.
        lines: how many lines it takes.
    """

    fields: list[str]
    number: int
    line: int
    lines: int


@dataclass(frozen=True)
class Judgement:
    """What is told of a file that passed the checks of its bytes.

    Attributes:
        rows: rows below the header; one that breaks a rule counts as many as it has lines.
        quarantined: those that break a rule.
        failed: rows by row rule.
    """

    rows: int
    quarantined: int
    failed: dict[str, int]

    @property
    def reasons(self) -> set[str]:
        """The rules that reject the file: one row in a hundred may break a row rule."""
        broken = {rule for rule, failed in self.failed.items() if 100 * failed > self.rows}
        return broken | ({"no_rows"} if self.rows == 0 else set())


def broken_file_rules(data: bytes, dataset: str, *, max_row: int = MAX_ROW_CHARACTERS) -> frozenset[str]:
    """The rules about bytes, header and quotes that a file breaks; the pipeline tells one of them."""
    try:
        text = text_of(data)
    except NoTextError:
        return _OF_NO_TEXT
    lines = lines_of(text)
    broken = {"long_row"} if any(len(line) > max_row for line in lines) else set()
    rows = list(rows_of(lines))
    if any(_is_open(lines, row, max_row) for row in rows) or _is_open_at_the_end(lines):
        broken.add("unbalanced_quote")
    return frozenset(broken | (_broken_by_header(rows[0].fields, dataset) if rows else {"no_rows"}))


def judgement(data: bytes, dataset: str, uploaded: datetime) -> Judgement:
    """Judges the rows of a file that breaks no rule of `broken_file_rules`."""
    failed: Counter[str] = Counter()
    total = quarantined = 0
    for _, row, broken in judged_rows(data, dataset, uploaded):
        counted = weight(row, broken)
        total += counted
        quarantined += counted if broken else 0
        failed.update(dict.fromkeys(broken, counted))
    return Judgement(total, quarantined, dict(failed))


def judged_rows(data: bytes, dataset: str, uploaded: datetime) -> Iterator[tuple[int, Row, set[str]]]:
    """The rows of such a file that are no header: their numbers, blank lines aside, and the row rules they break."""
    header, *rows = rows_of(lines_of(text_of(data)))
    names = [name.strip(string.whitespace) for name in header.fields]
    for number, row in enumerate(rows, start=2):
        if not oracle.is_header(row.fields, names):
            yield number, row, broken_row_rules(names, row.fields, dataset, uploaded)


def weight(row: Row, broken: set[str]) -> int:
    """As how many rows a row counts; line breaks at its very ends do not."""
    if not broken or broken == {"malformed_row"}:
        return row.lines if broken else 1
    return len(lines_of("\x00".join(row.fields).strip("\r\n\x00")))


def is_tidy(data: bytes) -> bool:
    """Whether each field of a file that begins with a quote ends with one.

    What the others are is for `csv_pieces` to say, which reads them as Spark does: text behind a closing quote stays as
    it stands.
    """
    try:
        list(csv.reader(lines_of(text_of(data)), strict=True))
    except csv.Error:
        return False
    return True


def broken_row_rules(names: Sequence[str], fields: Sequence[str], dataset: str, uploaded: datetime) -> set[str]:
    """The row rules that a row breaks."""
    if len(names) != len(fields):
        return {"malformed_row"}
    row = dict(zip(names, fields, strict=True))
    if dataset == "streams":
        return _broken_ids(row, "user_id", "track_id") | _broken_listen_time(row["listen_time"], uploaded)
    return _broken_by_song(row) if dataset == "songs" else _broken_by_user(row)


def text_of(data: bytes) -> str:
    """The text of a file.

    Raises:
        NoTextError: the bytes are none.
    """
    if data.startswith(oracle.GZIP_MAGIC):
        data = _unpacked(data)
    if b"\x00" in data or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NoTextError
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NoTextError from error


def lines_of(text: str) -> list[str]:
    """The lines with their ends."""
    return list(io.StringIO(text, newline=""))


def rows_of(lines: Sequence[str]) -> Iterator[Row]:
    """The rows that are not blank."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(lines)
    before = 0
    for number, fields in enumerate(reader, start=1):
        if fields:
            yield Row(fields, number, before + 1, reader.line_num - before)
        before = reader.line_num


def _unpacked(data: bytes) -> bytes:
    text = b""
    while data:
        member = zlib.decompressobj(31)
        try:
            text += member.decompress(data)
        except zlib.error as error:
            raise NoTextError from error
        if not member.eof:
            raise NoTextError
        data = member.unused_data.lstrip(b"\0")  # as gunzip does
    return text


def _broken_by_header(fields: Sequence[str], dataset: str) -> set[str]:
    names = [name.strip(string.whitespace) for name in fields]
    broken = set()
    if not set(REQUIRED_COLUMNS[dataset]) <= set(names):
        broken |= {"missing_column", "unreadable"}
    if any(count > 1 for name, count in Counter(names).items() if name):
        broken.add("duplicate_column")
    return broken | ({"too_many_columns"} if len(names) > MAX_COLUMNS else set())


def _is_open(lines: Sequence[str], row: Row, max_row: int) -> bool:
    """Whether a quote of a row of several lines is not closed where its field ends, or only far away."""
    own = lines[row.line - 1 : row.line - 1 + row.lines]
    if row.lines == 1:
        return False
    try:
        list(csv.reader(own, strict=True))
    except csv.Error:
        return True
    return sum(map(len, own)) > max_row


def _is_open_at_the_end(lines: Sequence[str]) -> bool:
    """Whether a further line would not be a row of its own."""
    return len(list(csv.reader([*lines, "end"]))) == len(list(csv.reader(lines)))


def _broken_ids(row: Fields, *columns: str) -> set[str]:
    broken = set()
    for column in columns:
        value = oracle.trimmed(row[column])
        if value is None:
            broken.add(f"null_{column}")
        elif len(value.encode()) > oracle.MAX_KEY_BYTES:
            broken.add(f"long_{column}")
    return broken


def _broken_listen_time(text: str, uploaded: datetime) -> set[str]:
    try:
        moment = oracle.timestamp(text)
    except oracle.InvalidRowError:
        return {"bad_listen_time"}
    if moment > uploaded + oracle.FUTURE_TOLERANCE:
        return {"future_listen_time"}
    return {"early_listen_time"} if moment < oracle.EARLIEST_LISTEN else set()


def _broken_by_song(row: Fields) -> set[str]:
    broken = _broken_ids(row, "track_id", "track_genre")
    duration = oracle.integer(row["duration_ms"])
    if duration is None or not 0 <= duration <= oracle.MAX_INTEGER:
        broken.add("bad_duration_ms")
    if not _is_integer_or_blank(row["popularity"]):
        broken.add("bad_popularity")
    explicit = oracle.given(row["explicit"])
    return broken | ({"bad_explicit"} if explicit and not oracle.BOOLEAN.fullmatch(explicit) else set())


def _broken_by_user(row: Fields) -> set[str]:
    broken = _broken_ids(row, "user_id")
    if not _is_integer_or_blank(row["user_age"]):
        broken.add("bad_user_age")
    if len(row["user_country"].strip(string.whitespace).encode()) > oracle.MAX_COUNTRY_BYTES:
        broken.add("long_user_country")
    created_at = oracle.given(row["created_at"])
    if created_at is not None:
        try:
            oracle.timestamp(f"{created_at} 00:00:00" if oracle.DATE.fullmatch(created_at) else created_at)
        except oracle.InvalidRowError:
            broken.add("bad_created_at")
    return broken


def _is_integer_or_blank(text: str) -> bool:
    value = oracle.given(text)
    return value is None or bool(oracle.INTEGER.fullmatch(value))
