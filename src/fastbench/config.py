"""What the user asked for, validated: the one argument of :func:`fastbench.run`."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastbench.bodies import GRPC_SCHEMES, HTTP_SCHEMES, check_body, check_shm
from fastbench.errors import UsageError
from fastbench.forms import DIALECTS, FORMS, check_form

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_THREADS = 1024
MAX_CONNECTIONS = 65536
MAX_PIPELINE = 65536
MAX_BATCH = 65536
MAX_MODELS = 100_000
MAX_COUNT = 10**15
MAX_SERVER_TIMEOUT_MS = 86_400_000
MAX_SEED = 2**32 - 1
MAX_IN_FLIGHT = 4_194_304  # connections x pipeline: each in-flight inference holds memory

WORKLOADS = ("vision", "fraud", "command")
BACKENDS = ("TF", "TFLITE", "TORCH", "ONNX")


ARRIVALS = ("constant", "poisson")
CALIBRATE = ("auto", "always", "never")
RESP_VERSIONS = (2, 3)
TLS_VERSIONS = ("1.2", "1.3")
TLS_SCHEMES = (
    *("rediss://", "redisais://", "rests://"),
    *("triton+https://", "tfserving+https://"),
    *("triton+grpcs://", "tfserving+grpcs://"),
)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*")  # RFC 9110 5.1 and 5.5
_SECRET = re.compile(r"auth|cookie|token|secret|key", re.IGNORECASE)
_SHORTEST_SECRET = 4  # what stands in a field apart from its value: less would be any word
_FRAMING = (
    *("content-length", "transfer-encoding", "connection", "expect", "upgrade"),
    "inference-header-content-length",
)
_CALL = ("content-type", "host", "te", "user-agent")  # and all that begin with grpc-
MAX_PATTERN = 100_000
MAX_FETCHES = 7
MAX_FETCH_BYTES = 512 * 1024 * 1024
_SERVER_NAME = re.compile(r"[0-9A-Za-z._:-]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandConfig:
    """What the workload ``command`` sends.

    ``commands``: each a tuple of arguments with placeholders, see
    :mod:`fastbench.workloads.placeholders`. ``ratios``: how often each is sent, one per command;
    empty = equally often. ``{key}`` is ``key_prefix`` and a number from ``key_minimum`` to
    ``key_maximum``; ``data_size``: bytes of ``{data}``, as ``100``, ``100-2000`` or
    ``100=3,1000=1``. ``db``: selected on each connection. ``resp``: protocol version, 2 or 3.
    ``cluster``: the target is a node of a Redis cluster; commands go to the node of their key.
    ``fetches``: each the URL of a server and a command that is sent to it first, whose value
    ``{fetched}`` then stands for, in the fetches after it and in the one command; ``fetch_bytes``:
    the longest such value.

    Raises :class:`UsageError` naming the argument, its value and the remedy.
    """

    commands: tuple[tuple[str, ...], ...] = ()
    ratios: tuple[int, ...] = ()
    key_prefix: str = "key:"
    key_minimum: int = 0
    key_maximum: int = 999_999
    data_size: str = "3"
    db: int = 0
    resp: int = 2
    cluster: bool = False
    fetches: tuple[tuple[str, ...], ...] = ()
    fetch_bytes: int = 65_536

    def __post_init__(self) -> None:
        """Check every value on its own and against the others."""
        _check_range("db", self.db, 0, 2**31)
        _check_range("key_minimum", self.key_minimum, 0, 2**63 - 2)
        _check_range("key_maximum", self.key_maximum, self.key_minimum, 2**63 - 2)
        _check_range("fetch_bytes", self.fetch_bytes, 1, MAX_FETCH_BYTES)
        self._check_fetches()
        if self.cluster and self.db:
            msg = f"--db {self.db}: a cluster has no databases but 0"
            raise UsageError(msg)
        if self.resp not in RESP_VERSIONS:
            msg = f"--resp {self.resp}: must be 2 or 3"
            raise UsageError(msg)
        if self.ratios and len(self.ratios) != len(self.commands):
            msg = f"--ratio given {len(self.ratios)} times for {len(self.commands)} commands"
            raise UsageError(msg)
        if any(r < 1 for r in self.ratios) or sum(self.ratios) > MAX_PATTERN:
            msg = f"--ratio: must be 1 or more, and at most {MAX_PATTERN} together"
            raise UsageError(msg)

    def _check_fetches(self) -> None:
        if any(len(fetch) < 2 for fetch in self.fetches):  # noqa: PLR2004 - a URL and a word
            msg = '--fetch: needs a URL and a command, e.g. "redis://host:6379 GET {key}"'
            raise UsageError(msg)
        if len(self.fetches) > MAX_FETCHES:
            msg = f"--fetch given {len(self.fetches)} times: at most {MAX_FETCHES}"
            raise UsageError(msg)
        if self.fetches and len(self.commands) > 1:
            msg = f"--fetch and {len(self.commands)} commands: a chain ends in one command"
            raise UsageError(msg)
        if self.fetches and self.cluster:
            msg = "--fetch and --cluster both given: a chain cannot end in a cluster yet"
            raise UsageError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """How to speak TLS to a target ``rediss://`` or ``redisais://``. Files are PEM.

    ``ca``: who may have signed the server's certificate; None = whom the system trusts.
    ``cert`` and ``key``: the client's own, where the server asks for them; the key not encrypted.
    ``server_name``: what the certificate must name, and what is sent as SNI; None = the host of
    the target. ``insecure``: any certificate will do. ``min_version``: ``1.2`` or ``1.3``.

    Raises :class:`UsageError` naming the argument, its value and the remedy.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    insecure: bool = False
    min_version: str = "1.2"

    def __post_init__(self) -> None:
        """Check every value on its own and against the others."""
        _check_choice("tls_min_version", self.min_version, TLS_VERSIONS)
        if (self.cert is None) != (self.key is None):
            msg = "--tls-cert and --tls-key belong together: give both"
            raise UsageError(msg)
        if self.insecure and self.ca is not None:
            msg = "--tls-insecure and --tls-ca both given: choose whether to check the server"
            raise UsageError(msg)
        if self.server_name is not None and not _SERVER_NAME.fullmatch(self.server_name):
            msg = f"--tls-server-name {self.server_name!r}: must be a host name or an IP address"
            raise UsageError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """One of several streams of a run.

    ``weight``: its share of the run's ``rate_per_s``, or in a closed loop of its ``connections``,
    beside the weights of the other streams; None = 1. ``own``: fields of :class:`RunConfig` that it
    sets for itself, see :data:`fastbench.streams.OWN_FIELDS`; all others are the run's.
    """

    name: str
    weight: float | None = None
    own: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data: what the stream sets for itself; secret headers hidden."""
        plain = dataclasses.asdict(self, dict_factory=_plain)
        own = {n: str(v) if isinstance(v, Path) else v for n, v in plain.pop("own").items()}
        if "headers" in own:
            own["headers"] = [shown_header(header) for header in own["headers"]]
        return plain | own


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A run: what to drive, with what, how hard and for how long.

    ``target``: URL, e.g. ``redisai://host:6379``, ``redisai+unix:///path`` or ``embedded:``.
    ``dataset``: folder made by ``fastbench data``; None = a small synthetic sample.
    ``model``: name of a built-in model or path of a model file; None = that of the workload.
    ``models``: keys that the model is stored under; inferences take them in turn.
    ``backend``, ``inputs``, ``outputs``: for model files whose kind or names cannot be read.
    ``connections``: in total, spread evenly over the threads; None = one per thread.
    ``duration_s`` or ``requests`` (inferences, not counting warm-up) ends measure, not both.
    ``rate_per_s``: open loop: inferences are due at that rate over all threads, at ``arrivals``,
    whether or not replies came; None = closed loop. ``profile``: a rate that changes,
    ``100:10s,200:10s`` in steps, ``100-500:20s`` as a ramp. ``arrivals_file``: instants at which
    inferences are due, seconds since measure began, one a line. Of the three only one; the last
    two also set how long measure lasts. At most ``max_outstanding`` due inferences wait per
    thread; beyond that they count as never sent.
    ``spin``: before each arrival a thread polls for the last 60 us instead of sleeping: it is met
    within a microsecond and costs up to a core per thread.
    ``reference``: whether the workload ``fraud`` gives its model the reference data too;
    ``reference_from``: URL of a Redis that each inference gets them from; None = the target holds
    them itself.
    ``server_batch``: the server itself gathers up to that many samples of several inferences into
    one run of the model (RedisAI's BATCHSIZE); ``server_min_batch``: and waits until it has that
    many (MINBATCHSIZE), at most ``server_min_batch_timeout_ms`` (MINBATCHTIMEOUT); 0 = not.
    ``form``, ``dialect``: how an inference is sent, see :mod:`fastbench.forms`; ``persist``: its
    DAG also writes the answer to a key (PERSIST). ``server_timeout_ms``: the server gives up an
    inference that did not begin within that time (TIMEOUT), counted as a time-out; 0 = never.
    ``script``: TorchScript file with functions around the model, for the form ``script``.
    ``cpus``: CPUs to pin the threads to, in order; None = those allowed to the process.
    ``body``: of requests over HTTP and gRPC, one of :data:`fastbench.bodies.BODIES`: ``raw`` (the
    tensor's bytes), ``json``, ``json-columns``, ``multipart`` or ``typed``; None = the first of
    the target's; ``headers``: further fields of them, over gRPC its metadata, each as
    ``Name: value``.
    ``shm``: rows and outputs lie in system shared memory of a server on this machine, requests
    name the places.
    ``verify``: how many sampled replies per repetition to compare with onnxruntime; ``all`` = each,
    as far as this machine keeps up.
    ``max_errors``: end the run after that many failed inferences; None = never.
    ``calibrate``: measure the client's own ceiling against the null server: ``auto`` once per plan
    and host, ``always`` anew, ``never``. ``null_server``: URL of a null server on the server's
    host for that; None = one in this process.
    ``out``: folder for the result files; None = nothing is written.
    ``command``: what the workload ``command`` sends.
    ``tls``: for targets over TLS; None = as :class:`TlsConfig` is by default.
    ``streams``: where several run at once; their own values are checked by
    :func:`fastbench.streams.parts_of`. ``requests`` are then those of each stream.

    Raises :class:`UsageError` naming the argument, its value and the remedy.
    """

    target: str = "embedded:"
    workload: str = "vision"
    dataset: Path | None = None
    model: str | None = None
    backend: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    device: str = "cpu"
    models: int = 1
    threads: int = 1
    connections: int | None = None
    pipeline: int = 1
    rate_per_s: float | None = None
    profile: str | None = None
    arrivals_file: Path | None = None
    arrivals: str = "constant"
    max_outstanding: int = 65_536
    spin: bool = False
    reference: bool = True
    reference_from: str | None = None
    batch: int = 1
    server_batch: int = 0
    server_min_batch: int = 0
    server_min_batch_timeout_ms: int = 0
    server_timeout_ms: int = 0
    duration_s: float | None = None
    requests: int | None = None
    warmup_s: float = 1.0
    repetitions: int = 3
    timeout_s: float = 30.0
    cpus: tuple[int, ...] | None = None
    pin: bool = True
    form: str = "pipeline"
    dialect: str = "modern"
    persist: bool = False
    script: Path | None = None
    body: str | None = None
    headers: tuple[str, ...] = ()
    shm: bool = False
    verify: int | Literal["all"] = 0
    max_errors: int | None = None
    fail_fast: bool = False
    seed: int = 1
    calibrate: str = "auto"
    null_server: str | None = None
    out: Path | None = None
    command: CommandConfig | None = None
    tls: TlsConfig | None = None
    streams: tuple[StreamConfig, ...] = ()

    def __post_init__(self) -> None:
        """Check every value on its own and against the others."""
        for name, low, high in (
            ("threads", 1, MAX_THREADS),
            ("connections", 1, MAX_CONNECTIONS),
            ("pipeline", 1, MAX_PIPELINE),
            ("batch", 1, MAX_BATCH),
            ("models", 1, MAX_MODELS),
            ("server_batch", 0, MAX_BATCH),
            ("server_min_batch", 0, MAX_BATCH),
            ("server_min_batch_timeout_ms", 0, MAX_SERVER_TIMEOUT_MS),
            ("server_timeout_ms", 0, MAX_SERVER_TIMEOUT_MS),
            ("requests", 1, MAX_COUNT),
            ("repetitions", 1, 1000),
            ("seed", 0, MAX_SEED),
            ("max_errors", 0, MAX_COUNT),
            ("duration_s", 1e-3, 30 * 86400.0),
            ("warmup_s", 0.0, 86400.0),
            ("timeout_s", 1e-3, 3600.0),
            ("rate_per_s", 1e-3, 1e9),
            ("max_outstanding", 1, 2**24),
        ):
            _check_range(name, getattr(self, name), low, high)
        if self.verify != "all":
            _check_range("verify", self.verify, 0, 100_000)
        _check_workload(self.workload)
        _check_choice("form", self.form, FORMS)
        _check_choice("dialect", self.dialect, DIALECTS)
        _check_choice("arrivals", self.arrivals, ARRIVALS)
        _check_choice("calibrate", self.calibrate, CALIBRATE)
        if self.backend is not None:
            _check_choice("backend", self.backend, BACKENDS)
        _check_device(self.device)
        self._check_together()

    def _check_together(self) -> None:
        if self.duration_s is not None and self.requests is not None:
            msg = "--duration and --requests both given: choose one end for the measure phase"
            raise UsageError(msg)
        if self.cpus is not None and not self.pin:
            msg = "--cpus and --no-pin both given: choose one"
            raise UsageError(msg)
        if not self.streams:  # they may set what follows for themselves
            self._check_load()

    def _check_load(self) -> None:
        self._check_schedule()
        if self.total_connections < self.threads:
            msg = (
                f"--connections {self.connections} is less than --threads {self.threads}: "
                f"each thread needs one, use --connections {self.threads} or more"
            )
            raise UsageError(msg)
        if self.total_connections * self.pipeline > MAX_IN_FLIGHT:
            msg = (
                f"--connections {self.total_connections} x --pipeline {self.pipeline} is more than "
                f"{MAX_IN_FLIGHT} inferences in flight: lower one of them"
            )
            raise UsageError(msg)
        if (self.workload == "command") != (self.command is not None):
            msg = (
                "--workload command: use fastbench command, e.g. fastbench command URL -- GET key; "
                "in a file the workload command and the table [command] belong together"
            )
            raise UsageError(msg)
        if self.workload == "fraud":
            self._check_fraud()
        elif not self.reference or self.reference_from:
            msg = "--no-reference and --reference-from belong to --workload fraud"
            raise UsageError(msg)
        if self.server_min_batch > self.server_batch:
            msg = (
                f"--server-min-batch {self.server_min_batch} is more than --server-batch "
                f"{self.server_batch}: the server cannot wait for more than it takes"
            )
            raise UsageError(msg)
        if self.server_min_batch_timeout_ms and not self.server_min_batch:
            msg = "--server-min-batch-timeout without --server-min-batch: nothing is waited for"
            raise UsageError(msg)
        check_form(
            self.form,
            persist=self.persist,
            script=self.script is not None,
            verify=bool(self.verify),
        )
        if self.server_batch and self.workload == "command":
            msg = "--server-batch: fastbench command loads no model, so it cannot set it"
            raise UsageError(msg)
        check_tls(self.tls, self.target)
        self._check_http()

    def _check_http(self) -> None:
        for header in self.headers:
            _check_header(header)
        if self.target.startswith(GRPC_SCHEMES):
            _check_metadata(self.headers)
        elif self.headers and not self.target.startswith(HTTP_SCHEMES):
            msg = f"--header is for HTTP and gRPC, e.g. targets rest://, not for {self.target}"
            raise UsageError(msg)
        if self.shm:
            check_shm(self.target, self.body, fetched=self.reference_from is not None)
        if self.target.startswith((*HTTP_SCHEMES, *GRPC_SCHEMES)):
            check_body(self.target, self.body, fetched=self.reference_from is not None)
            self._check_served()
        elif self.body is not None:
            msg = f"--body is for HTTP and gRPC, e.g. targets rest://, not for {self.target}"
            raise UsageError(msg)

    def _check_served(self) -> None:
        own = self.form != "pipeline" or self.dialect != "modern"
        held = self.workload == "fraud" and self.reference and not self.reference_from
        for wrong, why in (
            (self.workload == "command", "fastbench command sends Redis commands: fastbench run"),
            (self.server_batch or self.models > 1, "--server-batch, --models: nothing is loaded"),
            (own, "--form and --dialect are for RedisAI; elsewhere there is --body"),
            (self.server_timeout_ms, "--server-timeout is for RedisAI; elsewhere use --timeout"),
            (held, "it holds no reference data: give --reference-from URL or --no-reference"),
        ):
            if wrong:
                msg = f"{self.target}: {why}"
                raise UsageError(msg)

    def _check_fraud(self) -> None:
        if self.reference_from and not self.reference:
            msg = "--no-reference and --reference-from both given: choose one"
            raise UsageError(msg)
        if self.reference_from and self.models > 1:
            msg = f"--models {self.models} and --reference-from: a chain ends in one model"
            raise UsageError(msg)
        if self.form == "execute":
            msg = "--form execute: the workload fraud sends each transaction; use pipeline or dag"
            raise UsageError(msg)
        if self.reference and self.batch > 1:
            msg = (
                f"--batch {self.batch}: the server holds the reference data of one transaction "
                "under one key; use --batch 1 or --no-reference"
            )
            raise UsageError(msg)

    def _check_schedule(self) -> None:
        given = [self.rate_per_s, self.profile, self.arrivals_file]
        if self.spin and all(g is None for g in given):
            msg = "--spin without a schedule: a closed loop has no arrivals to wait for"
            raise UsageError(msg)
        if sum(g is not None for g in given) > 1:
            msg = "--rate, --profile and --arrivals-file: choose one schedule"
            raise UsageError(msg)
        fixed = self.profile is not None or self.arrivals_file is not None
        if fixed and (self.duration_s is not None or self.requests is not None):
            msg = "--profile and --arrivals-file say themselves when measure ends: leave out "
            raise UsageError(msg + "--duration and --requests")

    @property
    def total_connections(self) -> int:
        """Connections in total: ``connections``, or one per thread."""
        return self.threads if self.connections is None else self.connections

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data, for ``result.json``, but for ``streams``; secret headers hidden."""
        told = {"streams": [], "headers": [shown_header(header) for header in self.headers]}
        return dataclasses.asdict(self, dict_factory=_plain) | told


def _plain(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: str(v) if isinstance(v, Path) else v for name, v in fields}


def check_tls(tls: TlsConfig | None, target: str) -> None:
    """Raise :class:`UsageError` where TLS is configured for a target that does not speak it."""
    if tls is not None and not target.startswith(TLS_SCHEMES):
        msg = "--tls options and a target without TLS: use rediss://, redisais://, rests:// or …+grpcs://"
        raise UsageError(msg)


def secret_of(header: str) -> str:
    """Return the value of a header field that may hold a secret; nothing of any other."""
    name, _, value = header.partition(":")
    return value.strip() if _SECRET.search(name) else ""


def secrets_of(header: str) -> set[str]:
    """Return all in a header field that may be a secret: its value, and what is secret in that.

    That is what follows a scheme such as ``Bearer`` (RFC 9110 11.4), and what follows the ``=`` of
    a cookie (RFC 6265): a server may repeat it alone.
    """
    value = secret_of(header)
    _, *credentials = words = re.split(r"[\s;,]+", value)
    cookies = [word.partition("=")[2].strip('"=') for word in words]
    found = {value} if value else set()
    return found | {part for part in (*credentials, *cookies) if len(part) >= _SHORTEST_SECRET}


def shown_header(header: str) -> str:
    """Return a header field for people: ``***`` in place of a value that may be a secret."""
    name, _, value = header.partition(":")
    return f"{name}: ***" if secret_of(header) else f"{name}: {value.strip()}"


def _check_header(header: str) -> None:
    name = header.partition(":")[0]
    if not _HEADER.fullmatch(header):
        msg = f"--header {name!r}: must be 'Name: value' in printable ASCII"
        raise UsageError(msg)
    if name.lower() in _FRAMING:
        msg = f"--header {name!r}: fastbench sets what frames a request itself; leave it out"
        raise UsageError(msg)


def _check_metadata(headers: tuple[str, ...]) -> None:
    for header in headers:
        name = header.partition(":")[0]
        if name.lower() in _CALL or name.lower().startswith("grpc-"):
            msg = (
                f"--header {name!r}: fastbench sets what makes a call of gRPC itself; leave it out"
            )
            raise UsageError(msg)


def option(name: str) -> str:
    """Return the command-line option of a field: ``duration_s`` → ``--duration``."""
    return "--" + re.sub("(_per)?_m?s$", "", name).replace("_", "-")


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        msg = f"{option(name)} {value}: must be between {low:.16g} and {high:.16g}"
        raise UsageError(msg)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        msg = f"{option(name)} {value!r}: must be one of {', '.join(choices)}"
        raise UsageError(msg)


def _check_workload(workload: str) -> None:
    if workload not in WORKLOADS:
        models = " or ".join(name for name in WORKLOADS if name != "command")
        msg = f"--workload {workload!r}: must be {models}; Redis commands: fastbench command"
        raise UsageError(msg)


def _check_device(device: str) -> None:
    if re.fullmatch(r"(cpu|gpu)(:\d{1,3})?", device, re.IGNORECASE | re.ASCII) is None:
        msg = f"--device {device!r}: must be cpu, gpu or gpu:N"
        raise UsageError(msg)
