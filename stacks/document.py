"""Writes what the stacks are made of as pages: `python -m stacks.document settings > docs/settings.md`."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from stacks import settings
from stacks.settings import Settings, read_context

STATE_MACHINES: Final = Path(__file__).parents[1] / "state_machines"

_SHAPES: Final = {"Choice": ("{", "}"), "Map": ("[[", "]]"), "Succeed": ("([", "])"), "Fail": ("([", "])")}
_LONGEST_LABEL: Final = 45
"""Characters of a condition that a diagram shows: a longer one is in the definition."""


def settings_page() -> str:
    """What an environment can set, and what each has, Markdown."""
    environments = read_context()["environments"]
    meanings = _meanings()
    rows = [
        (
            f"`{name}`",
            f"{meanings[name]} Must be {wanted}.",
            *(f"`{json.dumps(one[name])}`" for one in environments.values()),
        )
        for name, wanted in Settings.wanted().items()
    ]
    return (
        "\n\n".join(
            [
                "# Settings",
                "Made of [stacks/settings.py](../stacks/settings.py) and [cdk.json](../cdk.json) by "
                "`python -m stacks.document settings > docs/settings.md`: change it there. Every setting is in "
                "`cdk.json` for each environment; one that is missing, unknown or out of range stops the synthesis "
                "with a sentence that names it. `-c name=value` takes the place of one for one deployment.",
                _table(("setting", "what it is", *environments), rows),
            ]
        )
        + "\n"
    )


def _meanings() -> dict[str, str]:
    """The texts below the fields of Settings: at run time Python has none of them."""
    module = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    (fields,) = [one.body for one in module.body if isinstance(one, ast.ClassDef) and one.name == Settings.__name__]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(fields)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def state_machines_page() -> str:
    """The state machines as diagrams, Markdown."""
    parts = [
        "# State machines",
        "Made of the definitions in `state_machines/` by "
        "`python -m stacks.document state_machines > docs/state_machines.md`: change it there. Arrows show what leads "
        "where; what is retried, and how, stands in the definition. A failure ends the execution at its task, and a "
        "redrive goes on there. Only tasks of Stage catch, and only permanent answers about their one object "
        "([why](decisions/0016-what-s3-refuses-is-a-verdict.md)); and StartPart, only that a part was started before "
        "([why](decisions/0025-a-batch-of-too-many-bytes-is-divided.md)).",
    ]
    for path in sorted(STATE_MACHINES.glob("*.asl.json"), reverse=True):
        definition = json.loads(path.read_text(encoding="utf-8"))
        parts += [f"## {path.name}", f"[The definition](../state_machines/{path.name}). {definition['Comment']}"]
        parts += _with_diagram(definition)
    return "\n\n".join(parts) + "\n"


def _with_diagram(graph: Mapping[str, Any]) -> Iterator[str]:
    """The diagram of a graph, a table of its states, and the same of what its Maps do for each item."""
    states = graph["States"].items()
    yield f"```mermaid\n{diagram(graph)}\n```"
    yield _table(
        ("state", "what it does", "why"),
        [(f"`{name}`", _does(state), state.get("Comment", "")) for name, state in states],
    )
    for name, state in states:
        if "ItemProcessor" in state:
            yield f"### {name}, for each item"
            yield from _with_diagram(state["ItemProcessor"])


def diagram(graph: Mapping[str, Any]) -> str:
    """A state machine, or what a Map runs for each item, as a flow chart in Mermaid.

    Args:
        graph: `StartAt` and `States` of the Amazon States Language, with JSONata.
    """
    lines = ["flowchart TD", f"begin(( )) --> {graph['StartAt']}"]
    for name, state in graph["States"].items():
        left, right = _SHAPES.get(state["Type"], ("[", "]"))
        lines += [f'{name}{left}"{name}"{right}', *(f"{name} -->{label} {next_}" for label, next_ in _arrows(state))]
    return "\n    ".join(lines)


def _arrows(state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for choice in state.get("Choices", []):
        condition = choice["Condition"].removeprefix("{%").removesuffix("%}").strip()
        yield ("" if len(condition) > _LONGEST_LABEL else f'|"{_escaped(condition)}"|'), choice["Next"]
    if "Default" in state:
        yield '|"else"|', state["Default"]
    for catcher in state.get("Catch", []):
        yield '|"caught"|', catcher["Next"]
    if "Next" in state:
        yield "", state["Next"]


def _escaped(text: str) -> str:
    """A text within Mermaid's quotes."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace(">", "#gt;").replace("<", "#lt;")


def _does(state: Mapping[str, Any]) -> str:
    if "Resource" in state:
        return f"`{state['Resource'].partition(':::')[2]}`"
    if state["Type"] == "Fail":
        return f"Fail with `{state['Error']}`"
    return str(state["Type"])


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [titles, ("---",) * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


PAGES: Final[Mapping[str, Callable[[], str]]] = {"settings": settings_page, "state_machines": state_machines_page}

if __name__ == "__main__":
    print(PAGES[sys.argv[1]](), end="")
