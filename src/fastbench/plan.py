"""What the native engine is told to do: plain frozen data, the mirror of csrc/fastbench.h.

A *message* is the bytes of one inference on the wire: parts in order, and what must come back.
Server kinds (``fastbench.servers``) build messages; ``_engine`` hands them to C once, before start.
"""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL_RESP = 1
PROTOCOL_HTTP = 2
PROTOCOL_GRPC = 3

#: Kinds of :class:`Field`: what the number is.
FIELD_CONNECTION = 1  # number of the connection in the run, from 0
FIELD_ROW = 2  # first dataset row that the inference carries
FIELD_KEYS = 3  # drawn anew from one of the stream's distributions

#: ``Field.form``
FORM_ZEROS = 0  # decimal, zeros before it
FORM_BLANKS = 1  # decimal, blanks before it
FORM_VARINT = 2  # as protobuf has it, drawn out to its width

#: Kinds of :class:`Keys`.
KEYS_UNIFORM = 1
KEYS_ZIPF = 2
KEYS_GAUSS = 3
KEYS_SEQUENCE = 4
KEYS_TABLE = 5

#: ``Schedule.arrivals``
ARRIVALS_CLOSED = 0
ARRIVALS_CONSTANT = 1
ARRIVALS_POISSON = 2
ARRIVALS_RECORDED = 3

#: ``Tls.min_version``
TLS_1_2 = 2
TLS_1_3 = 3

ANY_LENGTH = -1

#: ``Plan.captures``: every reply of measure.
ALL_CAPTURES = 2**64 - 1

#: Hash slots of a Redis cluster.
SLOTS = 16384

#: Numeric host and port, or the path of a unix socket.
Address = tuple[str, int] | str


@dataclass(frozen=True, slots=True)
class Text:
    """Bytes that never change."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Field:
    """A number filled in for each inference or connection.

    ``width``: bytes that it takes; 0 = as many digits as it has, for FORM_ZEROS.
    ``keys``: index in ``Stream.keys``, for FIELD_KEYS. For FIELD_ROW ``base``: number of row 0,
    ``step``: from one row's number to the next one's, ``rows``: how many of the first dataset the
    inference takes elsewhere than in a :class:`Payload`; 0 = none.
    """

    kind: int
    width: int
    keys: int = 0
    base: int = 0
    step: int = 1
    rows: int = 0
    form: int = FORM_ZEROS


@dataclass(frozen=True, slots=True)
class Payload:
    """``rows`` consecutive rows of a dataset of the stream, sent without copying."""

    rows: int
    data: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """The first bytes of a dataset, as many as ``Stream.keys[keys]`` draws; without copying."""

    keys: int
    data: int


@dataclass(frozen=True, slots=True)
class Length:
    """The number of bytes of ``covers`` parts, after the next ``skip``, in decimal."""

    covers: int
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """The value that an earlier step of the chain got; ``step``: which one, from 0."""

    step: int = 0


Part = Text | Field | Payload | Chunk | Length | Fetched


@dataclass(frozen=True, slots=True)
class Keys:
    """A distribution of integers.

    ``low`` to ``high`` inclusive; ``shape``: exponent of KEYS_ZIPF, standard deviation of
    KEYS_GAUSS, 0 = the usual one. KEYS_TABLE draws ``values`` by their ``weights``.
    """

    kind: int
    low: int = 0
    high: int = 0
    shape: float = 0.0
    values: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Expect:
    """One element of the reply, nested ones in the order they arrive.

    ``type``: the RESP type byte, e.g. ``b"+"``, ``b"$"``, ``b"*"``; ``length``: bytes of a bulk
    string or elements of an array; ANY_LENGTH = not checked.
    """

    type: bytes
    length: int = ANY_LENGTH


@dataclass(frozen=True, slots=True)
class Message:
    """One inference, or what opens a connection: parts to send and the replies due for them.

    ``replies``: top-level replies until it is complete. ``expect``: empty = any reply that is
    not an error is a success; otherwise a reply that differs is an error ``UNEXPECTED``.
    ``key_from``, ``key_parts``: in a cluster, the parts that form its key; none = any node will do.
    ``head``: of a gRPC call, its fields in order, ``:path`` and the like first; elsewhere none.
    """

    parts: tuple[Part, ...]
    replies: int
    expect: tuple[Expect, ...] = ()
    key_from: int = 0
    key_parts: int = 0
    head: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset file of a stream, as C sees it. ``path``: or an open file descriptor."""

    path: str | int
    offset: int  # of row 0 in the file, bytes
    row_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A stretch of a schedule: the rate goes evenly from one value to the other.

    ``duration_ns``: > 0, but of the last stretch; its final rate then goes on.
    """

    from_per_s: float
    to_per_s: float
    duration_ns: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When inferences are due, since load begins and over all threads.

    ``rates`` for constant and Poisson arrivals; ``instants`` (ns, ascending) for recorded ones.
    """

    arrivals: int
    rates: tuple[Rate, ...] = ()
    instants: tuple[int, ...] = ()


CLOSED_LOOP = Schedule(ARRIVALS_CLOSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS on the connections of a stream; files are PEM, empty = none.

    ``server_name``: host name or IP address that the server's certificate must name; a host name
    is also sent (SNI). ``ca_file``: who may have signed it; empty = the system's list.
    ``cert_file``, ``key_file``: our own. ``insecure``: any certificate will do. ``suite``: the
    cipher that was agreed on when the server was tried, as OpenSSL calls it; empty = not tried.
    The engine does not look at it: it offers what OpenSSL does.
    """

    server_name: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    min_version: int = TLS_1_2
    insecure: bool = False
    suite: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which address of a stream has which hash slots of a Redis cluster, when load begins.

    ``names``: of each address, as MOVED and ASK replies call it, ``host:port``. ``owners``: of
    each of the SLOTS hash slots, index of the address; None = nobody has it.
    """

    names: tuple[str, ...]
    owners: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What comes before the message of a stream in each inference, on servers of its own.

    ``target``: their URL, for the record. ``fetch_bytes``: its one reply must be a value, which
    is kept for the steps that follow (:class:`Fetched`), at most so long; 0 = nothing is kept.
    The other fields as in :class:`Stream`, whose data and keys it uses.
    """

    name: str
    target: str
    addresses: tuple[Address, ...]
    connections: int
    pipeline: int
    message: Message
    fetch_bytes: int = 0
    opening: tuple[Message, ...] = ()
    tls: Tls | None = None
    protocol: int = PROTOCOL_RESP
    redisai: bool = False


@dataclass(frozen=True, slots=True)
class NullAnswer:
    """What a null server of HTTP or gRPC answers requests for ``path`` with: ``body``.

    ``path``: of HTTP, as it stands in the request line, 96 bytes at most; of gRPC
    ``/package.Service/Method``. ``fields``: of HTTP, further lines of the reply's head.
    """

    path: str
    body: bytes
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One independent source of inferences: where to, over how many connections, what.

    ``addresses``: connections take them in turn. ``messages``: sent in the order of ``pattern``
    (indices, over and over); one message needs none. ``opening``: sent in order on each new
    connection, replies checked. ``data``: the first one's rows are taken in turn.
    ``tls``: None = plain sockets. ``cluster``: the addresses are its nodes, and each inference
    goes to the one that has its key; each thread needs a connection to each node.
    ``before``: makes each inference a chain of these steps, in order, and then the stream's one
    message; each of ``keys`` is then drawn once for all of them. At most connections x pipeline
    inferences are under way, wherever they are.
    ``redisai``: "+TIMEDOUT" is a time-out and a nested "+NA" an error.
    ``schedule`` other than closed: at most ``max_outstanding`` due inferences wait per thread;
    beyond that they count as never sent. ``reply_bytes``: room that a kept reply needs, where
    what is expected does not say.
    """

    addresses: tuple[Address, ...]
    connections: int
    pipeline: int
    messages: tuple[Message, ...]
    pattern: tuple[int, ...] = ()
    opening: tuple[Message, ...] = ()
    data: tuple[Data, ...] = ()
    keys: tuple[Keys, ...] = ()
    tls: Tls | None = None
    cluster: Cluster | None = None
    before: tuple[Step, ...] = ()
    protocol: int = PROTOCOL_RESP
    redisai: bool = False
    schedule: Schedule = CLOSED_LOOP
    max_outstanding: int = 0
    reply_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that one repetition needs. Times are nanoseconds."""

    streams: tuple[Stream, ...]
    threads: int
    cpus: tuple[int, ...] = ()  # one per thread; empty = not pinned
    warmup_ns: int = 0
    duration_ns: int = 0  # 0 = by requests
    requests: int = 0
    timeout_ns: int = 30_000_000_000
    connect_timeout_ns: int = 10_000_000_000
    spin_ns: int = 0  # open loop: before an arrival poll for so long instead of sleeping
    give_up_ns: int = 5_000_000_000  # all connections down for that long ends the run
    interval_ns: int = 1_000_000_000
    seed: int = 1
    max_errors: int = -1  # -1 = never stop for errors
    captures: int = 0  # replies to keep for verification, of each stream; or ALL_CAPTURES
    capture_room: int = 0  # of them that may wait to be taken, per thread; 0 = up to 65,535
    capture_bytes: int = 0  # room for each
