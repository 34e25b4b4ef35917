"""Running the real helm on the chart, and finding things in what it made."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.serving import ROOT

CHART = ROOT / "helm" / "dnsd"
NEWEST = "1.33"  # the Kubernetes whose schemas objects are held to
Objects = list[dict[str, Any]]


def run(
    helm: str, folder: Path, values: dict[str, Any] | None, *command: str
) -> subprocess.CompletedProcess[str]:
    """What helm says to `command` (default: to render the chart) with these values."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values or {}))
    words = command or ("template", "demo", "--namespace", "dns")
    return subprocess.run(
        [helm, *words, str(CHART), "--values", str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "HELM_CACHE_HOME": str(folder), "HELM_CONFIG_HOME": str(folder)},
    )


def one(objects: Objects, kind: str, name: str = "") -> dict[str, Any]:
    """The one object of this kind (and name)."""
    (found,) = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    return found


def pod_of(objects: Objects) -> dict[str, Any]:
    """The spec of the Pods that the chart starts."""
    (workload,) = [o for o in objects if "template" in o.get("spec", {})]
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec
