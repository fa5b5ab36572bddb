"""What is served as it lies here: the description of the API, and the page with its assets."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lambdas.kpi_api.messages import JSON, Response, content_etag
from lambdas.kpi_api.problems import UnknownPathError

_FOLDER: Final = Path(__file__).parent
_OPENAPI: Final = (_FOLDER / "openapi.json").read_text("utf-8")

VERSION: Final[str] = json.loads(_OPENAPI)["info"]["version"]
"""Of the API."""

BASE: Final = '<base href="./">'
"""Where relative links of the page start; an address without the slash behind the stage needs another."""

_CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
# The key is typed in there: nothing of another site may run in the page, see it or be asked by it. uPlot sets styles
# by the DOM, which needs no 'unsafe-inline'.
_PAGE_HEADERS: Final = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
)


def openapi() -> Response:
    """The description of the API."""
    return _response(_OPENAPI, JSON)


def page(base_path: str) -> Response:
    """The page.

    Args:
        base_path: where the API begins in the client's eyes.
    """
    text = _read("index.html").replace(BASE, f'<base href="{html.escape(base_path)}">')
    return _response(text, _CONTENT_TYPES[".html"], _PAGE_HEADERS)


def asset(name: str) -> Response:
    """A file that the page loads.

    Raises:
        UnknownPathError: there is none of this name.
    """
    if name not in _assets():
        raise UnknownPathError
    return _response(_read(name), _CONTENT_TYPES[Path(name).suffix])


@cache
def _assets() -> frozenset[str]:
    known = (path for path in (_FOLDER / "page").iterdir() if path.suffix in _CONTENT_TYPES)
    return frozenset(path.name for path in known) - {"index.html"}


@cache
def _read(name: str) -> str:
    return (_FOLDER / "page" / name).read_text("utf-8")


def _response(text: str, content_type: str, headers: Mapping[str, str] = MappingProxyType({})) -> Response:
    kept = {"ETag": content_etag(text), "Cache-Control": "no-cache"}
    return Response(HTTPStatus.OK, {"Content-Type": content_type, **kept, **headers}, text)
