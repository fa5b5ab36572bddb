"""What AWS takes at most, where a setting can come near it: checked at synth, because AWS would tell much later.

A role whose policy is too long fails a deployment half-way. A batch or a row that is too large fails a run, on the one
day on which a name is long, and each redrive of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

EXECUTION_INPUT_BYTES: Final = 262_144
"""https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

KEY_BYTES: Final = 1_024
"""Most bytes of an object key."""

VERSION_ID_BYTES: Final = 1_024
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html: URL-ready, at most 1,024 bytes."""

ESCAPED_BYTES: Final = 6
"""Most bytes of JSON for a byte of a text: a control character is written as `\\u0001`."""

EVENT_BYTES: Final = ESCAPED_BYTES * KEY_BYTES + VERSION_ID_BYTES + 700
"""Most bytes of an S3 event's `detail` as JSON: the longest key and version id, and everything else in it.

EventBridge Pipes gives a state machine the whole batch, limited by its bytes and not by its number of events
(https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html). It does not say that a
larger one is split: all its events would end as dead letters, those of other senders, too.
"""

ITEM_BYTES: Final = 400 * 1024
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

ID_BYTES: Final = 200
"""Most bytes of a track id and of a genre (docs/rules.md)."""

NAME_BYTES: Final = 300 * 4
"""Most bytes of a track's name and of its artists: 300 characters of four bytes."""

COUNTRIES: Final = 302
"""300 in SUMMARY, `other` and `unknown`."""

COUNTRY_BYTES: Final = 64

_FIELDS_BYTES: Final = 1_500
"""A row's other attributes, with the names of all."""

_HOURS_BYTES: Final = 24 * 250
"""A row's 24 hours: the names of five measures, and numbers of at most 21 bytes."""

_LISTED_BYTES: Final = 90
"""Names, numbers and overhead of an entry of a list or a map."""

POLICY_CHARACTERS: Final[Mapping[str, int]] = {
    "AWS::ApiGateway::RestApi": 8_192,
    "AWS::IAM::ManagedPolicy": 6_144,
    "AWS::Logs::ResourcePolicy": 5_120,
    "AWS::S3::BucketPolicy": 20_480,
}
"""Most characters of a policy, by the type of the resource that holds it; white space does not count.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html,
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html
"""

ROLE_CHARACTERS: Final = 10_240
"""Most characters of all inline policies of one role."""

TRUST_CHARACTERS: Final = 2_048
"""Most characters of a role's trust policy (a default that can be raised)."""

_LONGEST_PSEUDO_PARAMETERS: Final = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws-us-gov",
    "AWS::Region": "ap-southeast-1",
    "AWS::URLSuffix": "amazonaws.com.cn",
}
_LONGEST_REFERENCE: Final = "r" * 150
"""In place of an ARN that only the deployment knows."""


class QuotaError(ValueError):
    """A template holds more of something than AWS takes."""


def largest_batch_bytes(batch_size: int) -> int:
    """Bytes of an execution's input with so many files, each under the key that takes most of them."""
    return batch_size * EVENT_BYTES


def largest_genre_row_bytes(*, top_songs: int) -> int:
    """Bytes of a genre's row in the table `kpis`, with the longest names that the rules let pass.

    Args:
        top_songs: Entries in its list of songs.
    """
    return _FIELDS_BYTES + _HOURS_BYTES + top_songs * (ID_BYTES + 2 * NAME_BYTES + _LISTED_BYTES)


def largest_summary_bytes(*, top_genres: int) -> int:
    """Bytes of a SUMMARY, likewise.

    Args:
        top_genres: Entries in its list of genres.
    """
    snapshots = 2 * (VERSION_ID_BYTES + _LISTED_BYTES)
    countries = COUNTRIES * (COUNTRY_BYTES + _LISTED_BYTES)
    return _FIELDS_BYTES + snapshots + countries + top_genres * (ID_BYTES + _LISTED_BYTES)


def check_policies(template: Mapping[str, Any]) -> None:
    """Compare the policies of a template with what AWS takes.

    Raises:
        QuotaError: One is too long.
    """
    inline: dict[str, int] = {}
    for logical_id, resource in template.get("Resources", {}).items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind in POLICY_CHARACTERS:
            policy = properties.get("Policy" if kind == "AWS::ApiGateway::RestApi" else "PolicyDocument", {})
            _compare(f"the policy of {logical_id}", _characters(policy), POLICY_CHARACTERS[kind])
        if kind == "AWS::IAM::Role":
            _compare(
                f"the trust policy of {logical_id}",
                _characters(properties["AssumeRolePolicyDocument"]),
                TRUST_CHARACTERS,
            )
        for role, characters in _inline_policies(logical_id, kind, properties):
            inline[role] = inline.get(role, 0) + characters
    for role, characters in inline.items():
        _compare(f"the policies of {role} together", characters, ROLE_CHARACTERS)


def _inline_policies(logical_id: str, kind: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    if kind == "AWS::IAM::Role":
        for policy in properties.get("Policies", []):
            yield logical_id, _characters(policy["PolicyDocument"])
    if kind == "AWS::IAM::Policy":
        for role in properties.get("Roles", []):
            yield (
                str(role.get("Ref", role) if isinstance(role, dict) else role),
                _characters(properties["PolicyDocument"]),
            )


def _compare(what: str, characters: int, most: int) -> None:
    if characters > most:
        raise QuotaError(
            f"{what} may have {characters:,} characters; AWS takes {most:,}. Shorten the list in cdk.json that it is "
            "made of, or split the policy."
        )


def _characters(policy: object) -> int:
    return len(re.sub(r"\s", "", json.dumps(_longest(policy), separators=(",", ":"), ensure_ascii=False)))


def _longest(value: object) -> object:
    """A policy with the longest text in place of each intrinsic function."""
    match value:
        case {"Ref": str(name)}:
            return _LONGEST_PSEUDO_PARAMETERS.get(name, _LONGEST_REFERENCE)
        case {"Fn::Join": [str(delimiter), [*parts]]}:
            return delimiter.join(str(_longest(part)) for part in parts)
        case {"Fn::Sub": str(pattern)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: str(_longest({"Ref": found[1]})), pattern)
        case {"Fn::GetAtt": _} | {"Fn::ImportValue": _}:
            return _LONGEST_REFERENCE
        case dict():
            return {name: _longest(one) for name, one in value.items()}
        case list():
            return [_longest(one) for one in value]
        case _:
            return value
