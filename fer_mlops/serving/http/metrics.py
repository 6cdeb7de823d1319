"""Prometheus metrics of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest

if TYPE_CHECKING:
    from fer_mlops.serving.http.loaded_model import LoadedModel

_SECONDS = (0.002, 0.004, 0.006, 0.008, 0.010, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FACES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Counts:
    """Metrics of one service."""

    def __init__(self) -> None:
        # not the global registry, in which a second service of the process would clash
        self.registry = registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "fer_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "fer_request_seconds",
            "Time from the start of the request to the end of the response.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "fer_batch_faces", "Faces per forward pass.", buckets=_FACES, registry=registry
        )
        self.queue = Gauge("fer_queue_requests", "Requests in the queue.", registry=registry)
        self.answers = Counter(
            "fer_answers",
            "Faces predicted; a change of the mix means other pictures or another model.",
            ["slot", "emotion", "is_sure"],
            registry=registry,
        )
        self.models = Gauge(
            "fer_model", "Model in each slot.", ["slot", "name", "version"], registry=registry
        )
        self.switches = Counter(
            "fer_model_switches",
            "Versions loaded into a slot (done), or refused (failed).",
            ["slot", "outcome"],
            registry=registry,
        )
        self.reachable = Gauge(
            "fer_registry_reachable",
            "Whether the last check of the registry succeeded.",
            registry=registry,
        )
        self.reachable.set(1)

    def show_models(self, filled: Mapping[str, LoadedModel]) -> None:
        """Sets the model of each slot, and removes earlier ones."""
        self.models.clear()  # a version that is no longer served must not stay at 1
        for slot, served in dict(filled).items():
            self.models.labels(slot, served.card.name, served.card.version).set(1)

    def count_answers(self, slot: str, answers: list[dict[str, Any]]) -> None:
        """Counts predictions by emotion and sureness."""
        for answer in answers:
            self.answers.labels(slot, answer["emotion"], str(answer["is_sure"]).lower()).inc()

    def text(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
