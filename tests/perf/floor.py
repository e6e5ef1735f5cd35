"""What the kernel alone asks for one request in flight: ``perf_floor.c``, which does nothing else.

A client that keeps one request in flight cannot cost less than a send, a wait and a receive. The
body goes out in the two cheapest ways known: copied by one call, or its pages passed on.
"""

from __future__ import annotations

import json
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECONDS = 3.0
WAYS = ("copied", "mapped")
_SOURCE = Path(__file__).with_name("perf_floor.c")


@dataclass(frozen=True)
class Exchange:
    """A request, whose body is zeros, and how many bytes its reply always has."""

    where: str  # a port on loopback, or the path of a unix socket
    head: str
    body_bytes: int
    tail: str
    reply_bytes: int


def build(folder: Path) -> Path:
    """Compile the program into ``folder`` and return it."""
    program = folder / "perf_floor"
    line = ["cc", "-std=gnu11", "-O2", "-o", str(program), str(_SOURCE)]
    subprocess.run(line, check=True, capture_output=True)
    return program


def cheapest(program: Path, exchange: Exchange, cpu: int) -> tuple[float, float]:
    """Return CPU microseconds per exchange, the cheaper of both ways, and exchanges per second."""
    return min(_measure(program, exchange, way, cpu) for way in WAYS)


def _measure(program: Path, exchange: Exchange, way: str, cpu: int) -> tuple[float, float]:
    request = [exchange.head, str(exchange.body_bytes), exchange.tail, str(exchange.reply_bytes)]
    line = ["taskset", "-c", str(cpu), str(program), exchange.where, *request, str(SECONDS), way]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    us, per_s = map(float, done.stdout.split())
    return us, per_s


def redis_set(where: str, body_bytes: int) -> Exchange:
    """Return a SET of so many bytes."""
    head = f"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${body_bytes}\r\n"
    return Exchange(where, head, body_bytes, "\r\n", len(b"+OK\r\n"))


def triton_http(port: int, model: str, floats: int) -> Exchange:
    """Return an inference of so many FP32; what its reply takes is tried once."""
    body_bytes = 4 * floats
    tensor = {"name": "in", "shape": [1, floats], "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": body_bytes}
    out = {"name": "out", "parameters": {"binary_data": True}}
    words = json.dumps({"inputs": [tensor], "outputs": [out]})
    lines = (
        f"POST /v2/models/{model}/infer HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Inference-Header-Content-Length: {len(words)}",
        f"Content-Length: {len(words) + body_bytes}",
    )
    head = "\r\n".join([*lines, "", words])
    return Exchange(str(port), head, body_bytes, "", _reply_bytes(port, head, body_bytes))


def _reply_bytes(port: int, head: str, body_bytes: int) -> int:
    with socket.create_connection(("127.0.0.1", port)) as peer, peer.makefile("rb") as reply:
        peer.sendall(head.encode() + bytes(body_bytes))
        read = [reply.readline()]
        if b" 200 " not in read[0]:
            msg = f"the server refuses: {read[0]!r}"
            raise RuntimeError(msg)
        while read[-1].strip():
            read.append(reply.readline())
        [length] = [line for line in read if line.lower().startswith(b"content-length:")]
        return sum(map(len, read)) + int(length.partition(b":")[2])
