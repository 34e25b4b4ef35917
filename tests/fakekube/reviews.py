"""TokenReview and SubjectAccessReview as the API server answers them."""

from __future__ import annotations

import json
from typing import Any

from tests.fakekube.selection import Refused, failure
from tests.fakekube.store import Plain

PLURALS = {  # plural -> (group, kind)
    "tokenreviews": ("authentication.k8s.io", "TokenReview"),
    "subjectaccessreviews": ("authorization.k8s.io", "SubjectAccessReview"),
}


class Reviews:
    """The users (token -> UserInfo), and the rules of RBAC.

    `grants`: triples (name of a user or a group, verb, nonResourceURL).
    """

    def __init__(self) -> None:
        self.users: dict[str, Plain] = {}
        # The ClusterRole system:discovery, which every cluster has.
        self.grants = {
            ("system:authenticated", "get", path)
            for path in ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/version")
        }

    def has(self, group: str, version: str, plural: str) -> bool:
        return version == "v1" and PLURALS.get(plural, ("",))[0] == group

    def answer(self, body: bytes, plural: str) -> Plain:
        """The object with its status. Raises Refused for an invalid one."""
        try:
            plain: Plain = json.loads(body)
        except ValueError as error:
            raise Refused(400, failure(400, "BadRequest", "not JSON")) from error
        group, kind = PLURALS[plural]
        if (plain.get("apiVersion"), plain.get("kind")) != (f"{group}/v1", kind):
            raise Refused(400, failure(400, "BadRequest", f"this is no {kind}"))
        spec = plain.get("spec", {})
        status = self._authenticate(spec) if kind == "TokenReview" else self._authorize(spec)
        return plain | {"metadata": {}, "status": status}

    def _authenticate(self, spec: Plain) -> Plain:
        if not spec.get("token"):
            raise _invalid('TokenReview "" is invalid: spec.token: Required value')
        user = self.users.get(spec["token"])
        if user is None:
            return {"user": {}, "error": "[invalid bearer token, Unauthorized]"}
        audiences = ["https://kubernetes.default.svc.cluster.local"]
        return {"authenticated": True, "user": user, "audiences": audiences}

    def _authorize(self, spec: Plain) -> Plain:
        attributes = [
            spec[name] for name in ("resourceAttributes", "nonResourceAttributes") if name in spec
        ]
        if len(attributes) != 1 or not (spec.get("user") or spec.get("groups")):
            raise _invalid("exactly one of the attributes, and user or group, must be specified")
        names = {spec.get("user", ""), *spec.get("groups", [])}
        allowed = any(
            name in names
            and verb in ("*", attributes[0].get("verb"))
            and _covers(path, attributes[0])
            for name, verb, path in self.grants
        )
        return {"allowed": True, "reason": "RBAC: allowed"} if allowed else {"allowed": False}


def _covers(path: str, attributes: Any) -> bool:
    """Whether a nonResourceURL of rbac/v1 matches; it may end in *."""
    wanted = str(attributes.get("path", ""))
    return wanted.startswith(path[:-1]) if path.endswith("*") else wanted == path


def _invalid(message: str) -> Refused:
    return Refused(422, failure(422, "Invalid", message))
