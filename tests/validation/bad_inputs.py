"""The table of bad inputs, and of odd ones that are none: what each is, and what becomes of it.

All of them go through the validation job in one batch. A new input is a new entry.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.validation.validation_job import UPLOADED, Staged

STREAMS_HEADER: Final = "user_id,track_id,listen_time\n"
SONGS_HEADER: Final = "track_id,track_name,artists,album_name,track_genre,duration_ms,popularity,explicit\n"
USERS_HEADER: Final = "user_id,user_name,user_age,user_country,created_at\n"
CURRENT_SNAPSHOT_ROWS: Final = {"songs": 4, "users": 4}
"""Of the snapshots that are current before the batch."""
GIGABYTES_6: Final = 6 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input and what is expected of it.

    Attributes:
        name: what is odd about it; unique.
        content: its bytes.
        dataset: where it is uploaded to.
        key: its key; None for one made of the name.
        verdict: accepted, rejected or skipped.
        rules: ids of the rules that reject it.
        rows: rows in all; None where they are not judged.
        quarantined: rows that break a rule.
        failed: rows by rule id, warnings included.
        says: parts of what the report tells in words.
        uploaded: when; None for a version that is gone.
        size: what the event says; None for the size of the content.
        in_raw: what lies under the key itself when the job runs; None for nothing.
        refused: the rule by which the state machine has staged no copy; None where it has.
        is_directory: whether the uploader gave it the content type of a folder.
    """

    name: str
    content: bytes
    dataset: str = "streams"
    key: str | None = None
    verdict: str
    rules: tuple[str, ...] = ()
    rows: int | None = None
    quarantined: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    uploaded: str | None = UPLOADED
    size: int | None = None
    in_raw: bytes | None = None
    refused: str | None = None
    is_directory: bool = False

    @property
    def object_key(self) -> str:
        """The object key."""
        return self.key or f"raw/{self.dataset}/{self.name}.csv"

    @property
    def staged(self) -> Staged:
        """The file as the job gets it."""
        return Staged(
            key=self.object_key,
            content=self.content,
            uploaded=self.uploaded,
            size=self.size,
            in_raw=self.in_raw,
            refused=self.refused,
            is_directory=self.is_directory,
        )


def accepted(name: str, content: str | bytes, rows: int, dataset: str = "streams", **more: object) -> Input:
    """An input that is accepted; `failed` tells the rows that are left out or warned of."""
    return Input(name=name, content=_bytes(content), dataset=dataset, verdict="accepted", rows=rows, **more)  # type: ignore[arg-type]


def rejected(name: str, content: str | bytes, rule: str, *says: str, **more: object) -> Input:
    """An input that is rejected by its bytes: no row is looked at."""
    return Input(name=name, content=_bytes(content), verdict="rejected", rules=(rule,), says=says, **more)  # type: ignore[arg-type]


def rows_rejected(name: str, content: str, rule: str, bad: int, *says: str, rows: int = 0, **more: object) -> Input:
    """An input with more bad rows than are tolerated."""
    return Input(
        name=name,
        content=content.encode(),
        verdict="rejected",
        rules=(rule,),
        rows=rows or content.count("\n") - 1,
        quarantined=bad,
        failed={rule: bad},
        says=says,
        **more,  # type: ignore[arg-type]
    )


def skipped(key: str, content: bytes = b"", **more: object) -> Input:
    """An object that is no data file."""
    return Input(name=f"the object {key}", content=content, key=key, verdict="skipped", **more)  # type: ignore[arg-type]


def plays(count: int = 100, line_end: str = "\n") -> str:
    """Good rows of a streams file, no two alike."""
    return "".join(f"u{n % 3},t{n % 2},2024-06-25 10:{n // 60:02}:{n % 60:02}{line_end}" for n in range(count))


def streams(*rows: str, good: int = 100) -> str:
    """A streams file: good rows, then the given ones."""
    return STREAMS_HEADER + plays(good) + "".join(row + "\n" for row in rows)


def with_notes(header: str, rows: str) -> str:
    """With a long text at each row's end, in a column that nobody asks for: few rows are a large file."""
    return header.replace("\n", ",note\n") + rows.replace("\n", f",{'x' * 50_000}\n")


def songs(*rows: str, good: int = 100) -> str:
    """A songs file: good rows, the first of them of the tracks that `plays` has, then the given ones."""
    return (
        SONGS_HEADER
        + "".join(f"t{n},Name {n},Artist,Album,pop,200000,50,False\n" for n in range(good))
        + "".join(row + "\n" for row in rows)
    )


def users(*rows: str, good: int = 100) -> str:
    """A users file: good rows, the first of them of the users that `plays` has, then the given ones."""
    good_rows = "".join(f"u{n},Name {n},30,NL,2024-01-01\n" for n in range(good))
    return USERS_HEADER + good_rows + "".join(row + "\n" for row in rows)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _one_bad_row(rule: str, what: str, row: str, finding: str, dataset: str = "streams") -> list[Input]:
    """One bad row in a hundred and one is left out; two reject the file."""
    files = {"streams": streams, "songs": songs, "users": users}
    return [
        accepted(
            f"one row with {what}",
            files[dataset](row),
            101,
            dataset,
            quarantined=1,
            failed={rule: 1},
            says=(f"line 102: {finding}", "though tolerated"),
        ),
        rows_rejected(
            f"two rows with {what}",
            files[dataset](row, row),
            rule,
            2,
            f"line 102: {finding}",
            f"line 103: {finding}",
            dataset=dataset,
        ),
    ]


def _gzip_bomb() -> bytes:
    """More than 200 MB of good rows in less than 1 MB."""
    return gzip.compress(streams(good=0).encode()) + gzip.compress(plays(1).encode() * 40_000) * 200


LONG_ID: Final = "é" * 101
TIME: Final = "2024-06-25 11:00:00"
EXPLICIT_SPELLINGS: Final = (
    "True", "FALSE", "t", "F", "yes", "No", "y", "N", "1", "0", " false ", "", " ", "1.0", "0.0",
    "\\N", "NULL", "nan", "NA",
)  # fmt: skip
MISSING: Final = ("", " ", "\\N", "NULL", "null", "None", "nan", "NaN", "NaT", "<NA>", "N/A", "#N/A", "NA", " NULL ")
ZONES: Final = (
    "Z", "z", " UTC", "+00", "-00", "+0000", "+00:00", ".123+02:00", ".5 UTC", "-08:00", "-0330", "+1800", "+18",
    ".000Z",
)  # fmt: skip
OTHER_ZONES: Final = (
    "UTC",
    " Z",
    " utc",
    "+2",
    "+02:0",
    "+02:60",
    "+0260",
    "+1801",
    "+19",
    " +02",
    " CET",
    " +00 UTC",
    "+",
)
GOOD_STREAMS: Final = streams()
GOOD_LINES: Final = GOOD_STREAMS.splitlines(keepends=True)

EMPTY: Final = [
    rejected("an object of no bytes", b"", "no_rows", "the file is empty"),
    rejected("an empty gzip", gzip.compress(b""), "no_rows", "the file is empty"),
    rejected("blank lines only", "\n\r\n\n", "no_rows", "the file is empty"),
    *(
        Input(
            name=name,
            content=content.encode(),
            verdict="rejected",
            rules=("no_rows",),
            rows=0,
            failed={"no_rows": 1},
            says=("there is no row below the header",),
        )
        for name, content in {
            "a header only": STREAMS_HEADER,
            "a header without line end": STREAMS_HEADER.strip(),
            "a header and blank lines": STREAMS_HEADER + "\n\n",
        }.items()
    ),
]

HEADERS: Final = [
    rejected(
        "a missing column",
        "user_id,listen_time\nu1,2024-06-25 10:00:00\n",
        "missing_column",
        "missing: track_id; the header has: user_id, listen_time",
    ),
    rejected(
        "column names in other capitals",
        "User_ID,track_id,Listen Time\n" + plays(),
        "missing_column",
        "rename 'User_ID' to 'user_id', 'Listen Time' to 'listen_time'",
    ),
    rejected(
        "no header", plays(), "missing_column", "the first line has 3 fields", "perhaps the header line is missing"
    ),
    rejected(
        "semicolons",
        GOOD_STREAMS.replace(",", ";"),
        "missing_column",
        "seem to be separated by semicolons: separate them by commas",
    ),
    rejected(
        "Excel's line about separators",
        "sep=,\r\n" + GOOD_STREAMS,
        "missing_column",
        "the header seems to be in line 2: remove the line above it",
    ),
    rejected(
        "Excel's line about semicolons",
        "sep=;\r\n" + GOOD_STREAMS.replace(",", ";"),
        "missing_column",
        "the header seems to be in line 2: remove the line above it",
        "seem to be separated by semicolons: separate them by commas",
    ),
    rejected(
        "a comment above the header",
        "# exported by player 1.2, all rights reserved\n" + GOOD_STREAMS,
        "missing_column",
        "the header seems to be in line 2: remove the line above it",
    ),
    rejected(
        "a title and blank lines above a header in capitals",
        "Plays of June\r\n\r\n\r\n" + GOOD_STREAMS.replace("listen_time", "Listen Time"),
        "missing_column",
        "the header seems to be in line 4: remove the lines above it; names are compared exactly",
    ),
    rejected("tabs", GOOD_STREAMS.replace(",", "\t"), "missing_column", "seem to be separated by tabs"),
    rejected(
        "a duplicate column",
        "user_id,track_id,listen_time,device,device\nu1,t1,2024-06-25 10:00:00,a,b\n",
        "duplicate_column",
        "twice in the header: device",
    ),
    rejected(
        "thousands of columns",
        ",".join(["user_id,track_id,listen_time", *map(str, range(5000))]) + "\n",
        "too_many_columns",
        "the header has 5003 columns",
    ),
    accepted(
        "hundreds of columns",
        ",".join(["user_id,track_id,listen_time", *map(str, range(300))]) + f"\nu1,t1,{TIME}" + ",x" * 300 + "\n",
        1,
    ),
    accepted("extra columns", f"more,user_id,track_id,listen_time,and more\nx,u1,t1,{TIME},y\n", 1),
    accepted("reordered columns", f"listen_time,track_id,user_id\n{TIME},t1,u1\n", 1),
    accepted("columns in yet another order", f"track_id,user_id,listen_time\nt1,u1,{TIME}\n", 1),
    accepted("blanks around column names", f" user_id ,track_id\t, listen_time\nu1,t1,{TIME}\n", 1),
    accepted("two columns without a name", f"user_id,track_id,listen_time,,\nu1,t1,{TIME},,\nu2,t1,{TIME},,\n", 2),
    accepted("quoted column names", f'"user_id","track_id","listen_time"\nu1,t1,{TIME}\n', 1),
    accepted(
        "columns that Spark has a use for",
        f"_corrupt_record,_metadata,User_ID,user_id,track_id,listen_time\na,b,c,u1,t1,{TIME}\n",
        1,
    ),
]

ENCODINGS: Final = [
    accepted("a byte order mark", "\ufeff" + GOOD_STREAMS, 100),
    accepted("lines that end with CRLF", GOOD_STREAMS.replace("\n", "\r\n"), 100),
    accepted("a header that ends with CRLF", GOOD_STREAMS.replace("\n", "\r\n", 1), 100),
    accepted("a header that ends with LF", STREAMS_HEADER + plays(line_end="\r\n"), 100),
    accepted(
        "one row that ends with LF",
        STREAMS_HEADER.replace("\n", "\r\n") + plays(60, "\r\n") + f"u9,t1,{TIME}\n" + plays(3, "\r\n"),
        64,
        failed={"duplicate_rows": 3},
    ),
    accepted(
        "lines of any ends",
        STREAMS_HEADER + plays(60, "\r\n") + plays(7, "\r") + plays(1),
        68,
        failed={"duplicate_rows": 8},
    ),
    accepted(
        "quoted lines of any ends",
        songs('t1,"a\r\nb",c,"d\re",pop,1,1,true\r', 't2,a,"b\n",d,"pop",1,1,"true"\r'),
        102,
        "songs",
    ),
    accepted("lines that end with CR", GOOD_STREAMS.replace("\n", "\r"), 100),
    accepted("lines that end with LF first and CRLF later", streams(good=50) + plays(100, "\r\n")[-1350:], 100),
    rejected(
        "Latin-1",
        streams("u1,Zoë,2024-06-25 10:00:00").encode("latin-1"),
        "not_utf8",
        "line 102 holds the byte 0xEB, which is not UTF-8; in Windows-1252 (Latin-1) it is 'ë'",
    ),
    rejected("UTF-16", GOOD_STREAMS.encode("utf-16"), "not_utf8", "the file is UTF-16"),
    rejected("UTF-16 without its mark", GOOD_STREAMS.encode("utf-16-le"), "not_utf8", "the file is UTF-16"),
    rejected("half a character at the end", GOOD_STREAMS.encode() + b"\xc3", "not_utf8", "ends within a character"),
    rejected(
        "binary junk", random.Random(1).randbytes(5000), "unreadable", "holds a NUL byte: this is not a text file"
    ),
    rejected("a NUL byte", streams("u1,t1\0,x"), "unreadable", "line 102 holds a NUL byte"),
    accepted("a gzip named csv", gzip.compress(GOOD_STREAMS.encode()), 100),
    accepted("a CSV named gz", GOOD_STREAMS, 100, key="raw/streams/plain.csv.gz"),
    accepted("a gzip of a byte order mark", gzip.compress(("\ufeff" + GOOD_STREAMS).encode()), 100),
    rejected("a truncated gzip", gzip.compress(GOOD_STREAMS.encode())[:-20], "unreadable", "the gzip ends too early"),
    rejected(
        "a gzip of a gzip", gzip.compress(gzip.compress(b"x")), "unreadable", "seems to be a gzip inside of a gzip"
    ),
    rejected(
        "a damaged gzip",
        gzip.compress(GOOD_STREAMS.encode(), mtime=0)[:10] + b"\xff" * 9,
        "unreadable",
        "the gzip is damaged: no more than 0 bytes could be unpacked",
        "Check a gzip with `gzip -t`",
    ),
    rejected(
        "a gzip with something behind it",
        gzip.compress(GOOD_STREAMS.encode()) + b"junk",
        "unreadable",
        f"after {len(GOOD_STREAMS)} unpacked bytes the gzip is over, and something else follows it",
    ),
    accepted("a gzip with zeros behind it", gzip.compress(GOOD_STREAMS.encode()) + bytes(5000), 100),
    accepted("a gzip of a member a line", b"".join(gzip.compress(line.encode()) for line in GOOD_LINES), 100),
    rejected("a gzip bomb", _gzip_bomb(), "unreadable", "unpacks to more than 250 times its size"),
]

NO_CSV: Final = [
    rejected(
        "JSON",
        '[{"user_id": "u1", "track_id": "t1"},\n',
        "unreadable",
        "the file seems to be JSON",
        key="raw/streams/plays.json",
    ),
    rejected(
        "Parquet",
        b"PAR1\x15\x04\x15\x10" + bytes(100) + b"PAR1",
        "unreadable",
        "seems to be a Parquet file",
        key="raw/streams/a.parquet",
    ),
    rejected(
        "an Excel workbook",
        b"PK\x03\x04\x14\x00" + bytes(50),
        "unreadable",
        "an Excel workbook",
        key="raw/streams/a.xlsx",
    ),
    rejected("JSON over several lines", '[\n  {"user_id": "u1"}\n]\n', "unreadable", "the file seems to be JSON"),
    rejected("JSON lines", '{"user_id": "u1", "track_id": "t1"}\n' * 2, "unreadable", "the file seems to be JSON"),
    rejected("an INI file", "[streams]\nuser_id = u1\n", "unreadable", "a settings file (INI or TOML)"),
    rejected(
        "a header in brackets", "[user_id, track_id]\nu1,t1\n", "missing_column", "rename '[user_id' to 'user_id'"
    ),
    rejected("a web page", "<!DOCTYPE html>\n<title>Log in</title>\n", "unreadable", "seems to be HTML or XML"),
]

ROWS: Final = [
    *_one_bad_row("malformed_row", "too few fields", "u1,t1", "2 fields, the header has 3"),
    *_one_bad_row("malformed_row", "too many fields", f"u1,t,1,{TIME}", "4 fields, the header has 3"),
    *_one_bad_row("malformed_row", "30,000 fields", "a," * 30_000, "30001 fields, the header has 3"),
    *_one_bad_row("null_user_id", "no user", f",t1,{TIME}", "user_id is empty"),
    *_one_bad_row("null_user_id", "a null user", f"\\N,t1,{TIME}", r"user_id is \N, which stands for a missing value"),
    *_one_bad_row("null_track_id", "a null track", f"u1, \\N,{TIME}", r"track_id is \N, which stands for"),
    *_one_bad_row("null_user_id", "a blank user", f"\" \t\",t1,{TIME}", "user_id is blank: ' \\t'"),
    *_one_bad_row("long_user_id", "a long user", f"{LONG_ID},t1,{TIME}", "'éé… (101 characters)'"),
    *_one_bad_row("null_track_id", "no track", f"u1,,{TIME}", "track_id is empty"),
    *_one_bad_row("long_track_id", "a long track", f"u1,{LONG_ID},{TIME}", f"'{'é' * 80}… (101 characters)'"),
    *_one_bad_row("bad_listen_time", "no time", "u1,t1,", "listen_time is empty"),
    accepted(
        "a large file with a bad row in its second block",
        with_notes(STREAMS_HEADER, plays(800) + "u1,t1,noon\n"),
        801,
        quarantined=1,
        failed={"bad_listen_time": 1},
        says=("line 802: 'noon'", "though tolerated"),
    ),
    *_one_bad_row("bad_listen_time", "a bad time", "u1,t1,25/06/2024 10:00", "'25/06/2024 10:00'"),
    *_one_bad_row("bad_listen_time", "a 30th of February", "u1,t1,2024-02-30 10:00:00", "'2024-02-30 10:00:00'"),
    *_one_bad_row("bad_listen_time", "a time without date", "u1,t1,17:43:00", "'17:43:00'"),
    *_one_bad_row("bad_listen_time", "a date without time", "u1,t1,2024-06-25", "'2024-06-25'"),
    *_one_bad_row("future_listen_time", "a future time", "u1,t1,2024-06-27 00:00:01", "'2024-06-27 00:00:01'"),
    *_one_bad_row("early_listen_time", "a time before 2000", "u1,t1,1999-12-31 23:59:59", "'1999-12-31 23:59:59'"),
    *_one_bad_row("null_track_genre", "no genre", "t1,a,b,c, ,1,1,true", "track_genre is blank: ' '", "songs"),
    *_one_bad_row("bad_duration_ms", "a negative duration", "t1,a,b,c,pop,-1,1,true", "'-1'", "songs"),
    *_one_bad_row("bad_duration_ms", "no duration", "t1,a,b,c,pop,NULL,1,true", "'NULL'", "songs"),
    *_one_bad_row("bad_duration_ms", "an exponent", "t1,a,b,c,pop,2.15E5,1,true", "'2.15E5'", "songs"),
    *_one_bad_row("bad_popularity", "a fractional popularity", "t1,a,b,c,pop,1,1.5,true", "'1.5'", "songs"),
    *_one_bad_row("bad_explicit", "a fractional explicit", "t1,a,b,c,pop,1,1,0.5", "'0.5'", "songs"),
    *(
        bad
        for zone in OTHER_ZONES
        for bad in _one_bad_row("bad_listen_time", f"the zone {zone!r}", f"u1,t1,{TIME}{zone}", f"'{TIME}{zone}'")
    ),
    *_one_bad_row("bad_duration_ms", "a fractional duration", "t1,a,b,c,pop,1.5,1,true", "'1.5'", "songs"),
    *_one_bad_row("bad_duration_ms", "a huge duration", "t1,a,b,c,pop,2147483648,1,true", "'2147483648'", "songs"),
    *_one_bad_row("bad_duration_ms", "a duration in words", "t1,a,b,c,pop,3 min,1,true", "'3 min'", "songs"),
    *_one_bad_row("bad_explicit", "an unusual explicit", "t1,a,b,c,pop,1,1,perhaps", "'perhaps'", "songs"),
    *_one_bad_row("bad_user_age", "an age in words", "u1,a,thirty,NL,2024-01-01", "'thirty'", "users"),
    *_one_bad_row("bad_created_at", "a bad creation date", "u1,a,30,NL,1.1.2024", "'1.1.2024'", "users"),
    accepted(
        "zones",
        streams(*(f"u1,t1,2024-06-24 11:00:{second:02}{zone}" for second, zone in enumerate(ZONES))),
        100 + len(ZONES),
    ),
    accepted(
        "whitespace around fields",
        streams(*(f" u1\t,\x0bt1 ,{time}" for time in (f" {TIME}", f"{TIME}Z\t", f"\x0c {TIME} UTC  "))),
        103,
        failed={"duplicate_rows": 2},
    ),
    accepted(
        "missing values in a users file",
        users(
            *(f"u{n},{word},{word},NL,{word}" for n, word in enumerate(MISSING, 200)),
            *(f"u{n},a,{n}.0,NA, 2024-01-01 " for n in range(300, 320)),
        ),
        100 + len(MISSING) + 20,
        "users",
    ),
    accepted(
        "missing countries",
        users(*(f"u{n},a,1,{word}," for n, word in enumerate(MISSING, 200))),
        100 + len(MISSING),
        "users",
        failed={"null_word_user_country": 10},
        says=("Warning null_word_user_country: 10 rows",),
    ),
    accepted(
        "missing values in a songs file",
        songs(*(f"t{n},{word},{word},{word},pop,215000.0,{word},{word}" for n, word in enumerate(MISSING, 200))),
        100 + len(MISSING),
        "songs",
    ),
    accepted(
        "ids and genres that are words for a missing value",
        songs(*(f"{word},a,b,c,{word},1.,1,1." for word in ("NULL", " nan ", "N/A", "NA", "Null"))),
        105,
        "songs",
        failed={"null_word_track_id": 3, "null_word_track_genre": 3},
    ),
    accepted(
        "users and tracks that are words for a missing value",
        streams(*(f"{word},{word},{TIME}" for word in ("NULL", " nan ", "None", "NA", "none"))),
        105,
        failed={"null_word_user_id": 3, "null_word_track_id": 3, "unknown_track": 5, "unknown_user": 5},
        says=("Warning null_word_user_id: 3 rows", "export it as an empty field"),
    ),
    accepted(
        "explicit in the usual spellings",
        songs(*(f"t1,a{n},b,c,pop,1,1,{word}" for n, word in enumerate(EXPLICIT_SPELLINGS))),
        100 + len(EXPLICIT_SPELLINGS),
        "songs",
    ),
    accepted(
        "duplicate rows",
        streams("u1,t1,2024-06-25 10:00:01", f"u1,t1,{TIME}", f"u1,t1,{TIME}"),
        103,
        failed={"duplicate_rows": 2},
    ),
    accepted(
        "unknown tracks and users",
        streams(f"u1,t999,{TIME}", f"u999,t1,{TIME}", f"u999,t999,{TIME}"),
        103,
        failed={"unknown_track": 2, "unknown_user": 2},
        says=("Warning unknown_track: 2 rows",),
    ),
    accepted(
        "two files in one, the header in the middle",
        STREAMS_HEADER + plays(5) + STREAMS_HEADER + plays(50),
        55,
        failed={"repeated_header": 1, "duplicate_rows": 5},
        says=("Warning repeated_header: 1 row", "put together"),
    ),
    accepted(
        "files put together that have byte order marks, quotes and other line ends",
        "\ufeff" + STREAMS_HEADER + plays(5) + '\ufeff"user_id","track_id","listen_time"\r\n' + plays(3, "\r\n")
        + "\ufeff user_id, track_id, listen_time\r" + plays(2, "\r") + STREAMS_HEADER,
        10,
        failed={"repeated_header": 3, "duplicate_rows": 5},
    ),
    accepted(
        "a repeated header in a large file",
        with_notes(STREAMS_HEADER, plays(800)) + with_notes(STREAMS_HEADER, f"u1,t1,{TIME}\n"),
        801,
        failed={"repeated_header": 1},
    ),
    accepted("a repeated header in a users file", users() + USERS_HEADER, 100, "users", failed={"repeated_header": 1}),
    Input(
        name="a header that is repeated and no row",
        content=STREAMS_HEADER.encode() * 2,
        verdict="rejected",
        rules=("no_rows",),
        rows=0,
        failed={"no_rows": 1, "repeated_header": 1},
    ),
    rows_rejected(
        "a second header with the columns in another order",
        STREAMS_HEADER + plays(50) + "track_id,user_id,listen_time\n",
        "bad_listen_time",
        1,
        "line 52: 'listen_time'",
    ),
    rows_rejected(
        "bad rows after blank lines",
        STREAMS_HEADER + "\n\n" + plays(3) + "\nu1,t1,noon\n",
        "bad_listen_time",
        1,
        "line 8: 'noon'",
        rows=4,
    ),
]  # fmt: skip

QUOTES: Final = [
    accepted("quoted commas, quotes and line breaks", songs('t1,"a, ""b""","c\nd",e,pop,1,1,true'), 101, "songs"),
    accepted("a quote inside of an unquoted field", songs('t1,12" mix,b,c,pop,1,1,true'), 101, "songs"),
    rows_rejected(
        "a quote that is opened in every row",
        'user_id,track_id,device,listen_time\n' + f'"u1","t1","N,"{TIME}"\n' * 3,
        "malformed_row",
        3,
        "line 2: 3 fields, the header has 4; a quote opens a field and is not closed where the field ends",
        "or close a quote that is left open",
    ),
    rejected(
        "an unbalanced quote",
        streams(f'u1,"t1,{TIME}', f"u1,t1,{TIME}"),
        "unbalanced_quote",
        "in the row that begins in line 102 a quote is opened and not closed up to the end of the file",
    ),
    rejected(
        "an unbalanced quote that swallows the row below into a good one",
        songs('t1,"a,b,c,pop,1,1,true', *['t2,"a",b,c,pop,1,1,true'] * 3),
        "unbalanced_quote",
        "in the row that begins in line 102 a quote is opened and not closed where its field ends",
        dataset="songs",
    ),
    rejected(
        "an unbalanced quote after a closed one that is none",
        streams(f'u1,"t1,{TIME}', f'u2,t2",{TIME}', f'u3,"t3,{TIME}'),
        "unbalanced_quote",
        "in the row that begins in line 104",
        "look at line 102 first, where the first row of several lines begins",
    ),
    rows_rejected(
        "a quote that is closed 41 lines later",
        STREAMS_HEADER + plays(3) + f'"u9,t1,{TIME}\n' + plays(40) + f'u8,t1",{TIME}\n',
        "malformed_row",
        42,
        "lines 5 to 46: 2 fields, the header has 3; is a quote opened in it that is not closed?",
    ),
    rejected(
        "a quote that is open for more than a mebibyte",
        STREAMS_HEADER + f'u1,"t1,{TIME}\n' + plays(40_000),
        "unbalanced_quote",
        "begins in line 2",
        "not closed within 1048576 characters",
    ),
    rejected(
        "one line of 50 MB", streams("a" * 50_000_000), "long_row", "line 102 has more than 1048576 characters"
    ),
]  # fmt: skip

SNAPSHOTS: Final = [
    accepted(
        "a snapshot with two rows of one track",
        songs("t1,Another name,b,c,rock,1,1,true", "t1,Another name,b,c,pop,2,1,true"),
        102,
        "songs",
    ),
    accepted("a snapshot of half the rows", songs(good=2), 2, "songs"),
    Input(
        name="a snapshot shrunk by more than half",
        content=songs(good=1).encode(),
        dataset="songs",
        verdict="rejected",
        rules=("snapshot_shrunk",),
        rows=1,
        failed={"snapshot_shrunk": 1},
        says=("1 row, where at least 2 are needed",),
    ),
    Input(
        name="a snapshot whose rows break another rule",
        content=songs("t1,a,b,c,pop,-1,1,true", good=1).encode(),
        dataset="songs",
        verdict="rejected",
        rules=("bad_duration_ms",),
        rows=2,
        quarantined=1,
        failed={"bad_duration_ms": 1},
    ),
    accepted("the newest songs", songs(), 100, "songs", uploaded="2024-06-26T12:00:00Z"),
    accepted("the newest users", users(), 100, "users", uploaded="2024-06-26T12:00:00Z"),
]

KEYS: Final = [
    accepted(f"the key {key[:40]}", GOOD_STREAMS, 100, key=f"raw/streams/{key}")
    for key in (
        "a b  c.csv",
        "a+b.csv",
        "100%25.csv",
        "a:b.csv",
        "a[1]{b}*?.csv",
        "_leading/_underscore.csv",
        ".hidden.csv",
        "plays-été-🎵.csv",
        "no extension",
        "listen_date=2024-06-25/part-0.csv",
        "long/" + "é" * 496,
    )
]

OBJECTS: Final = [
    rejected(
        "an object that is gone",
        b"",
        "object_missing",
        "deleted before",
        uploaded=None,
        refused="object_missing",
    ),
    accepted("an object that was replaced after it was staged", GOOD_STREAMS, 100, in_raw=b"something else"),
    rejected(
        "an object over 5 GB",
        b"",
        "too_large",
        "6442450944 bytes",
        size=GIGABYTES_6,
        in_raw=b"a lot",
        refused="too_large",
    ),
    rejected("an archived object", b"", "archived_storage_class", "restore it first", refused="archived_storage_class"),
    rejected(
        "an object under a key of its sender",
        b"",
        "encrypted_by_customer_key",
        "asks for the key",
        uploaded=None,
        refused="encrypted_by_customer_key",
    ),
    rejected("an object under a KMS key", b"", "unusable_kms_key", "may not use the key", refused="unusable_kms_key"),
    rejected("a prefix that is no dataset", GOOD_STREAMS, "unknown_dataset", "raw/users/", key="raw/plays/a.csv"),
    rejected("no folder", GOOD_STREAMS, "unknown_dataset", "raw/users/", key="raw/streams.csv"),
    skipped("raw/streams/"),
    skipped("raw/streams/2024/"),
    skipped("raw/streams/2024/06/", b"\n"),
    skipped("raw/streams/marked", is_directory=True),
    rejected("a file whose key ends with a slash", "user_id,track_id\n" * 3, "missing_column", key="raw/streams/a/"),
    accepted("a file with the content type of a folder", GOOD_STREAMS, 100, is_directory=True),
]

COMPANIONS: Final = [
    skipped(f"raw/{key}", b"anything")
    for key in (
        "_SUCCESS",
        "streams/out/_SUCCESS",
        "streams/out/_started_123",
        "streams/out/_committed_123",
        "streams/out/.part-00000.csv.crc",
        "streams/out_$folder$",
        "streams/_temporary/0/attempt_1/part-00000.csv",
        "streams/.DS_Store",
        "streams/.ds_store",
        "streams/._plays.csv",
        "streams/__MACOSX/plays.csv",
        "songs/desktop.ini",
        "songs/Desktop.ini",
        "songs/THUMBS.DB",
        "users/users.csv.md5",
        "users/users.csv.SHA256",
        "streams/plays.csv.metadata",
        "streams/manifest.json",
        "streams/.gitkeep",
    )
]
NO_COMPANIONS: Final = [
    accepted(f"the key {key}", GOOD_STREAMS, 100, key=f"raw/streams/{key}")
    for key in ("_SUCCESS.csv", "_success", "crc", "plays.crc.csv", "a_$folder$/plays.csv", "my manifest.json.csv")
]

PRODUCER_PLAYS: Final = (
    STREAMS_HEADER
    + "\n"
    + plays(20)
    + "".join(f"{row}\n" for row in ("u1,t1,17:43:00", "u2,t1,25.06.2024 18:00", f",t1,{TIME}", f"u1,t1,t2,{TIME}"))
    + plays(5)
).replace("\n", "\r\n")
PRODUCER_SONGS: Final = songs(
    't1,Say "it",b,c,rock,1,1,true', 't1,"Left open,b,c,rock,1,1,true', 't2,"a, b",b,c,pop,1,1,true'
)
PRODUCER_USERS: Final = users("u1,Zoë,30,NL,2024-01-01", "u2,Renée,30,NL,2024-01-01").encode("cp1252")

PRODUCER: Final = [
    Input(
        name="a producer's plays",
        content=PRODUCER_PLAYS.encode(),
        verdict="rejected",
        rules=("malformed_row", "null_user_id", "bad_listen_time"),
        rows=29,
        quarantined=4,
        failed={"malformed_row": 1, "null_user_id": 1, "bad_listen_time": 2, "duplicate_rows": 5},
        says=("line 23: '17:43:00'", "Write date and time"),
    ),
    rejected("a producer's songs", PRODUCER_SONGS, "unbalanced_quote", "begins in line 103", dataset="songs"),
    rejected("a producer's users", PRODUCER_USERS, "not_utf8", "line 102 holds the byte 0xEB", dataset="users"),
]
"""What `test_a_producer_can_fix_a_file` mends."""

INPUTS: Final[Sequence[Input]] = [
    *EMPTY,
    *HEADERS,
    *ENCODINGS,
    *NO_CSV,
    *ROWS,
    *QUOTES,
    *SNAPSHOTS,
    *KEYS,
    *OBJECTS,
    *COMPANIONS,
    *NO_COMPANIONS,
    *PRODUCER,
]
