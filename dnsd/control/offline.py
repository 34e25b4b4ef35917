"""Manifests read once, without serving: what `check`, `zone` and their like look at.

The same walk as in a running dnsd, source to zone, with a fixed serial and no clock, so
that the same manifests give the same output and `diff` is of use.
"""

from __future__ import annotations

import os

import structlog
from msgspec import Struct

from dnsd.control.resolve import schema_config
from dnsd.control.settings import Settings
from dnsd.control.views import ViewZones
from dnsd.observe import logging
from dnsd.settings.schema import SettingsError
from dnsd.sources.manifests.source import Loaded, load
from dnsd.sources.source import Batch, SourceError
from dnsd.zone.pipeline import Pipeline

log = structlog.get_logger(__name__)

SERIAL = 1


class Offline(Struct, frozen=True):
    """What the manifests in `directory` say (problems included) and what comes of it."""

    directory: str
    loaded: Loaded
    pipeline: Pipeline

    def problems(self) -> list[str]:
        """Everything that is wrong, a line each: what was refused, then what is not served."""
        refused = [str(problem) for problem in self.loaded.problems]
        origins = {thing.key: thing.origin for thing in self.loaded.objects}
        unserved = [
            f"{origins[contributor]}: {contributor}: {text.removeprefix(f'{contributor}: ')}"
            for contributor, texts in sorted(self.pipeline.problems.items())
            for text in texts
        ]
        return [os.path.join(self.directory, line) for line in refused + unserved]


def read(settings: Settings) -> Offline:
    """The manifests of `settings.manifests.directory` (which must be set), and their zone.

    Raises SettingsError when the directory cannot be read.
    """
    logging.configure("error", "text")  # what is wrong is told by `problems`
    try:
        loaded = load(settings.manifests.directory, service_cidrs=settings.manifests.service_cidr)
    except SourceError as error:
        raise SettingsError(f"{settings.named('manifests')}: {error}") from error
    addresses = [one.address for one in settings.transport.listen]
    pipeline = Pipeline(schema_config(settings, addresses), SERIAL, log=log)
    pipeline.feed(Batch(loaded.objects, synced=True), 0.0)
    pipeline.zone.serial = SERIAL
    return Offline(settings.manifests.directory, loaded, pipeline)


def views_of(settings: Settings, pipeline: Pipeline) -> ViewZones | None:
    """Who sees what of this pipeline; None when everybody sees everything."""
    config = settings.views
    if not config.on:
        return None
    view_zones = ViewZones(config, pipeline)
    view_zones.follow(thing.key for thing in pipeline.state.objects())
    return view_zones
