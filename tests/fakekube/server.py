"""A small API server that behaves like the real one as far as a watch can observe.

Tests compare it with the recordings of a real one (`test_recordings.py`) and with the official
client (`test_official_client.py`). Clients read; tests write through `store`. By POST it accepts
reviews only, which it answers and does not store.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time

from aiohttp import web
from msgspec import Struct

from tests.fakekube import faults
from tests.fakekube.faults import Fault
from tests.fakekube.plain import kubeconfig
from tests.fakekube.reviews import Reviews
from tests.fakekube.selection import (
    JSON,
    Refused,
    Selection,
    Start,
    failure,
    forbidden,
    headers,
    line,
)
from tests.fakekube.store import Plain, Store, encode

RESOURCES = {  # (group, version, plural) -> kind
    ("", "v1", "namespaces"): "Namespace",
    ("", "v1", "services"): "Service",
    ("", "v1", "pods"): "Pod",
    ("", "v1", "nodes"): "Node",
    ("discovery.k8s.io", "v1", "endpointslices"): "EndpointSlice",
    ("networking.k8s.io", "v1", "ingresses"): "Ingress",
    ("gateway.networking.k8s.io", "v1", "gateways"): "Gateway",
    ("gateway.networking.k8s.io", "v1", "httproutes"): "HTTPRoute",
    ("gateway.networking.k8s.io", "v1", "grpcroutes"): "GRPCRoute",
    ("gateway.networking.k8s.io", "v1alpha2", "tlsroutes"): "TLSRoute",
    ("externaldns.k8s.io", "v1alpha1", "dnsendpoints"): "DNSEndpoint",
}

# Not part of a plain server: they exist once their CRDs are installed.
CRDS = frozenset({"gateways", "httproutes", "grpcroutes", "tlsroutes", "dnsendpoints"})


class Seen(Struct):
    """A request that arrived."""

    verb: str  # list, watch, get, create
    plural: str
    params: dict[str, str]
    token: str = ""
    path: str = ""
    peer: int = 0  # the port of the client


class FakeKube:
    """The server. `async with FakeKube() as kube:` it listens at `kube.url`.

    `watch_list`: "on"; "error" (in-stream ERROR 500), "invalid" (422), "bad" (400), or "ignored"
    (an older server). `tokens`: those that authorize; empty: every client is authorized.
    `forbidden`: pairs (verb, plural). `forbidden_namespaces`: as if they had no Role.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        watch_list: str = "on",
        bookmark_every: float = 60.0,
        uid: str = "",
    ) -> None:
        self.store = Store()
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.tokens: set[str] = set()
        self.forbidden: set[tuple[str, str]] = set()
        self.forbidden_namespaces: set[str] = set()
        self.not_installed = set(CRDS)  # plurals that this server does not have
        self.reviews = Reviews()  # users, their tokens, and their rights
        self.watch_list = watch_list
        self.bookmark_every = bookmark_every
        self.watchers = 0  # streams open now
        self.port = 0
        self._tls = tls
        self._runner: web.AppRunner | None = None
        self._streams_end = asyncio.Event()
        self.sent = asyncio.Event()  # an event of a watch was sent, at `sent_at` (monotonic)
        self.sent_at = 0.0
        for name in ("default", "kube-system"):
            meta = {"name": name, "labels": {"kubernetes.io/metadata.name": name}}
            if name == "kube-system" and uid:
                meta["uid"] = uid
            plain = {"kind": "Namespace", "apiVersion": "v1", "metadata": meta}
            self.store.put("namespaces", plain | {"status": {"phase": "Active"}})

    # -- start and stop ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on an ephemeral port, or on the port of the last start."""
        app = web.Application()
        app.router.add_get("/version", self._version)
        app.router.add_get("/readyz", self._ready)
        for prefix in ("/api/{version}", "/apis/{group}/{version}"):
            app.router.add_get(prefix + "/{plural}", self._resource)
            app.router.add_get(prefix + "/namespaces/{namespace}/{plural}", self._resource)
            app.router.add_get(prefix + "/namespaces/{namespace}/{plural}/{name}", self._get)
        app.router.add_get("/api/{version}/{plural}/{name}", self._get)
        app.router.add_post("/apis/{group}/{version}/{plural}", self._create)
        app.router.add_get("/{rest:.*}", self._unknown)
        self._streams_end = asyncio.Event()
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner:
            self.end_streams()
            await self._runner.cleanup()
            self._runner = None

    def end_streams(self) -> None:
        """End every stream properly; clients may connect again."""
        self._streams_end.set()
        self._streams_end = asyncio.Event()
        self.store.wake()

    async def __aenter__(self) -> FakeKube:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def count(self, verb: str, plural: str = "") -> int:
        """The number of requests with this verb (for a resource)."""
        return sum(one.verb == verb and plural in ("", one.plural) for one in self.seen)

    def kubeconfig(self, user: Plain | None = None, cluster: Plain | None = None) -> str:
        """The text of a kubeconfig with this server as its one context, `fake`."""
        return kubeconfig(self.url, user, cluster)

    # -- handlers -----------------------------------------------------------------------

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return self._json({"major": "1", "minor": "36", "gitVersion": "v1.36.2"})

    async def _ready(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok", headers=headers())

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="404 page not found\n", headers=headers())

    async def _get(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        name, plural = info["name"], info["plural"]
        try:
            fault = self._admit(request, "get", plural)
        except Refused as refused:
            return self._json(refused.status, refused.code, refused.headers)
        if fault is not None and fault.what == "silence":
            await asyncio.sleep(fault.pause or 60)
        found = self.store.objects.get(plural, {}).get((info.get("namespace", ""), name))
        if found is None:
            message = f'{plural} "{name}" not found'
            details = {"name": name, "kind": plural}
            return self._json(failure(404, "NotFound", message, details=details), 404)
        return web.Response(body=found.raw, headers=headers() | JSON)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        group, plural = info["group"], info["plural"]
        if not self.reviews.has(group, info["version"], plural):
            return await self._unknown(request)
        try:
            fault = self._admit(request, "create", plural, group)
            made = self.reviews.answer(await request.read(), plural)
        except Refused as refused:
            return self._json(refused.status, refused.code, refused.headers)
        if fault is not None and fault.what == "silence":
            await asyncio.sleep(60)
        return self._json(made, 201)

    async def _resource(self, request: web.Request) -> web.StreamResponse:
        info, query = request.match_info, dict(request.query)
        group, plural = info.get("group", ""), info["plural"]
        if info.get("namespace") and plural == "namespaces":  # /namespaces/X/namespaces
            return await self._unknown(request)
        kind = RESOURCES.get((group, info["version"], plural))
        if kind is None or plural in self.not_installed:
            return await self._unknown(request)
        watching = query.get("watch", "") in ("true", "1")
        verb = "watch" if watching else "list"
        try:
            fault = self._admit(request, verb, plural, group)
            api = f"{group}/{info['version']}".lstrip("/")
            selection = Selection(self.store, kind, api, plural, info.get("namespace", ""), query)
            if watching:
                return await self._watch(request, selection, fault)
            body = selection.page()
        except Refused as refused:
            return self._json(refused.status, refused.code, refused.headers)
        return await self._send(request, body, fault)

    def _admit(self, request: web.Request, verb: str, plural: str, group: str = "") -> Fault | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        transport = request.transport
        port = transport.get_extra_info("peername")[1] if transport else 0
        self.seen.append(Seen(verb, plural, dict(request.query), token, request.path, port))
        certificate = transport.get_extra_info("peercert") if transport else None
        if (
            self.tokens
            and not certificate
            and (scheme.lower() != "bearer" or token not in self.tokens)
        ):
            raise Refused(401, failure(401, "Unauthorized", "Unauthorized"))
        closed = request.match_info.get("namespace", "") in self.forbidden_namespaces
        if closed or (verb, plural) in self.forbidden:
            raise Refused(403, forbidden(verb, plural, group))
        fault = faults.take(self.faults, plural, verb)
        if fault is not None and fault.what == "status":
            more = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            status = failure(fault.code, fault.reason, fault.message)
            raise Refused(fault.code, status, more)
        return fault

    def _json(
        self, plain: Plain, code: int = 200, more: dict[str, str] | None = None
    ) -> web.StreamResponse:
        every = headers() | JSON | (more or {})
        return web.Response(status=code, body=encode(plain), headers=every)

    async def _send(
        self, request: web.Request, body: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is None:
            return web.Response(body=body, headers=headers() | JSON)
        pipe = await self._open(request, fault)
        await pipe.write(body)
        return await pipe.end()

    async def _open(self, request: web.Request, fault: Fault | None) -> Pipe:
        response = web.StreamResponse(headers=headers() | JSON)
        response.enable_chunked_encoding()
        await response.prepare(request)
        return Pipe(request, response, fault)

    async def _watch(
        self, request: web.Request, selection: Selection, fault: Fault | None
    ) -> web.StreamResponse:
        start = selection.start(self.watch_list)
        pipe = await self._open(request, fault)
        if fault is not None and fault.what == "error":
            status = failure(fault.code, fault.reason, fault.message)
            await pipe.write(line("ERROR", encode(status)))
            return await pipe.end()
        if fault is not None and fault.what == "close":
            return await pipe.end()
        timeout = float(selection.query.get("timeoutSeconds") or 1800)
        self.watchers += 1
        try:
            with contextlib.suppress(TimeoutError, Broken):
                async with asyncio.timeout(timeout):
                    if fault is not None and fault.what == "silence":
                        await asyncio.Event().wait()
                    await self._stream(pipe, selection, start)
            return await pipe.end()
        except Broken:
            return pipe.response
        finally:
            self.watchers -= 1

    async def _stream(self, pipe: Pipe, selection: Selection, start: Start) -> None:
        # Several lines in one chunk unless there is a fault, as the real server sends them.
        step = 1 if pipe.fault else 64
        for at in range(0, len(start.lines), step):
            await pipe.write(b"".join(start.lines[at : at + step]))
        if start.over:
            return
        last, streams_end = start.revision, self._streams_end
        while not streams_end.is_set():
            more = self.store.more  # before the look at the log, so that no write is missed
            if last < self.store.compacted:
                await pipe.write(selection.too_old(last))
                return
            for write in self.store.since(last):
                last = write.revision
                if event := selection.event(write):
                    self.sent_at = time.monotonic()
                    self.sent.set()
                    await pipe.write(event)
            if await self._quiet(more) and selection.bookmarks and last <= self.store.revision:
                await pipe.write(selection.bookmark(last))

    async def _quiet(self, more: asyncio.Event) -> bool:
        """Wait for a write or the end. Returns True when a bookmark is due instead."""
        try:
            async with asyncio.timeout(self.bookmark_every):
                await more.wait()
        except TimeoutError:
            return True
        return False


class Broken(Exception):
    """The connection was cut, by a fault or by the client."""


class Pipe:
    """The body of one answer, sent through a fault."""

    def __init__(
        self, request: web.Request, response: web.StreamResponse, fault: Fault | None
    ) -> None:
        self.request, self.response, self.fault = request, response, fault
        self.sent = 0

    async def write(self, data: bytes) -> None:
        fault = self.fault
        try:
            if fault is None or fault.what not in ("cut", "split", "drip"):
                await self.response.write(data)
            elif fault.what == "cut" and self.sent + len(data) > fault.after:
                await self.response.write(data[: fault.after - self.sent])
                self._abort()
                raise Broken
            elif fault.what == "split" or self.sent >= fault.after:
                await self._pieces(data, fault)
            else:
                await self.response.write(data)
        except ConnectionError as error:
            raise Broken from error
        self.sent += len(data)

    async def _pieces(self, data: bytes, fault: Fault) -> None:
        for start in range(0, len(data), fault.size):
            await self.response.write(data[start : start + fault.size])
            await asyncio.sleep(fault.pause)

    def _abort(self) -> None:
        transport = self.request.transport
        if transport is not None:
            transport.close()  # after what was written, and without the last chunk

    async def end(self) -> web.StreamResponse:
        with contextlib.suppress(ConnectionError):
            await self.response.write_eof()
        return self.response
