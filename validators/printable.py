"""Text that a producer chose, such as a key or a name, made safe to show in an e-mail, a report or a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return the text in one line, with every character that is not shown as itself written as its escape.

    An ESC could recolour a terminal, a line break could forge a line of an e-mail, and a right-to-left override could
    make `exe.csv` look like `vsc.exe`. Escaped are the characters that `str.isprintable` refuses: control characters,
    line and paragraph separators, bidirectional and zero-width characters, lone surrogates, private and unassigned
    code points, and spaces other than the ASCII one. Everything else stays, a backslash too, so that the result is for
    eyes and cannot be turned back.

    Args:
        text: any text.

    Returns:
        The text with `\x1b`, `\u202e` or `\U000e0041` in place of those characters. It can be encoded as UTF-8.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def shortened(text: str, characters: int = 300) -> str:
    """Return the text, or its beginning and an ellipsis where it has more characters than that."""
    return text if len(text) <= characters else text[:characters] + "…"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
