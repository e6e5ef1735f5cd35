"""``rest://`` by the command line: gunicorn with the reference app, and servers that misbehave."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import TYPE_CHECKING

import pytest
from support.cli import Done, fastbench, running
from support.modelservers import ModelServer, Reply
from support.redisserver import port_of, programs
from support.redisserver import running as redis_running
from support.restserver import Behaviour, HttpServer

from fastbench.results import Result, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MODEL = "mean_rgb_224"
FRAUD = ("fraud", "fraud_noreference")
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """Return the URL of ``fastbench serve --rest`` without its scheme."""
    models = [word for name in (MODEL, *FRAUD) for word in ("--model", name)]
    words = ("serve", "--rest", "--port", 0, *models, "--intra-op", 1)
    with running(*words) as server:
        server.wait_for("Booting worker")
        yield server.wait_for(r"Listening at: http://(\S+:\d+)")[1]
        server.process.terminate()  # gunicorn ends its workers then
        server.process.wait(LIMIT_S)


def _run(url: str, *options: object, code: int = 0) -> Result:
    short = ("--repetitions", 1, "--quiet", "--format", "json", "--warmup", 0, "--requests", 60)
    done = fastbench("run", url, *short, *options)
    assert done.code == code, done.err
    return from_json(done.out.encode())


def _refused(url: str, *options: object) -> Done:
    done = fastbench("run", url, "--repetitions", 1, "--requests", 1, *options)
    assert done.code in {1, 2}, done.out
    return done


@pytest.mark.parametrize(("body", "batch"), [("raw", 1), ("json", 3), ("multipart", 2)])
def test_answers_are_onnxruntimes(served: str, body: str, batch: int) -> None:
    """Each form of body is understood, and every sampled answer is that of onnxruntime."""
    result = _run(
        *(f"rest://{served}/predict/{MODEL}", "--model", MODEL, "--verify", 10),
        *("--body", body, "--batch", batch),
    )

    [repetition] = result.repetitions
    assert (repetition.counts.ok, repetition.counts.sent) == (60, 60)
    assert repetition.client.reconnects == 0
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)
    assert (result.target.kind, result.target.server) == ("rest", "gunicorn")
    assert result.target.details["body"] == body
    assert result.target.details["compared_with"] == MODEL
    assert result.target.random_weights is False


def test_wrong_model_is_noticed(served: str) -> None:
    """A server that runs another model than --verify asks for is refused before the run."""
    done = _refused(
        f"rest://{served}/predict/{MODEL}", "--model", "mobilenet_v1_100_224", "--verify", 1
    )

    assert "differs from onnxruntime's" in done.line


def test_model_without_effect(served: str) -> None:
    """A name that nothing has is refused; one that nothing is compared with is warned of."""
    url = f"rest://{served}/predict/{MODEL}"

    assert "nomodel" in _refused(url, "--model", "nomodel").line
    found = _run(url, "--model", MODEL)
    assert "model-not-compared" in [warning.code for warning in found.warnings]
    assert found.target.random_weights is None
    assert "compared_with" not in found.target.details


def test_refusals_are_one_line(served: str) -> None:
    """What the server, or nobody, says to the first inference ends the run in one line."""
    assert "404" in (line := _refused(f"rest://{served}/predict/none").line)
    assert "no model none" in line
    assert "is the server running" in _refused("rest://127.0.0.1:1/").line
    assert "TLS" in _refused(f"rests://{served}/predict/{MODEL}").line


@pytest.mark.skipif(not programs(), reason="needs redis-server")
def test_other_protocols_are_recognised(tmp_path: Path) -> None:
    """A server that does not speak HTTP is named as such."""
    with redis_running(programs()[0], tmp_path) as client:
        done = _refused(f"rest://127.0.0.1:{port_of(client)}/")

    assert "127.0.0.1" in done.line


def test_secrets_are_nowhere(tmp_path: Path) -> None:
    """A token reaches the server, and is in no file, no report and no error."""
    out = tmp_path / "out"
    with HttpServer(Behaviour(fail_every=2)) as server:
        host, port = server.address
        done = fastbench(
            *("run", f"rest://{host}:{port}/p", "--header", "Authorization: Bearer s3cret"),
            *("--repetitions", 1, "--requests", 20, "--warmup", 0, "--out", out),
        )

    assert done.code == 0, done.err
    assert {head["Authorization"] for head in server.seen.heads} == {"Bearer s3cret"}
    assert "raw body" in done.out
    texts = [done.out, done.err, *(f.read_text(errors="replace") for f in out.iterdir())]
    assert not [text for text in texts if "s3cret" in text]
    counts = json.loads((out / "result.json").read_text())["repetitions"][0]["counts"]
    assert counts["errors_by_class"]["HTTP 503"]["count"] == 10


class Suspicious(ModelServer):
    """Repeats what logs in, without its scheme, and takes every second inference; or none."""

    takes_some = True

    def answer(self, _method: str, _path: str, fields: Mapping[str, str], _body: bytes) -> Reply:
        """Refuse, or not."""
        said = {"token": fields["Authorization"].split()[-1]}
        return Reply(said, 200 if self.takes_some and len(self.bodies) % 2 else 403)


@pytest.mark.parametrize(
    ("user", "header", "secret"),
    [
        ("", "Authorization: Bearer s3cret-token", "s3cret-token"),
        ("ann@", "X-Trace: 1", base64.b64encode(b"ann:s3cret-word").decode()),
    ],
)
def test_login_that_is_repeated_alone(tmp_path: Path, user: str, header: str, secret: str) -> None:
    """A token without its scheme, or the login made of user and password, is shown nowhere."""
    out = tmp_path / "out"
    short = ("--repetitions", 1, "--warmup", 0, "--requests", 20, "--header", header)
    with Suspicious() as server:
        url = f"rest://{user}{server.place}/p"
        done = fastbench("run", url, *short, "--out", out, FASTBENCH_PASSWORD="s3cret-word")
        server.takes_some = False
        refused = fastbench("run", url, *short, FASTBENCH_PASSWORD="s3cret-word")

    assert done.code == 0, done.err
    texts = [done.out, done.err, *(f.read_text(errors="replace") for f in out.iterdir())]
    assert not [text for text in texts if secret in text]
    classes = json.loads((out / "result.json").read_text())["repetitions"][0]["counts"]
    assert '"token": "***"' in classes["errors_by_class"]["HTTP 403"]["first_text"]
    assert refused.code == 1
    assert '"token": "***"' in refused.line
    assert secret not in refused.out + refused.err


def test_health_of_the_reference_app(served: str) -> None:
    """/health says that it is up, over any HTTP client."""
    with urllib.request.urlopen(f"http://{served}/health", timeout=LIMIT_S) as reply:
        assert json.load(reply) == {"status": "ok", "models": sorted((MODEL, *FRAUD))}


@pytest.mark.parametrize("body", ["raw", "json", "multipart"])
def test_fraud_without_reference(served: str, cards: Path, body: str) -> None:
    """Transactions alone are answered rightly in each form."""
    result = _run(
        *(f"rest://{served}/predict/fraud_noreference", "--workload", "fraud", "--no-reference"),
        *("--dataset", cards, "--body", body, "--verify", 10),
    )

    [repetition] = result.repetitions
    assert repetition.counts.ok == 60
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)


@pytest.mark.skipif(not programs(), reason="needs redis-server")
@pytest.mark.parametrize("body", ["raw", "multipart"])
def test_fraud_with_reference(served: str, cards: Path, tmp_path: Path, body: str) -> None:
    """The real web server gets transaction and reference data of one row, from two places."""
    with redis_running(programs()[0], tmp_path) as client:
        result = _run(
            *(f"rest://{served}/predict/fraud", "--workload", "fraud", "--dataset", cards),
            *("--reference-from", f"redis://127.0.0.1:{port_of(client)}", "--body", body),
            *("--connections", 2, "--verify", 10),
        )

    [repetition] = result.repetitions
    assert (repetition.counts.ok, len(repetition.steps)) == (60, 2)
    assert repetition.verification is not None
    assert (repetition.verification.checked, repetition.verification.mismatches) == (10, 0)


@pytest.mark.parametrize(
    "options", [("--unix", "/tmp/x"), ("--announce",), ("--model", "no-such-model")]
)
def test_serve_refuses_what_it_cannot(options: tuple[str, ...]) -> None:
    """Options that do not go together, and unknown models, are refused in one line."""
    assert fastbench("serve", "--rest", *options).line
