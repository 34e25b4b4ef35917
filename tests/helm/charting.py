"""Run helm on the chart, and find objects in its output."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.serving import ROOT

CHART = ROOT / "helm" / "dnsd"
NEWEST = "1.33"  # the Kubernetes version whose schemas the objects must match
Objects = list[dict[str, Any]]


def run(
    helm: str, folder: Path, values: dict[str, Any] | None, *command: str
) -> subprocess.CompletedProcess[str]:
    """The result of a helm command with these values; by default, it renders the chart."""
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
    """The single object of this kind (and name)."""
    (found,) = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    return found


def pod_of(objects: Objects) -> dict[str, Any]:
    """The spec of the Pods of the workload."""
    (workload,) = [o for o in objects if "template" in o.get("spec", {})]
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec
