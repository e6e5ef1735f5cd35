"""A stand-in for TensorFlow Serving, on its official stubs: no package ships the real program."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fastbench.local_servers.base import (
    FILES,
    ONNXRUNTIME,
    LocalServer,
    Place,
    files_by_name,
    model_urls,
    models_ready,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class TensorFlowServing(LocalServer):
    """REST and gRPC by one process of ours, without TensorFlow."""

    name: ClassVar = "tfserving"
    about: ClassVar = "STAND-IN for TensorFlow Serving, on the stubs of tensorflow-serving-api"
    installs: ClassVar = (
        # In this order: both have the stubs, and the second has the newer ones.
        ("--no-deps", "tensorflow-protobuf==2.11.0"),
        ("--no-deps", "tensorflow-serving-api==2.21.0"),
        ("grpcio==1.85.1", "protobuf==7.36.2", ONNXRUNTIME),
    )
    ports: ClassVar = ("grpc", "http")

    def prepare(self, place: Place) -> list[str]:
        """Return the command."""
        program = str(FILES / "tfserving_standin.py")
        ports = [str(place.ports[name]) for name in self.ports]
        return [str(place.python), program, *ports, files_by_name(place)]

    def ready(self, ports: Mapping[str, int]) -> bool:
        """Ask for the status of each model."""
        return models_ready(ports["http"], "/v1/models/{}")

    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return the URLs over REST and gRPC."""
        return [
            *model_urls("tfserving+http", ports["http"]),
            *model_urls("tfserving+grpc", ports["grpc"]),
        ]
