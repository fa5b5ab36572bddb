"""The wildcards of policies.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
"""

from __future__ import annotations

import functools
import re
from typing import Final

_ARN_PARTS: Final = 6
"""arn, partition, service, region, account, and the resource, which may hold colons of its own."""


def matches(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Whether a text fits a pattern, in which `*` stands for any characters and `?` for one."""
    return _compiled(pattern, ignore_case).fullmatch(text) is not None


def matches_arn(pattern: str, arn: str) -> bool:
    """Whether an ARN fits a pattern.

    A wildcard stays within its part of the ARN, unless it is a `*` at the part's end: that one goes on over colons.
    """
    return _compiled_arn(pattern).fullmatch(arn) is not None


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    return re.compile(_regex(pattern, any_character="."), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


@functools.lru_cache(maxsize=4096)
def _compiled_arn(pattern: str) -> re.Pattern[str]:
    parts = pattern.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS:  # such as `*` alone
        return _compiled(pattern, ignore_case=False)
    *firsts, resource = parts
    before = [_regex(part.removesuffix("*"), any_character="[^:]") + ".*" * part.endswith("*") for part in firsts]
    return re.compile(":".join([*before, _regex(resource, any_character=".")]), re.DOTALL)


def _regex(pattern: str, *, any_character: str) -> str:
    wildcards = {"*": f"{any_character}*", "?": any_character}
    return "".join(wildcards.get(character) or re.escape(character) for character in pattern)
