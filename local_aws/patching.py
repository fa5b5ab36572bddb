"""How this package corrects moto: attributes of its classes are replaced inside the server's process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

MotoObject: TypeAlias = Any
"""An object of moto whose class carries no types, or has attributes that a patch added."""

JsonValue: TypeAlias = Any
"""None, bool, int, float, str, or a list or dict of them."""


def replace(owner: MotoObject, name: str, replacement: object) -> Callable[..., Any]:
    """Replace an attribute of a class or module of moto.

    Args:
        owner: Class or module.
        name: The attribute; it must exist, so that a moto that has changed is noticed at once.
        replacement: What takes its place.

    Returns:
        What was there.

    Raises:
        AttributeError: There is no such attribute: this moto is not the one that the patch was written for.
    """
    original: Callable[..., Any] = getattr(owner, name)
    setattr(owner, name, replacement)
    return original
