"""A kubeconfig's exec plugin, run once: a program that prints credentials.

client.authentication.k8s.io, ExecCredential. The official package runs plugins too, and leaves
one that nobody waits for any more to itself: a plugin that hangs would become a process more
with every try. So this stands in for the package's `ExecProvider`, which still reads what the
kubeconfig says of the plugin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any


class ExecPlugin:
    """What `ExecProvider` is to the package: made of the `exec` section, then `run`."""

    def __init__(self, section: Any) -> None:
        """Raises the package's ConfigException for a section that is not complete."""
        from kubernetes.aio.config.exec_provider import ExecProvider

        self._said = ExecProvider(section)

    async def run(self) -> Mapping[str, Any]:
        """The `status` of the ExecCredential it prints; it ends when it is not waited for.

        Raises the package's ConfigException for a plugin that fails or prints something else;
        OSError when it cannot be started.
        """
        from kubernetes.aio.config.config_exception import ConfigException

        version = self._said.api_version
        spec = {"interactive": sys.stdout.isatty()}
        asked = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._said.args,
            env=self._said.env | {"KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdout=pipe,
            stderr=pipe,
        )
        try:
            out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            what = errors.decode("utf-8", "replace").strip()[:500]
            raise ConfigException(f"exec: the plugin ended with {process.returncode}: {what}")
        try:
            chunk = json.loads(out)
        except ValueError as error:
            raise ConfigException(f"exec: what the plugin prints is no JSON: {error}") from error
        if not isinstance(chunk, dict) or not isinstance(chunk.get("status"), dict):
            raise ConfigException("exec: the plugin prints no ExecCredential with a status")
        if chunk.get("apiVersion") != version:
            raise ConfigException(
                f"exec: the plugin speaks {chunk.get('apiVersion')}, not {version}"
            )
        status: Mapping[str, Any] = chunk["status"]
        return status
