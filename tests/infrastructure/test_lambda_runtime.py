"""The functions' Python: it is supported for years, and the code that is tested here runs on it, too."""

from __future__ import annotations

import ast
import importlib.resources
import json
import sys
import zipfile
from pathlib import Path

import pytest

from tests.infrastructure.templates import Deployment, Template, resources

OLDEST = (3, 13)

# https://docs.python.org/3/whatsnew/3.12.html and 3.13.html, "Removed".
REMOVED_MODULES = frozenset(
    {
        *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr", "imp"),
        *("lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd"),
        *("sunau", "telnetlib", "uu", "xdrlib"),
    }
)


def _functions(deployment: Deployment) -> list[Template]:
    return [
        function["Properties"]
        for template in deployment.templates.values()
        for function in resources(template, "AWS::Lambda::Function")
    ]


def _sources(deployment: Deployment, function: Template) -> dict[str, str]:
    """Source by path of what a function's zip holds."""
    key = Path(function["Code"]["S3Key"])
    with zipfile.ZipFile(deployment.outdir / f"asset.{key}") as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}


def _problems(source: str) -> list[str]:
    """What keeps a module from running on the Python of the tests or on a later one."""
    return [
        f"{module} is gone"
        for node in ast.walk(ast.parse(source, feature_version=sys.version_info[:2]))
        for module in _imported(node)
        if module.partition(".")[0] in REMOVED_MODULES
    ]


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return [node.module]
    return []


def test_every_function_runs_on_a_python_that_is_supported_for_years(deployment: Deployment) -> None:
    runtimes = [function["Runtime"] for function in _functions(deployment)]
    assert len(runtimes) == 2
    for runtime in runtimes:
        major, minor = runtime.removeprefix("python").split(".")
        assert (int(major), int(minor)) >= OLDEST


def test_no_runtime_is_on_the_linter_s_list_of_deprecations_before_2029(dev: Deployment) -> None:
    lifecycle = importlib.resources.files("cfnlint") / "data" / "AdditionalSpecs" / "LmbdRuntimeLifecycle.json"
    known = json.loads(lifecycle.read_text(encoding="utf-8"))
    for function in _functions(dev):
        assert known[function["Runtime"]]["deprecated"] >= "2029-01-01"


def test_the_code_of_the_functions_is_valid_on_both_pythons(dev: Deployment) -> None:
    for function in _functions(dev):
        sources = _sources(dev, function)
        assert len(sources) > 3
        for name, source in sources.items():
            assert _problems(source) == [], name


@pytest.mark.filterwarnings("error::SyntaxWarning", "error::DeprecationWarning")
def test_the_code_of_the_functions_compiles_without_what_a_later_python_warns_of(dev: Deployment) -> None:
    for function in _functions(dev):
        for name, source in _sources(dev, function).items():
            compile(source, name, "exec")


@pytest.mark.parametrize("source", ["import distutils.version", "from cgi import parse", "def f():\n    import imp"])
def test_a_module_that_later_pythons_lack_is_found(source: str) -> None:
    assert _problems(source)
