"""What AWS takes at most: settings that go beyond it are errors at synth, and the estimates are no guesses."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from glue_scripts.count_plays import MAX_COUNTRIES
from stacks import quotas
from stacks.quotas import (
    QuotaError,
    check_policies,
    largest_batch_bytes,
    largest_genre_row_bytes,
    largest_summary_bytes,
)
from stacks.settings import Settings, SettingsError, read_context
from tests.infrastructure.templates import Deployment
from validators import schemas


def _settings(environment: str = "dev", **changes: object) -> Settings:
    environments = read_context()["environments"]
    return Settings.read({environment: environments["dev"] | changes}, environment)


def test_the_limits_of_names_are_those_of_the_rules() -> None:
    assert max(schemas.MAX_ID_BYTES, schemas.MAX_GENRE_BYTES) <= quotas.ID_BYTES
    assert quotas.NAME_BYTES == 4 * schemas.MAX_NAME_CHARACTERS
    assert quotas.COUNTRY_BYTES == schemas.MAX_COUNTRY_BYTES
    assert MAX_COUNTRIES + len(("other", "unknown")) <= quotas.COUNTRIES


def _size(value: Any) -> int:  # noqa: ANN401
    """Bytes of a value in DynamoDB, numbers rounded up.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    match value:
        case str():
            return len(value.encode())
        case int() | Decimal():
            return 21
        case list():
            return 3 + sum(1 + _size(one) for one in value)
        case dict():
            return 3 + sum(1 + len(name.encode()) + _size(one) for name, one in value.items())
    raise TypeError(value)


NUMBER = Decimal(10**30)
LONGEST_ID = "i" * schemas.MAX_ID_BYTES
LONGEST_NAME = "𝄞" * schemas.MAX_NAME_CHARACTERS


def _largest_genre_row(top_songs: int) -> dict[str, Any]:
    song = {
        "rank": NUMBER,
        "track_id": LONGEST_ID,
        "track_name": LONGEST_NAME,
        "artists": LONGEST_NAME,
        "listens": NUMBER,
    }
    genre = "g" * schemas.MAX_GENRE_BYTES
    measures = {
        "listens": NUMBER,
        "unique_listeners": NUMBER,
        "listening_time_ms": NUMBER,
        "avg_listening_time_ms_per_user": NUMBER,
        "avg_listening_time_ms_per_play": NUMBER,
    }
    return {
        "pk": "DAY#2024-06-25",
        "sk": f"V#0000000001#GENRE#{genre}",
        "date": "2024-06-25",
        "genre": genre,
        **measures,
        "top_songs": [song] * top_songs,
        "hours": {f"{hour:02}": measures for hour in range(24)},
    }


def _largest_summary(top_genres: int) -> dict[str, Any]:
    snapshot = "reference/songs/" + "s" * 200
    file = {"key_hash": "0" * 64, "version_id": "v" * quotas.VERSION_ID_BYTES}
    return {
        "pk": "DAY#2024-06-25",
        "sk": "SUMMARY",
        "index_pk": "SUMMARY",
        "date": "2024-06-25",
        "version": NUMBER,
        "computed_at": "2024-06-25T00:00:00Z",
        "genre_rows": NUMBER,
        "listens": NUMBER,
        "unique_listeners": NUMBER,
        "listens_per_listener": NUMBER,
        "listening_time_ms": NUMBER,
        "unknown_track_plays": NUMBER,
        "top_genres": [{"rank": NUMBER, "genre": "g" * schemas.MAX_GENRE_BYTES, "listens": NUMBER}] * top_genres,
        "listens_by_country": {f"{i:064d}": NUMBER for i in range(quotas.COUNTRIES)},
        "songs_snapshot": snapshot,
        "users_snapshot": snapshot,
        "snapshots": {"songs": file, "users": file},
        "kpi_code": "0" * 12,
        "kpi_settings": {"top_songs": NUMBER, "top_genres": NUMBER},
    }


@pytest.mark.parametrize("entries", [1, 5, 100, 500])
def test_rows_are_never_larger_than_estimated(entries: int) -> None:
    genre, summary = _size(_largest_genre_row(entries)), _size(_largest_summary(entries))
    assert genre <= largest_genre_row_bytes(top_songs=entries) < 3 * genre
    assert summary <= largest_summary_bytes(top_genres=entries) < 2 * summary


def test_more_top_songs_than_a_row_takes_are_an_error() -> None:
    fixed, with_one = (largest_genre_row_bytes(top_songs=songs) for songs in (0, 1))
    most = (quotas.ITEM_BYTES - fixed) // (with_one - fixed)
    assert _settings(top_songs=most).top_songs == most
    with pytest.raises(SettingsError, match=rf"'dev': top_songs {most + 1} makes rows of up to [\d,]+ bytes; DynamoDB"):
        _settings(top_songs=most + 1)


def test_settings_take_no_more_genres_than_a_row() -> None:
    assert largest_summary_bytes(top_genres=500) < quotas.ITEM_BYTES


CHARACTERS = ("k", '"', "\\", "\x01", "\n", "\x7f", "é", "€", "😀")


def _largest_event(character: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html."""
    described = {
        "key": character * (quotas.KEY_BYTES // len(character.encode())),
        "size": 5 * 1024**4,
        "etag": "e" * 32 + "-10000",
        "version-id": "v" * quotas.VERSION_ID_BYTES,
        "sequencer": "0" * 40,
    }
    return {"version": "0", "bucket": {"name": "b" * 63}, "object": described, **REST_OF_EVENT}


REST_OF_EVENT = {
    "request-id": "R" * 32,
    "requester": "arn:aws:sts::123456789012:assumed-role/" + "r" * 64,
    "source-ip-address": "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
    "reason": "CompleteMultipartUpload",
}


@pytest.mark.parametrize("is_ascii", [True, False])
@pytest.mark.parametrize("character", CHARACTERS)
def test_a_batch_of_the_largest_events_is_not_larger_than_estimated(
    deployment: Deployment, character: str, is_ascii: bool
) -> None:
    batch = deployment.settings.batch_size
    text = json.dumps([_largest_event(character)] * batch, separators=(",", ":"), ensure_ascii=is_ascii)
    assert len(text.encode()) <= largest_batch_bytes(batch) <= quotas.EXECUTION_INPUT_BYTES


def test_a_batch_that_an_execution_does_not_take_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _settings(batch_size=33).batch_size == 33
    with pytest.raises(SettingsError, match="batch_size 34 makes an execution's input of up to 267,512 bytes"):
        _settings(batch_size=34)
    monkeypatch.setattr("stacks.settings.EXECUTION_INPUT_BYTES", 10 * quotas.EVENT_BYTES - 1)
    assert _settings(batch_size=9).batch_size == 9
    with pytest.raises(SettingsError, match="batch_size 10 makes"):
        _settings(batch_size=10)


@pytest.mark.parametrize("name", ["Dev", "a-name-of-21-letters-", "9th", "dev_1", "dev.1"])
def test_a_name_that_no_bucket_may_have_is_an_error(name: str) -> None:
    with pytest.raises(SettingsError, match="its name must be 1 to 20 lower-case letters"):
        _settings(name)


def test_the_longest_name_of_an_environment_makes_a_name_that_a_bucket_may_have() -> None:
    settings = _settings("a-name-of-20-letters")
    assert len(f"{settings.name('data')}-123456789012-ap-southeast-1") <= 63


def test_no_policy_is_too_long(deployment: Deployment) -> None:
    for path in deployment.outdir.glob("*.template.json"):
        check_policies(json.loads(path.read_text(encoding="utf-8")))


def _policy(characters: int) -> dict[str, Any]:
    """A policy document of so many characters, white space not counted."""
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ""}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    statement["Resource"] = "r" * (characters - len(json.dumps(document).replace(" ", "")))
    return document


def _template(kind: str, **properties: object) -> dict[str, Any]:
    return {"Resources": {"Reader": {"Type": kind, "Properties": properties}}}


@pytest.mark.parametrize(
    ("kind", "prop", "most"),
    [
        ("AWS::IAM::ManagedPolicy", "PolicyDocument", 6_144),
        ("AWS::Logs::ResourcePolicy", "PolicyDocument", 5_120),
        ("AWS::S3::BucketPolicy", "PolicyDocument", 20_480),
        ("AWS::ApiGateway::RestApi", "Policy", 8_192),
        ("AWS::IAM::Role", "AssumeRolePolicyDocument", 2_048),
    ],
)
def test_a_policy_that_is_one_character_too_long_is_an_error(kind: str, prop: str, most: int) -> None:
    check_policies(_template(kind, **{prop: _policy(most)}))
    with pytest.raises(QuotaError, match=rf"policy of Reader may have {most + 1:,} characters; AWS takes {most:,}"):
        check_policies(_template(kind, **{prop: _policy(most + 1)}))


def test_the_inline_policies_of_a_role_count_together() -> None:
    role = _template("AWS::IAM::Role", AssumeRolePolicyDocument={}, Policies=[{"PolicyDocument": _policy(5_000)}])
    more = {
        "Type": "AWS::IAM::Policy",
        "Properties": {"Roles": [{"Ref": "Reader"}], "PolicyDocument": _policy(5_240)},
    }
    role["Resources"]["More"] = more
    check_policies(role)
    more["Properties"] = {"Roles": [{"Ref": "Reader"}], "PolicyDocument": _policy(5_241)}
    with pytest.raises(QuotaError, match="the policies of Reader together may have 10,241 characters"):
        check_policies(role)


def test_a_reference_counts_as_long_as_an_arn_may_be() -> None:
    document = _policy(5_000)
    document["Statement"][0]["Resource"] = {"Fn::Join": ["", [{"Fn::GetAtt": ["Table", "Arn"]}, "/index/*"]]}
    short = _template("AWS::Logs::ResourcePolicy", PolicyDocument=document)
    check_policies(short)
    document["Statement"] *= 30
    with pytest.raises(QuotaError):
        check_policies(short)
