"""Which Node aws-cdk-lib runs on."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from stacks.node import OLDEST_SUPPORTED_NODE, NodeMissingError, use_supported_node


@pytest.fixture(autouse=True)
def machine_without_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an empty PATH; every test leaves the environment as it was."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JSII_NODE", "")  # so that it is restored, whatever the test makes of it
    monkeypatch.delenv("JSII_NODE")


def _install_node(folder: Path, answer: str) -> None:
    node = folder / "node"
    node.write_text(f"#!/bin/sh\necho {answer}\n")
    node.chmod(0o755)


@pytest.mark.parametrize("answer", ["v22.0.0", "v24.1.2", "v100.0.0"])
def test_a_supported_node_of_the_machine_is_used(answer: str, tmp_path: Path) -> None:
    _install_node(tmp_path, answer)
    use_supported_node()
    assert "JSII_NODE" not in os.environ


@pytest.mark.parametrize("answer", ["v20.20.2", "v8.0.0", "not-a-version"])
def test_an_older_node_gives_way_to_the_one_of_the_virtual_environment(answer: str, tmp_path: Path) -> None:
    _install_node(tmp_path, answer)
    use_supported_node()
    node = os.environ["JSII_NODE"]
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    assert int(version.removeprefix("v").partition(".")[0]) >= OLDEST_SUPPORTED_NODE


def test_a_machine_without_node_gets_the_one_of_the_virtual_environment() -> None:
    use_supported_node()
    assert Path(os.environ["JSII_NODE"]).is_file()


def test_a_node_that_is_named_to_jsii_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSII_NODE", "/opt/node")
    use_supported_node()
    assert os.environ["JSII_NODE"] == "/opt/node"


def test_without_any_node_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NodeMissingError, match=r"pip install -r requirements\.txt"):
        use_supported_node()
