"""Manifests read once, without serving: what `check`, `zone`, and other commands look at.

In `control/` (control process). Change here: how commands get a zone without a server.

The path is that of a running dnsd, from the source to the zone, with a fixed serial and without a
clock. So the same manifests give the same output, and `diff` can compare two outputs.
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
    """The manifests of `directory`, their problems, and the pipeline with their zone."""

    directory: str
    loaded: Loaded
    pipeline: Pipeline

    def problems(self) -> list[str]:
        """One line for each problem: first refused manifests, then objects that are not served."""
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

    Raises SettingsError if the directory cannot be read.
    """
    logging.configure("error", "text")  # `problems` reports the rest
    try:
        loaded = load(settings.manifests.directory, settings.manifests.service_cidr)
    except SourceError as error:
        raise SettingsError(f"{settings.named('manifests')}: {error}") from error
    addresses = [endpoint.address for endpoint in settings.transport.listen]
    pipeline = Pipeline(schema_config(settings, addresses), SERIAL, log=log)
    pipeline.feed(Batch(loaded.objects, synced=True), 0.0)
    pipeline.zone.serial = SERIAL
    return Offline(settings.manifests.directory, loaded, pipeline)


def views_of(settings: Settings, pipeline: Pipeline) -> ViewZones | None:
    """The views of this pipeline; None if every client sees everything."""
    config = settings.views
    if not config.on:
        return None
    view_zones = ViewZones(config, pipeline)
    view_zones.follow(pipeline.state.keys("Pod", "Node"))
    view_zones.finish()
    return view_zones
