"""gRPC over TLS on both paths, against grpcio's server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from support.certificates import OPENSSL, Authority
from support.cli import fastbench
from support.driver import MS, S, drive
from support.grpcserver import Seen, calls, serving
from support.modelservers import Session
from support.oip_protobuf import oip, parsed

from fastbench.errors import ConnectError
from fastbench.plan import Data, Payload, Plan, Text, Tls
from fastbench.results import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.certificates import Pair

NAMES = "DNS:fastbench.test,IP:127.0.0.1"
REQUESTS = 30

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="needs openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a CA."""
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Return the server's certificate."""
    return authority.issue("server", NAMES)


def credentials(pair: Pair, clients: Authority | None = None) -> grpc.ServerCredentials:
    """Return what grpcio's server is to show; ``clients``: who signs those that it takes."""
    return grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.cert.read_bytes())],
        root_certificates=clients.cert.read_bytes() if clients else None,
        require_client_auth=clients is not None,
    )


class Standin:
    """The Open Inference Protocol, by a model in onnxruntime."""

    def __init__(self, model: Path) -> None:
        self.session = Session(model)

    def __call__(self, path: str, request: bytes, _context: grpc.ServicerContext) -> bytes:
        """Answer one call."""
        answer: bytes = self._answer(path.rpartition("/")[2], request).SerializeToString()
        return answer

    def _answer(self, method: str, request: bytes) -> Any:
        if method.endswith("Ready"):
            return oip("Ready", ready=True)
        if method == "ServerMetadata":
            return oip("ServerMetadataResponse", name="secure")
        if method == "ModelMetadata":
            inputs, outputs = (
                [{"name": n, "datatype": "FP32", "shape": s} for n, s in tensors.items()]
                for tensors in (self.session.inputs, self.session.outputs)
            )
            return oip("ModelMetadataResponse", name="m", inputs=inputs, outputs=outputs)
        asked = parsed("ModelInferRequest", request)
        [tensor], [raw] = asked.inputs, asked.raw_input_contents
        values = np.frombuffer(raw, "<f4").reshape(tensor.shape)
        [(name, found)] = self.session.run({tensor.name: values}).items()
        return oip(
            "ModelInferResponse",
            outputs=[{"name": name, "datatype": "FP32", "shape": found.shape}],
            raw_output_contents=[found.astype("<f4").tobytes()],
        )


def refusal(url: str, *options: object) -> str:
    """Run in vain and return the one line."""
    done = fastbench("run", url, "--repetitions", 1, "--requests", 1, *options)
    assert done.code in {1, 2}, done.err
    return done.line


def test_run(authority: Authority, pair: Pair, sample: Path, tiny_model: Path) -> None:
    """With CA, name and client certificate every answer is right; it has a headroom, too."""
    mine = authority.issue("client", "DNS:client.test")
    tls = ("--tls-ca", authority.cert, "--tls-cert", mine.cert, "--tls-key", mine.key)
    name = ("--tls-server-name", "fastbench.test")
    load = ("--connections", 2, "--pipeline", 2, "--repetitions", 1, "--warmup", 0)
    images = ("--dataset", sample, "--model", tiny_model, "--verify", 10)
    with serving(Standin(tiny_model), secure=credentials(pair, authority)) as (host, port):
        url = f"triton+grpcs://{host}:{port}/m"
        ends = ("--requests", REQUESTS, "--quiet", "--format", "json", "--calibrate", "always")
        done = fastbench("run", url, *tls, *name, *load, *images, *ends)
        without = refusal(url, "--tls-ca", authority.cert, "--dataset", sample)

    assert done.code == 0, done.err
    result = from_json(done.out.encode())
    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.sent) == (REQUESTS, REQUESTS)
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)
    assert (result.target.protocol, result.target.details["tls"][:5]) == ("gRPC", "TLSv1")
    assert "--tls-cert" in without
    assert result.calibration is not None, result.calibration_error
    assert result.verdict is not None
    assert [e.value for e in result.verdict.evidence if e.name == "headroom"] != [None]


@pytest.mark.parametrize("pipeline", [1, 5])
@pytest.mark.parametrize("row_bytes", [1, 16_385, 602_112])
def test_payload_arrives_unchanged(
    authority: Authority, pair: Pair, tmp_path: Path, row_bytes: int, pipeline: int
) -> None:
    """Every row arrives whole and equally often, whatever the frames and records are."""
    raw = np.random.default_rng(7).bytes(row_bytes * 4)
    (tmp_path / "rows").write_bytes(raw)
    rows = [raw[i * row_bytes : (i + 1) * row_bytes] for i in range(4)]
    data = Data(str(tmp_path / "rows"), 0, row_bytes, 4)
    parts, seen = (Text(b"<"), Payload(1), Text(b">")), Seen()

    with serving(seen, secure=credentials(pair)) as address:
        tls = Tls(server_name="127.0.0.1", ca_file=str(authority.cert))
        stream = calls(address, parts, row_bytes + 2, pipeline=pipeline, data=data, tls=tls)
        plan = Plan(
            streams=(stream,), threads=1, requests=40, interval_ns=50 * MS, timeout_ns=60 * S
        )
        ran = drive(plan)

    assert ran.error is None
    assert (ran.totals.ok, ran.totals.reconnects) == (40, 0)
    assert seen.bodies == {b"<" + row + b">": 10 for row in rows}


def test_what_is_not_trusted(authority: Authority, pair: Pair) -> None:
    """An unknown CA and another name are one line each that says which option helps."""
    with serving(Seen(), secure=credentials(pair)) as (host, port):
        url = f"triton+grpcs://{host}:{port}/m"
        unknown = refusal(url)
        other = refusal(url, "--tls-ca", authority.cert, "--tls-server-name", "other.test")

    assert "--tls-ca" in unknown
    assert "--tls-server-name" in other


def test_tls_where_it_is_not_awaited(authority: Authority, pair: Pair) -> None:
    """TLS to a plain server, and none to one that wants it, are one line each."""
    ca = ("--tls-ca", authority.cert)
    with serving(Seen()) as (host, port):
        to_plain = refusal(f"triton+grpcs://{host}:{port}/m", *ca)
    with serving(Seen(), secure=credentials(pair)) as (host, port):
        to_tls = refusal(f"triton+grpc://{host}:{port}/m")

    assert "cannot connect to triton+grpcs://" in to_plain
    assert "+grpcs://" in to_tls


@contextlib.contextmanager
def without_http2(pair: Pair, connections: int) -> Iterator[tuple[str, int]]:
    """Yield the address of a TLS server that knows HTTP/1.1 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["http/1.1"])

    def serve(listener: socket.socket) -> None:
        for _ in range(connections):
            plain, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
                tls.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[:2]
        thread.join(60)


def test_server_without_http2(authority: Authority, pair: Pair) -> None:
    """A server that does not choose h2 is refused on both paths, before anything is sent."""
    with without_http2(pair, 2) as (host, port):
        said = refusal(f"tfserving+grpcs://{host}:{port}/m", "--tls-ca", authority.cert)
        tls = Tls(server_name="127.0.0.1", ca_file=str(authority.cert))
        stream = calls((host, port), tls=tls)
        ran = drive(Plan(streams=(stream,), threads=1, requests=1))

    assert "does not choose HTTP/2 in the TLS handshake" in said
    assert isinstance(ran.error, ConnectError)
    assert "does not choose h2" in str(ran.error)
