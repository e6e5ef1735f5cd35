"""A null server that passes for a Triton with one model: for clients that ask before they send.

``oip_null.py http|grpc FLOATS``: the model ``m`` takes so many FP32 and gives 16. For each line of
its input it prints how many requests it has answered; the end of its input is its end.
Sources: KServe's Open Inference Protocol v2; Triton's model_config.proto for the configuration.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from fastbench._nullserver import NullServer
from fastbench.plan import PROTOCOL_GRPC, PROTOCOL_HTTP, NullAnswer
from fastbench.servers.oip_grpc import SERVICE
from fastbench.servers.protobuf import chunk, integer, packed

MODEL = "m"
OUTPUT_FLOATS = 16
EXTENSIONS = ("binary_tensor_data", "model_configuration")
MAX_BATCH = 8
TYPE_FP32 = 11  # of model_config.proto
READY = b"\x08\x01"  # a message whose field 1 is true


def http_answers(floats: int) -> tuple[NullAnswer, ...]:
    """Return what is answered by path over HTTP."""
    path = f"/v2/models/{MODEL}"
    metadata = {
        "name": MODEL,
        "versions": ["1"],
        "platform": "null",
        "inputs": [{"name": "in", "datatype": "FP32", "shape": [-1, floats]}],
        "outputs": [{"name": "out", "datatype": "FP32", "shape": [-1, OUTPUT_FLOATS]}],
    }
    config = {
        "name": MODEL,
        "platform": "",
        "backend": "null",
        "max_batch_size": MAX_BATCH,
        "input": [{"name": "in", "data_type": "TYPE_FP32", "dims": [floats]}],
        "output": [{"name": "out", "data_type": "TYPE_FP32", "dims": [OUTPUT_FLOATS]}],
    }
    about = {"name": "null", "version": "0", "extensions": EXTENSIONS}
    stats = {"model_stats": [{"name": MODEL, "version": "1", "inference_stats": {}}]}
    return (
        NullAnswer("/v2", _json(about)),
        NullAnswer("/v2/health/ready", b""),
        NullAnswer("/v2/health/live", b""),
        NullAnswer(f"{path}/ready", b""),
        NullAnswer(path, _json(metadata)),
        NullAnswer(f"{path}/config", _json(config)),
        NullAnswer(f"{path}/stats", _json(stats)),
        _inferred(f"{path}/infer"),
    )


def _inferred(path: str) -> NullAnswer:
    output = {
        "name": "out",
        "datatype": "FP32",
        "shape": [1, OUTPUT_FLOATS],
        "parameters": {"binary_data_size": 4 * OUTPUT_FLOATS},
    }
    head = _json({"model_name": MODEL, "model_version": "1", "outputs": [output]})
    fields = (f"Inference-Header-Content-Length: {len(head)}",)
    return NullAnswer(path, head + bytes(4 * OUTPUT_FLOATS), fields)


def grpc_answers(floats: int) -> tuple[NullAnswer, ...]:
    """Return what is answered by method over gRPC."""
    model = chunk(1, MODEL)
    about = chunk(1, "null") + chunk(2, "0") + b"".join(chunk(3, e) for e in EXTENSIONS)
    metadata = model + chunk(2, "1") + chunk(3, "null")
    metadata += chunk(4, _tensor("in", floats)) + chunk(5, _tensor("out", OUTPUT_FLOATS))
    config = model + integer(4, MAX_BATCH)
    config += chunk(5, _wanted("in", floats)) + chunk(6, _wanted("out", OUTPUT_FLOATS))
    config += chunk(17, "null")
    inferred = model + chunk(2, "1")
    inferred += chunk(5, chunk(1, "out") + chunk(2, "FP32") + packed(3, (1, OUTPUT_FLOATS)))
    inferred += chunk(6, bytes(4 * OUTPUT_FLOATS))
    answers = {
        "ServerLive": READY,
        "ServerReady": READY,
        "ServerMetadata": about,
        "ModelReady": READY,
        "ModelMetadata": metadata,
        "ModelConfig": chunk(1, config),
        "ModelStatistics": chunk(1, model + chunk(2, "1")),
        "ModelInfer": inferred,
    }
    return tuple(NullAnswer(f"{SERVICE}{name}", body) for name, body in answers.items())


def _tensor(name: str, floats: int) -> bytes:
    return chunk(1, name) + chunk(2, "FP32") + packed(3, (-1, floats))


def _wanted(name: str, floats: int) -> bytes:
    return chunk(1, name) + integer(2, TYPE_FP32) + packed(4, (floats,))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def main() -> None:
    """Serve until the end of the input."""
    kind, floats = sys.argv[1], int(sys.argv[2])
    protocol = {"http": PROTOCOL_HTTP, "grpc": PROTOCOL_GRPC}[kind]
    answers = (http_answers if kind == "http" else grpc_answers)(floats)
    with NullServer(protocol=protocol, answers=answers) as server:
        say(f"{kind} null server ready on 127.0.0.1:{server.port}")
        for _ in sys.stdin:
            say(str(sum(requests for _, requests, _ in server.stats())))


def say(line: str) -> None:
    """Print one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
