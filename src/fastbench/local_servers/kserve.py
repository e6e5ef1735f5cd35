"""KServe's Python server: the Open Inference Protocol, and version 1 before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fastbench.local_servers.base import (
    FILES,
    ONNXRUNTIME,
    LocalServer,
    Place,
    files_by_name,
    get_json,
    model_urls,
    models_ready,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class KServe(LocalServer):
    """HTTP and gRPC by one process."""

    name: ClassVar = "kserve"
    about: ClassVar = "KServe 0.21.0, onnxruntime in its models"
    installs: ClassVar = (("kserve==0.21.0", ONNXRUNTIME),)
    ports: ClassVar = ("http", "grpc")

    def prepare(self, place: Place) -> list[str]:
        """Return the command."""
        words = [str(place.python), str(FILES / "kserve_app.py"), "--workers", "1"]
        words += ["--enable_latency_logging", "false"]
        for name in self.ports:
            words += [f"--{name}_port", str(place.ports[name])]
        return [*words, files_by_name(place)]

    def ready(self, ports: Mapping[str, int]) -> bool:
        """Ask for the readiness of the server and of each model."""
        get_json(ports["http"], "/v2/health/ready")
        return models_ready(ports["http"], "/v2/models/{}/ready")

    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return the URLs of both versions of its protocol."""
        return [
            *model_urls("triton+http", ports["http"]),
            *model_urls("triton+grpc", ports["grpc"]),
            *model_urls("tfserving+http", ports["http"]),
        ]
