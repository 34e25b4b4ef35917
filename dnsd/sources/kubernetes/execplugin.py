"""Runs the exec plugin of a kubeconfig: a program that prints credentials.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: how a plugin is
run, and how its ExecCredential (client.authentication.k8s.io) is read.

The official package runs plugins too, but does not end a plugin when it stops waiting for it: a
plugin that hangs would add one process with each retry.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct


class PluginError(ValueError):
    """The plugin cannot be run, failed, or printed something else than an ExecCredential."""


class ExecStatus(Struct, rename="camel"):
    """`status` of an ExecCredential."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: Annotated[datetime, Meta(tz=True)] | None = None

    @property
    def user(self) -> dict[str, str]:
        """The same credentials as the fields of a user in a kubeconfig. Raises PluginError."""
        if self.token:
            return {"token": self.token}
        if not (self.client_certificate_data and self.client_key_data):
            raise PluginError("printed neither a token nor a client certificate with its key")
        pair = ("certificate", self.client_certificate_data), ("key", self.client_key_data)
        return {f"client-{name}-data": b64encode(pem.encode()).decode() for name, pem in pair}


class _ExecCredential(Struct, rename="camel"):
    api_version: str
    status: ExecStatus


async def run(section: Mapping[str, Any]) -> ExecStatus:
    """Run the plugin of the `exec` section of a kubeconfig. Canceling this ends the plugin.

    Raises PluginError.
    """
    pipe = asyncio.subprocess.PIPE
    try:
        version = section["apiVersion"]
        spec = {"interactive": sys.stdout.isatty()}
        info = {"apiVersion": version, "kind": "ExecCredential", "spec": spec}
        env = os.environ | {one["name"]: one["value"] for one in section.get("env") or ()}
        env["KUBERNETES_EXEC_INFO"] = json.dumps(info)
        words = [section["command"], *(section.get("args") or ())]
        process = await asyncio.create_subprocess_exec(*words, env=env, stdout=pipe, stderr=pipe)
    except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
        raise PluginError(f"cannot be run: {error!r}") from error
    try:
        out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        text = errors.decode("utf-8", "replace").strip()[:500]
        raise PluginError(f"ended with {process.returncode}: {text}")
    try:
        credential = msgspec.json.decode(out, type=_ExecCredential)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"did not print an ExecCredential: {error}") from error
    if credential.api_version != version:
        raise PluginError(f"printed the version {credential.api_version}, not {version}")
    return credential.status
