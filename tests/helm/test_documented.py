"""The helm commands of the documentation, changed only to render the chart."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dnsd.control.settings import Settings
from dnsd.settings.schema import declared
from tests.helm.charting import NEWEST, Objects, one, pod_of
from tests.serving import ROOT

PAGES = ("docs/kubernetes.md", "config/examples/coredns-stub-domain/README.md")
# A command with its continued lines, and its here-document, if any.
_COMMAND = re.compile(
    r"^ *(helm (?:install|upgrade) (?:.*\\\n)*.*\n(?:(?<=<<EOF\n)(?:.*\n)*? *EOF\n)?)", re.M
)


def commands(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [found for block in text.split("```")[1::2] for found in _COMMAND.findall(block)]


COMMANDS = [(page, command) for page in PAGES for command in commands(page)]


def made_by(command: str, helm: str, folder: Path) -> Objects:
    """The objects that the command would apply."""
    script = re.sub(r"^helm \w+", '"$HELM" template', command)
    script = script.replace("--reset-then-reuse-values", "")
    caches = {"HELM_CACHE_HOME": str(folder), "HELM_CONFIG_HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=ROOT,
        env={**os.environ, **caches, "HELM": helm},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[c[1][:40] for c in COMMANDS])
def test_a_documented_command_makes_valid_objects(page, command, helm, tmp_path):
    objects = made_by(command, helm, tmp_path)
    for plain in objects:
        if plain["apiVersion"] != "monitoring.coreos.com/v1":
            kubernetes_validate.validate(plain, NEWEST, strict=True)
    settings = yaml.safe_load(one(objects, "ConfigMap", "dnsd")["data"]["dnsd.yaml"])
    assert settings.keys() <= declared(Settings).keys()


class TestCommands:
    def made(self, word: str, helm: str, folder: Path) -> Objects:
        (command,) = [c for page, c in COMMANDS if page == PAGES[0] and word in c]
        return made_by(command, helm, folder)

    def test_all_commands_of_the_pages_are_found(self):
        assert [len(commands(page)) for page in PAGES] == [6, 1]

    def test_dnsd_replaces_coredns_in_two_steps(self, helm, tmp_path):
        """First beside CoreDNS at an allocated address, so that the addresses cannot collide."""
        objects = self.made("kind: daemonset", helm, tmp_path)
        assert one(objects, "DaemonSet", "dnsd")
        assert "clusterIP" not in one(objects, "Service", "dnsd")["spec"]
        objects = self.made("service.clusterIP=10.96.0.10", helm, tmp_path)
        assert one(objects, "Service", "dnsd")["spec"]["clusterIP"] == "10.96.0.10"

    def test_the_tokens_are_read_from_a_secret(self, helm, tmp_path):
        objects = self.made("dnsd-tokens", helm, tmp_path)
        settings: dict[str, Any] = yaml.safe_load(
            one(objects, "ConfigMap", "dnsd")["data"]["dnsd.yaml"]
        )
        pod = pod_of(objects)
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        assert settings["admin_tokens"] == f"{mounts['tokens']}/tokens"
        (volume,) = [v for v in pod["volumes"] if v["name"] == "tokens"]
        assert volume["secret"]["defaultMode"] == 0o440
        names = {f"{o['kind'].lower()}/{o['metadata']['name']}" for o in objects}
        page = (ROOT / PAGES[0]).read_text(encoding="utf-8")
        for named in re.findall(r"exec deploy/(\S+)", page):
            assert f"deployment/{named}" in names
        assert "service/dnsd-admin" in names
        assert settings["admin_hosts"][:3] == [
            "dnsd-admin",
            "dnsd-admin.dnsd",
            "dnsd-admin.dnsd.svc",
        ]
