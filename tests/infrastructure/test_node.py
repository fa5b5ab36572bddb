"""Which Node aws-cdk-lib runs on."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from stacks.node import NodeMissingError, use_supported_node


def _machine_with_node(answer: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    node = folder / "node"
    node.write_text(f"#!/bin/sh\necho {answer}\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JSII_NODE", raising=False)
    return str(folder)


@pytest.mark.parametrize("answer", ["v22.0.0", "v24.1.2", "v100.0.0"])
def test_a_supported_node_of_the_machine_is_used(answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _machine_with_node(answer, tmp_path, monkeypatch)
    use_supported_node()
    assert os.environ["PATH"] == path


@pytest.mark.parametrize("answer", ["v20.20.2", "v8.0.0", "not-a-version"])
def test_an_older_node_gives_way_to_the_one_of_the_virtual_environment(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _machine_with_node(answer, tmp_path, monkeypatch)
    use_supported_node()
    first, _, others = os.environ["PATH"].partition(os.pathsep)
    assert others == path
    assert (Path(first) / "node").is_file()


def test_a_machine_without_node_gets_the_one_of_the_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JSII_NODE", raising=False)
    use_supported_node()
    assert os.environ["PATH"] != str(tmp_path)


def test_a_node_that_is_named_to_jsii_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JSII_NODE", "/opt/node")
    use_supported_node()
    assert os.environ["PATH"] == str(tmp_path)


def test_without_any_node_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JSII_NODE", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NodeMissingError, match=r"pip install -r requirements\.txt"):
        use_supported_node()
