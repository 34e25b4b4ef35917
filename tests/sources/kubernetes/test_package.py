"""What of the official client a process takes along."""

from __future__ import annotations

import subprocess
import sys

_LOOK = """
import sys
from dnsd.sources.kubernetes.package import aio_only

aio_only()
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config.kube_config import load_kube_config

print(*(name for name in ("requests", "urllib3", "kubernetes.client") if name in sys.modules))
from kubernetes import client
from kubernetes.aio import watch

print(client.V1Service.__name__, watch.Watch.__name__)
"""


def test_the_blocking_client_stays_out_until_somebody_wants_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["", "V1Service Watch"]


def test_what_is_here_already_stays() -> None:
    code = (
        "import kubernetes.aio, sys; before = sys.modules['kubernetes'];"
        "from dnsd.sources.kubernetes.package import aio_only; aio_only();"
        "assert sys.modules['kubernetes'] is before and before.aio.client"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
