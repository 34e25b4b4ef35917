"""Explanations over the cluster of the query tables, for tests."""

from __future__ import annotations

from dnsd.dns.types import Type
from dnsd.explain.explain import (
    Explanation,
    Question,
    Runtime,
    explain,
    interpret,
)
from dnsd.zone.pipeline import Pipeline
from tests.answer.building import pipeline_of
from tests.cases import cluster

PIPELINE = pipeline_of(cluster.objects())


def explained(
    name: str,
    type_: Type = Type.A,
    pipeline: Pipeline = PIPELINE,
    runtime: Runtime | None = None,
    **more: object,
) -> Explanation:
    question = Question(name, int(type_), **more)  # type: ignore[arg-type]
    return explain(pipeline, interpret(pipeline, question), runtime)
