"""How Sphinx makes a site of these pages, which GitHub shows as well: `make docs`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from astroid.manager import AstroidManager
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = ("glue_scripts", "validators", "lambdas", "stacks", "local_aws", "operations")

project = "Music KPI pipeline"
extensions = ["myst_parser", "autoapi.extension"]

# Anchors and diagrams as GitHub has them.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

# Read, not imported: docstrings need neither Spark nor the CDK.
autoapi_dirs = [str(ROOT / folder) for folder in FOLDERS]
autoapi_root = "modules"
autoapi_options = ["members", "show-module-summary"]
autoapi_member_order = "bysource"
autoapi_add_toctree_entry = False
suppress_warnings = ["autoapi.python_import_resolution"]

highlight_language = "none"
html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sourcelink = False
# `make docs` puts it beside the pages, from the package that package.json pins.
html_js_files = ["mermaid.min.js"]


class Mermaid(Directive):  # type: ignore[misc] # docutils ships no types
    """A diagram: its text, which Mermaid draws in the browser."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        """The text in the element that Mermaid looks for."""
        text = "\n".join(self.content).replace("&", "&amp;").replace("<", "&lt;")
        return [nodes.raw("", f'<pre class="mermaid">\n{text}\n</pre>', format="html")]


def name_anchors(app: Sphinx, docname: str, source: list[str]) -> None:
    """Makes a target of an anchor, which GitHub wants as HTML, so that Sphinx checks the links to it."""
    source[0] = re.sub(r'^<a id="([a-z0-9-]+)"></a>$', r"(\1)=", source[0], flags=re.MULTILINE)


def unlink_what_is_no_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Makes text of the links to folders and to pages outside of these: the site has none of them."""
    folder = Path(str(app.srcdir), docname).parent

    def replaced(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        is_ours = target.is_relative_to(Path(str(app.srcdir)))
        return link[0] if is_ours or (target.suffix != ".md" and target.is_file()) else link[1]

    source[0] = re.sub(r"\[([^]]+)\]\((\.\./[^)#]+)\)", replaced, source[0])


def as_restructured_text(app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Docstrings are Google's with code, tables and, below a colon, indented text as in Markdown."""
    text = "\n".join(f"    {line}" if line.startswith("|") else _as_code(line) for line in lines)
    text = re.sub(r":\n\n(?=    )", "::\n\n", text)
    lines[:] = re.sub(r"\n\n(?=    \|)", "\n\n::\n\n", text).splitlines()
    if what not in {"attribute", "data", "property"}:  # there Napoleon takes what stands before a colon for a type
        lines[:] = GoogleDocstring(lines).lines()


def _as_code(line: str) -> str:
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``\\ ", line)


def list_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Makes Sphinx's navigation of the links that an index lists, by its headings, and lists the modules."""
    if docname == "modules":
        source[0] += "\n".join(
            ["", "```{toctree}", ":maxdepth: 2", "", *(f"modules/{one}/index" for one in FOLDERS), "```"]
        )
    if docname not in ("index", "decisions/index"):
        return
    for section in re.split(r"^#+ ", source[0], flags=re.MULTILINE)[1:]:
        pages = re.findall(r"^- \[[^]]+\]\(([^)]+)\.md\)", section, flags=re.MULTILINE)
        if pages:
            caption = section.splitlines()[0]
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def modules_of_others() -> Iterator[str]:
    """The modules that ours import from other packages, with the packages that they are in."""
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                parts = name.split(".")
                if parts[0] not in FOLDERS:
                    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def setup(app: Sphinx) -> None:
    """Adds what is ours."""
    # Nothing on these pages comes from other packages, and following imports into them takes most of a minute.
    AstroidManager().module_denylist.update(modules_of_others())
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", name_anchors)
    app.connect("source-read", unlink_what_is_no_page)
    app.connect("source-read", list_pages)
    app.connect("autodoc-process-docstring", as_restructured_text)
