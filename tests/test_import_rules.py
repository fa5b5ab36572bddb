"""Who may import whom: the rules that keep the parts apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "stacks",
    "glue_scripts",
    "state_machines",
    "validators",
    "local_aws",
    "lambdas",
    "laptop",
    "operations",
    "samples",
    "docs",
    "benchmarks",
    "tests",
)
STANDARD_LIBRARY_ONLY = (
    "glue_scripts.kpi_sql",
    "glue_scripts.names",
    "validators.companion_files",
    "validators.rules",
    "validators.schemas",
)
"""Modules of the runtime that import nothing but the standard library and each other."""
OF_LAMBDAS = ("names", "objects", "ledger", "metrics", "forgotten_files")
"""Modules of the jobs that the functions import."""


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Full names of the modules that a source imports; `from a import b` counts as `a.b`.

    Args:
        source: Python source.
        package: Package that the source is in, dotted; relative imports start from it.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _imports_of(folder: str) -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        package = ".".join(path.parent.relative_to(ROOT).parts)
        for module in imported_modules(path.read_text(encoding="utf-8"), package):
            yield path.relative_to(ROOT).as_posix(), module


def _is_of(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _stacks(module: str) -> bool:
    # These need the standard library only: see below.
    return _is_of(module, "stacks", *STANDARD_LIBRARY_ONLY) or not _is_of(module, *FOLDERS)


def _validators(module: str) -> bool:
    return not _is_of(module, "boto3", "botocore", "stacks", "local_aws")


def _glue_scripts(module: str) -> bool:
    return not _is_of(module, "stacks", "local_aws")


def _local_aws(module: str) -> bool:
    return _is_of(module, "local_aws") or not _is_of(module, *FOLDERS, "app")


def _lambdas(module: str) -> bool:
    # These need the standard library and boto3 only, which Lambda has: see below.
    ours = ("lambdas", "validators.companion_files", *(f"glue_scripts.{name}" for name in OF_LAMBDAS))
    return _is_of(module, *ours, "boto3", "botocore", "mypy_boto3_dynamodb", "mypy_boto3_s3") or _is_standard(module)


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def _operations(module: str) -> bool:
    return _is_of(module, "operations", "glue_scripts", "validators") or not _is_of(module, *FOLDERS, "app")


RULES: dict[str, Callable[[str], bool]] = {
    "stacks": _stacks,
    "validators": _validators,
    "glue_scripts": _glue_scripts,
    "local_aws": _local_aws,
    "lambdas": _lambdas,
    "operations": _operations,
}


@pytest.mark.parametrize("folder", RULES)
def test_a_folder_imports_only_what_it_may(folder: str) -> None:
    imports = list(_imports_of(folder))
    assert imports, f"{folder}/ has no imports at all: was it renamed?"
    assert not [f"{path} imports {module}" for path, module in imports if not RULES[folder](module)]


@pytest.mark.parametrize("module", STANDARD_LIBRARY_ONLY)
def test_a_module_that_the_stacks_import_needs_the_standard_library_only(module: str) -> None:
    package = module.partition(".")[0]
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    for imported in imported_modules(source, package):
        assert _is_of(imported, *STANDARD_LIBRARY_ONLY) or _is_standard(imported)
    assert not list(imported_modules((ROOT / package / "__init__.py").read_text(encoding="utf-8"), package))


def test_storing_and_counting_import_neither_aws_nor_spark() -> None:
    """Neither do the modules that they import."""
    modules = ("counting", "kpi_items", "spread")
    program = f"""
import importlib, sys
for module in {modules}:
    importlib.import_module("glue_scripts." + module)
print(sorted(set(sys.modules) & {{"boto3", "botocore", "pyspark", "awsglue"}}))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("module", OF_LAMBDAS)
def test_what_lambdas_may_import_of_the_jobs_needs_no_more_than_lambda_has(module: str) -> None:
    source = (ROOT / "glue_scripts" / f"{module}.py").read_text(encoding="utf-8")
    assert all(_lambdas(name) or name.startswith("mypy_boto3_") for name in imported_modules(source, "glue_scripts"))


def test_every_folder_with_python_is_known_to_the_rules() -> None:
    not_ours = {"cdk.out", "node_modules", "build", "dist"}
    with_python = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and any(path.rglob("*.py"))
    }
    assert with_python - not_ours <= set(FOLDERS)


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("from glue_scripts import kpis", "stacks"),
        ("from glue_scripts.kpi_items import items_of", "stacks"),
        ("import glue_scripts", "stacks"),
        ("import validators.judge", "stacks"),
        ("from validators import reports", "stacks"),
        ("def f():\n    import boto3", "validators"),
        ("from botocore.exceptions import ClientError", "validators"),
        ("from stacks.settings import Settings", "glue_scripts"),
        ("import local_aws.server", "glue_scripts"),
        ("from glue_scripts import names", "local_aws"),
        ("from app import build_app", "local_aws"),
        ("from glue_scripts import kpis", "lambdas"),
        ("import requests", "lambdas"),
        ("from stacks import settings", "operations"),
        ("import local_aws.server", "operations"),
    ],
)
def test_a_forbidden_import_is_found(source: str, folder: str) -> None:
    allows = RULES[folder.partition(".")[0]]
    assert not all(allows(module) for module in imported_modules(source, folder))


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("from glue_scripts import names\nimport aws_cdk", "stacks"),
        ("from validators.rules import check_tolerances\nimport validators.schemas", "stacks"),
        ("from . import cloudformation\nfrom .inner import s3\nimport boto3", "local_aws"),
        ("import boto3\nfrom validators.schemas import SONGS", "glue_scripts"),
        ("import great_expectations", "validators"),
        ("import boto3\nimport json\nfrom glue_scripts.names import SUMMARY", "lambdas"),
    ],
)
def test_an_allowed_import_is_not_reported(source: str, folder: str) -> None:
    assert all(RULES[folder](module) for module in imported_modules(source, folder))
