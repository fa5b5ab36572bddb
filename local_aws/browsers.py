"""Keeps web pages away from the servers of this package: any page may send requests to 127.0.0.1.

https://developer.mozilla.org/en-US/docs/Web/Security/Attacks/DNS_Rebinding and .../CSRF
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from werkzeug.datastructures import Headers
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NAMES: Final = ("127.0.0.1", "localhost")
"""Names under which the servers answer. A bucket is named by the path: <bucket>.localhost is none of them."""

_OWN_SITES: Final = frozenset({"none", "same-origin"})
"""Sec-Fetch-Site of an address that somebody types or follows from a local page."""

_SAFETY: Final = {
    "Content-Security-Policy": "sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of an answer: it runs no script, has no origin, is in no frame, and sends no other site its address."""

_SAFETY_OF_PAGES: Final = _SAFETY | {
    "Content-Security-Policy": "sandbox allow-downloads allow-same-origin; default-src 'none'; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Those of a page of this package. Without an origin, a link in it would be another site's request."""

_SHOWN: Final = frozenset({"application/json", "text/csv", "text/plain"})
"""Types that a browser shows as text, or saves."""


def own_hosts_only(application: WSGIApplication, port: int) -> WSGIApplication:
    """Return an application that refuses requests for other hosts: a page of one whose name leads here sends its own.

    Args:
        application: What answers the others.
        port: Where it listens.
    """
    hosts = {f"{name}:{port}" for name in NAMES}

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").lower() in hosts:
            return application(environ, start_response)
        return _refusal(f"Use the host {' or '.join(sorted(hosts))}.")(environ, start_response)

    return checked


def no_foreign_pages(application: WSGIApplication, pages: Mapping[str, Callable[[], str]]) -> WSGIApplication:
    """Return an application that refuses what the pages of other sites request, and whose own answers are inert.

    No page has business here, so whatever has an `Origin` is refused, a preflight request included, and no answer has a
    CORS header.

    Args:
        application: What answers the others.
        pages: Path to a page in HTML, beside the application.
    """

    def checked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        site = environ.get("HTTP_SEC_FETCH_SITE", "none").lower()
        start = _safely(environ, start_response)
        if "HTTP_ORIGIN" in environ or site not in _OWN_SITES:
            return _refusal("Web pages may not use the embedded AWS. Type the address to open it.")(environ, start)
        page = pages.get(environ["PATH_INFO"])
        if page is None:
            return application(environ, start)
        return Response(page(), mimetype="text/html", headers=_SAFETY_OF_PAGES)(environ, start_response)

    return checked


def _refusal(reason: str) -> Response:
    return Response(f"Refused: {reason}\n", 403, content_type="text/plain; charset=utf-8")


def _safely(environ: WSGIEnvironment, start_response: StartResponse) -> StartResponse:
    """Add the headers of `_SAFETY` to an answer.

    What a presigned address gives is saved and not shown, unless its signer has named the type or it is plain text: the
    type of an object is its uploader's to choose.
    """

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:  # noqa: ANN401
        safe = Headers(headers)
        for name, value in _SAFETY.items():
            safe.set(name, value)
        if _is_uploaders_choice(environ) and parse_options_header(safe.get("Content-Type"))[0] not in _SHOWN:
            safe.setdefault("Content-Disposition", "attachment")
        return start_response(status, safe.to_wsgi_list(), exc_info)

    return start


def _is_uploaders_choice(environ: WSGIEnvironment) -> bool:
    query = parse_qs(environ.get("QUERY_STRING", ""))
    return "X-Amz-Signature" in query and "response-content-type" not in query
