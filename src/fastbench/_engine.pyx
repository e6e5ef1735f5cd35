# cython: language_level=3, freethreading_compatible=True
"""The only door to C: owns the engine and the null server, converts, checks. No policy here."""

import mmap
import os
import sys

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from fastbench._capi cimport *

from fastbench.errors import DatasetError
from fastbench.measured import (
    PHASES as _PHASES,
    Capture,
    RawHistogram,
    RawInterval,
    RawNode,
    RawThread,
    Snapshot,
    Totals,
)
from fastbench.plan import Chunk, Fetched, Field, Length, Payload, Text

include "_shared.pxi"


cdef class _Memory:
    """C arrays that live as long as this object: the configuration, until C has copied it."""

    cdef list blocks
    cdef list kept

    def __cinit__(self):
        self.blocks = []
        self.kept = []

    cdef void *array(self, size_t n, size_t each) except NULL:
        cdef void *block = calloc(n + 1, each)
        if block == NULL:
            raise MemoryError
        self.blocks.append(<size_t>block)
        return block

    cdef const char *bytes(self, bytes data) except NULL:
        self.kept.append(data)
        return data

    def __dealloc__(self):
        for block in self.blocks:
            free(<void *><size_t>block)


cdef class _Mapping:
    """A dataset file, open and mapped read-only; its buffer stays pinned until close."""

    cdef Py_buffer view
    cdef int fd
    cdef bint pinned
    cdef object map
    cdef fb_data data

    def __cinit__(self, spec):
        self.fd = -1
        self.pinned = False
        try:
            self.fd = (os.dup(spec.path) if isinstance(spec.path, int)
                       else os.open(spec.path, os.O_RDONLY | os.O_CLOEXEC))
            self.map = mmap.mmap(self.fd, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as e:
            raise DatasetError(f"cannot map {spec.path}: {e}") from e
        PyObject_GetBuffer(self.map, &self.view, PyBUF_SIMPLE)
        self.pinned = True
        if <size_t>self.view.len < spec.offset + spec.row_bytes * spec.rows:
            raise DatasetError(f"{spec.path} is truncated: it has {self.view.len} bytes, "
                               f"{spec.offset + spec.row_bytes * spec.rows} are needed")
        self.data.fd = self.fd
        self.data.offset = spec.offset
        self.data.row_bytes = spec.row_bytes
        self.data.rows = spec.rows
        self.data.base = <const uint8_t *>self.view.buf + <size_t>spec.offset

    cdef close(self):
        if self.pinned:
            PyBuffer_Release(&self.view)
            self.pinned = False
            self.map.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __dealloc__(self):
        self.close()


cdef fill_part(fb_part *out, part, _Memory memory):
    if isinstance(part, Text):
        out.kind = FB_PART_TEXT
        out.bytes = <const uint8_t *>memory.bytes(part.data)
        out.len = len(part.data)
    elif isinstance(part, Field):
        out.kind = FB_PART_FIELD
        out.field = part.kind
        out.form = part.form
        out.width = part.width
        out.base = part.base
        out.step = part.step
        out.rows = part.rows
        out.keys = part.keys
    elif isinstance(part, Payload):
        out.kind = FB_PART_PAYLOAD
        out.rows = part.rows
        out.data = part.data
    elif isinstance(part, Chunk):
        out.kind = FB_PART_CHUNK
        out.keys = part.keys
        out.data = part.data
    elif isinstance(part, Fetched):
        out.kind = FB_PART_FETCHED
        out.data = part.step
    elif isinstance(part, Length):
        out.kind = FB_PART_LENGTH
        out.skip = part.skip
        out.covers = part.covers
    else:
        raise TypeError(f"not a message part: {part!r}")


cdef fb_field *fill_head(head, _Memory memory) except NULL:
    cdef fb_field *out = <fb_field *>memory.array(len(head), sizeof(fb_field))
    for i, (name, value) in enumerate(head):
        out[i].name = memory.bytes(name.encode())
        out[i].value = memory.bytes(value.encode())
    return out


cdef fill_message(fb_message_config *out, message, _Memory memory):
    cdef fb_part *parts = <fb_part *>memory.array(len(message.parts), sizeof(fb_part))
    cdef fb_resp_expect *expects = <fb_resp_expect *>memory.array(len(message.expect),
                                                                  sizeof(fb_resp_expect))
    for i, part in enumerate(message.parts):
        fill_part(&parts[i], part, memory)
    for i, expect in enumerate(message.expect):
        expects[i].type = <char>expect.type[0]
        expects[i].length = expect.length
    out.head = fill_head(message.head, memory)
    out.n_head = len(message.head)
    out.parts = parts
    out.n_parts = len(message.parts)
    out.key_from = message.key_from
    out.key_parts = message.key_parts
    out.replies = message.replies
    out.expects = expects
    out.n_expects = len(message.expect)


cdef fb_endpoint *fill_endpoints(fb_stream_config *out, addresses, _Memory memory) except NULL:
    cdef fb_endpoint *endpoints = <fb_endpoint *>memory.array(len(addresses), sizeof(fb_endpoint))
    for i, address in enumerate(addresses):
        host, port = (address, 0) if isinstance(address, str) else address
        endpoints[i].host = memory.bytes(os.fsencode(host))
        endpoints[i].port = port
    out.endpoints = endpoints
    out.n_endpoints = len(addresses)
    return endpoints


cdef fill_cluster(fb_stream_config *out, fb_endpoint *endpoints, cluster, _Memory memory):
    if cluster is None:
        return
    if len(cluster.names) != out.n_endpoints or len(cluster.owners) != FB_SLOTS:
        raise ValueError(f"a cluster needs a name for each address and {FB_SLOTS} owners")
    cdef uint16_t *owners = <uint16_t *>memory.array(FB_SLOTS, sizeof(uint16_t))
    for i, name in enumerate(cluster.names):
        endpoints[i].name = memory.bytes(name.encode())
    for i, owner in enumerate(cluster.owners):
        owners[i] = FB_SLOTS_NOBODY if owner is None else owner
    out.owners = owners


cdef const char *file_name(path, _Memory memory) except? NULL:
    return memory.bytes(os.fsencode(path)) if path else NULL


cdef fb_tls_config *fill_tls(tls, _Memory memory) except? NULL:
    if tls is None:
        return NULL
    cdef fb_tls_config *out = <fb_tls_config *>memory.array(1, sizeof(fb_tls_config))
    out.ca_file = file_name(tls.ca_file, memory)
    out.cert_file = file_name(tls.cert_file, memory)
    out.key_file = file_name(tls.key_file, memory)
    out.server_name = memory.bytes(tls.server_name.encode())
    out.min_version = tls.min_version
    out.insecure = tls.insecure
    return out


cdef fb_message_config *fill_messages(messages, _Memory memory) except NULL:
    cdef fb_message_config *out = <fb_message_config *>memory.array(
        len(messages), sizeof(fb_message_config))
    for i, message in enumerate(messages):
        fill_message(&out[i], message, memory)
    return out


cdef fb_data *fill_data(mappings, _Memory memory) except NULL:
    cdef fb_data *out = <fb_data *>memory.array(len(mappings), sizeof(fb_data))
    for i, mapping in enumerate(mappings):
        out[i] = (<_Mapping>mapping).data
    return out


cdef fb_keys_config *fill_keys(distributions, _Memory memory) except NULL:
    cdef fb_keys_config *out = <fb_keys_config *>memory.array(
        len(distributions), sizeof(fb_keys_config))
    cdef uint64_t *values
    cdef double *weights
    for i, keys in enumerate(distributions):
        values = <uint64_t *>memory.array(len(keys.values), sizeof(uint64_t))
        weights = <double *>memory.array(len(keys.values), sizeof(double))
        for k in range(len(keys.values)):
            values[k] = keys.values[k]
            weights[k] = keys.weights[k]
        out[i].kind = keys.kind
        out[i].low = keys.low
        out[i].high = keys.high
        out[i].shape = keys.shape
        out[i].values = values
        out[i].weights = weights
        out[i].n_values = len(keys.values)
    return out


cdef fill_schedule(fb_schedule *out, schedule, _Memory memory):
    cdef fb_rate *rates = <fb_rate *>memory.array(len(schedule.rates), sizeof(fb_rate))
    cdef uint64_t *instants = <uint64_t *>memory.array(len(schedule.instants), sizeof(uint64_t))
    for i, rate in enumerate(schedule.rates):
        rates[i].from_per_s = rate.from_per_s
        rates[i].to_per_s = rate.to_per_s
        rates[i].duration_ns = rate.duration_ns
    for i, instant in enumerate(schedule.instants):
        instants[i] = instant
    out.arrivals = schedule.arrivals
    out.rates = rates
    out.n_rates = len(schedule.rates)
    out.instants = instants
    out.n_instants = len(schedule.instants)


cdef fill_step(fb_stream_config *out, step, _Memory memory):
    fill_endpoints(out, step.addresses, memory)
    out.tls = fill_tls(step.tls, memory)
    out.messages = fill_messages((step.message,), memory)
    out.n_messages = 1
    out.openings = fill_messages(step.opening, memory)
    out.n_openings = len(step.opening)
    out.protocol = step.protocol
    out.redisai = step.redisai
    out.connections = step.connections
    out.pipeline = step.pipeline
    out.fetch_bytes = step.fetch_bytes


cdef fb_stream_config *fill_steps(steps, _Memory memory) except NULL:
    cdef fb_stream_config *out = <fb_stream_config *>memory.array(
        len(steps), sizeof(fb_stream_config))
    for i, step in enumerate(steps):
        fill_step(&out[i], step, memory)
    return out


cdef fill_stream(fb_stream_config *out, stream, list mappings, _Memory memory):
    cdef fb_endpoint *endpoints = fill_endpoints(out, stream.addresses, memory)
    fill_cluster(out, endpoints, stream.cluster, memory)
    out.tls = fill_tls(stream.tls, memory)
    out.messages = fill_messages(stream.messages, memory)
    out.n_messages = len(stream.messages)
    out.pattern = <const uint8_t *>memory.bytes(bytes(stream.pattern))
    out.n_pattern = len(stream.pattern)
    out.openings = fill_messages(stream.opening, memory)
    out.n_openings = len(stream.opening)
    out.data = fill_data(mappings, memory)
    out.n_data = len(mappings)
    out.keys = fill_keys(stream.keys, memory)
    out.n_keys = len(stream.keys)
    out.protocol = stream.protocol
    out.redisai = stream.redisai
    out.connections = stream.connections
    out.pipeline = stream.pipeline
    fill_schedule(&out.schedule, stream.schedule, memory)
    out.max_outstanding = stream.max_outstanding
    out.before = fill_steps(stream.before, memory)
    out.n_before = len(stream.before)


cdef int *fill_cpus(cpus, _Memory memory) except? NULL:
    if not cpus:
        return NULL
    cdef int *out = <int *>memory.array(len(cpus), sizeof(int))
    for i, cpu in enumerate(cpus):
        out[i] = cpu
    return out


@cython.no_gc_clear
cdef class Engine:
    """One run of a :class:`fastbench.plan.Plan` by native threads.

    ``start``, then ``wait`` and ``take_intervals`` at least once per interval until it has ended
    (``stop`` ends it early), ``join``, then the results. Use as a context manager, or ``close``.
    """

    cdef fb_engine *engine
    cdef fb_interval *interval
    cdef uint8_t *reply  # room for one kept reply
    cdef list mappings
    cdef uint32_t threads_
    cdef bint joined

    def __cinit__(self, plan):
        cdef _Memory memory = _Memory()
        cdef fb_engine_config config
        cdef fb_error err
        cdef int rc
        cdef fb_stream_config *streams = <fb_stream_config *>memory.array(
            len(plan.streams), sizeof(fb_stream_config))
        self.mappings = []
        for i, stream in enumerate(plan.streams):
            mappings = [_Mapping(data) for data in stream.data]
            self.mappings += mappings
            fill_stream(&streams[i], stream, mappings, memory)
        config.streams = streams
        config.n_streams = len(plan.streams)
        config.threads = self.threads_ = plan.threads
        config.cpus = fill_cpus(plan.cpus, memory)
        config.warmup_ns = plan.warmup_ns
        config.duration_ns = plan.duration_ns
        config.requests = plan.requests
        config.timeout_ns = plan.timeout_ns
        config.connect_timeout_ns = plan.connect_timeout_ns
        config.spin_ns = plan.spin_ns
        config.give_up_ns = plan.give_up_ns
        config.interval_ns = plan.interval_ns
        config.seed = plan.seed
        config.max_errors = plan.max_errors
        config.captures = plan.captures
        config.capture_room = plan.capture_room
        config.capture_bytes = plan.capture_bytes
        self.interval = <fb_interval *>malloc(sizeof(fb_interval))
        self.reply = <uint8_t *>malloc(plan.capture_bytes + 1)
        if self.interval == NULL or self.reply == NULL:
            raise MemoryError
        with nogil:
            rc = fb_engine_new(&config, &self.engine, &err)
        check(rc, &err)

    cdef int require_open(self) except -1:
        if self.engine == NULL:
            raise ValueError("the engine is closed")
        return 0

    def start(self):
        """Create the threads; they connect, then begin together."""
        self.require_open()
        cdef fb_error err
        cdef int rc
        with nogil:
            rc = fb_engine_start(self.engine, &err)
        check(rc, &err)

    def wait(self, double timeout_s=0.1):
        """Wait at most ``timeout_s`` seconds; True when all threads have ended."""
        self.require_open()
        cdef bint ended
        cdef uint64_t timeout_ns = <uint64_t>(timeout_s * 1e9)
        with nogil:
            ended = fb_engine_wait(self.engine, timeout_ns)
        return ended

    def stop(self):
        """Ask the threads to end now."""
        if self.engine != NULL:
            fb_engine_stop(self.engine)

    def join(self):
        """Join the threads; raise what ended the run early, if anything did."""
        self.require_open()
        cdef fb_error err
        cdef int rc
        with nogil:
            rc = fb_engine_join(self.engine, &err)
        self.joined = True
        check(rc, &err)

    def snapshot(self):
        """Return a :class:`fastbench.measured.Snapshot`."""
        self.require_open()
        cdef fb_snapshot s
        fb_engine_snapshot(self.engine, &s)
        return Snapshot(_PHASES[s.phase], s.now_ns, s.begin_ns, s.completed, s.failed)

    def take_intervals(self, uint32_t stream=0):
        """Return the :class:`fastbench.measured.RawInterval` that are complete, in order."""
        self.require_open()
        taken = []
        cdef bint more
        while True:
            with nogil:
                more = fb_engine_take_interval(self.engine, stream, self.interval)
            if not more:
                return taken
            i = self.interval
            taken.append(RawInterval(
                i.index, i.completed, i.ok, i.errors, i.timeouts, i.lost,
                raw_histogram(&i.response), raw_histogram(&i.service), raw_histogram(&i.lag)))

    def totals(self, uint32_t stream=0):
        """Return the :class:`fastbench.measured.Totals` of a stream. After join."""
        self.require_open()
        cdef fb_totals t
        fb_engine_totals(self.engine, stream, &t)
        return Totals(t.counts.intended, t.counts.sent, t.counts.ok, t.counts.errors,
                      t.counts.timeouts, t.counts.lost, t.counts.unfinished, t.counts.never_sent,
                      t.begin_ns, t.end_ns, t.completed, t.answered, t.gave_up, t.late, t.breaks,
                      t.reconnects, t.bytes_sent, t.bytes_received, t.bytes_answered, t.blocked_ns)

    def error_classes(self, uint32_t stream=0):
        """Return {class: (count, first text)} of a stream's error replies. After join."""
        self.require_open()
        cdef fb_error_class classes[64]
        cdef uint32_t n = fb_engine_error_classes(self.engine, stream, classes, 64)
        return {
            text_of(classes[i].name): (classes[i].count, text_of(classes[i].first_text))
            for i in range(n)
        }

    def nodes(self, uint32_t stream=0):
        """Return one :class:`fastbench.measured.RawNode` per address of a cluster. After join."""
        self.require_open()
        cdef fb_node_counts n
        found = []
        while fb_engine_node(self.engine, stream, len(found), &n):
            found.append(RawNode(n.sent, n.ok, n.errors, n.timeouts, n.lost, n.unfinished,
                                 n.moved, n.asked))
        return found

    def steps(self, uint32_t stream=0):
        """Return the service times of each step of a chain as RawHistogram. After join."""
        self.require_open()
        # The interval's memory serves: after join its content was handed out.
        found = []
        while fb_engine_step(self.engine, stream, len(found), &self.interval.service):
            found.append(raw_histogram(&self.interval.service))
        return found

    def threads(self):
        """Return one :class:`fastbench.measured.RawThread` per worker."""
        self.require_open()
        cdef fb_thread_usage u
        found = []
        for i in range(self.threads_):
            fb_engine_thread(self.engine, i, &u)
            found.append(RawThread(
                u.tid, u.cpu if u.cpu >= 0 else None, u.elapsed_ns, u.user_ns, u.system_ns,
                u.voluntary_switches, u.involuntary_switches, u.major_faults,
                None if u.run_delay_ns == UINT64_MAX else u.run_delay_ns, u.spin_ns,
                u.stalls, u.stalled_ns, u.longest_turn_ns, u.window_full_ns))
        return found

    def reply_lag(self):
        """Return how long sampled replies lay in the kernel: a RawHistogram. After join."""
        self.require_open()
        # The interval's memory serves: after join its content was handed out.
        fb_engine_reply_lag(self.engine, &self.interval.lag)
        return raw_histogram(&self.interval.lag)

    def take_captures(self, uint32_t stream=0, Py_ssize_t most=sys.maxsize):
        """Return up to ``most`` kept replies of a stream as :class:`fastbench.measured.Capture`.

        Each is given once, when its inference has ended; also while the engine runs.
        """
        self.require_open()
        cdef fb_capture c
        cdef bint more
        taken = []
        while len(taken) < most:
            with nogil:
                more = fb_engine_take_capture(self.engine, stream, self.reply, &c)
            if not more:
                break
            taken.append(Capture(c.row, (<const char *>c.bytes)[:c.len], c.whole))
        return taken

    def close(self):
        """Stop and join if that was not done, then free everything."""
        with nogil:
            fb_engine_free(self.engine)
            free(self.interval)
            free(self.reply)
        self.engine = NULL
        self.interval = NULL
        self.reply = NULL
        for mapping in self.mappings:
            (<_Mapping>mapping).close()
        self.mappings = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __dealloc__(self):
        # The threads must be gone before the dataset's buffer is: free joins them.
        with nogil:
            fb_engine_free(self.engine)
            free(self.interval)
            free(self.reply)


def populate(buffer):
    """Bring a buffer's pages into memory; return how many of its bytes then are resident."""
    cdef Py_buffer view
    cdef fb_error err
    cdef size_t resident = 0
    cdef int rc
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        with nogil:
            rc = fb_pagecache_populate(view.buf, view.len, &resident, &err)
        check(rc, &err)
    finally:
        PyBuffer_Release(&view)
    return resident


cdef fb_nullanswer *fill_answers(answers, _Memory memory) except NULL:
    cdef fb_nullanswer *out = <fb_nullanswer *>memory.array(len(answers), sizeof(fb_nullanswer))
    for i, answer in enumerate(answers):
        out[i].path = memory.bytes(answer.path.encode())
        out[i].fields = memory.bytes("".join(f"{f}\r\n" for f in answer.fields).encode())
        out[i].body = <const uint8_t *>memory.bytes(answer.body)
        out[i].body_len = len(answer.body)
    return out


cdef class NullServer:
    """A server that answers every request at once; listens from construction on.

    ``protocol``: that of a plan. ``answers``: by HTTP and gRPC, what is answered by path.
    """

    cdef fb_nullserver *server
    cdef uint32_t threads_

    def __cinit__(self, host="127.0.0.1", int port=0, unix_path=None, uint32_t threads=1,
                  cpus=(), uint64_t reply_bytes=4004, bint always_bulk=False,
                  int protocol=FB_PROTOCOL_RESP, answers=()):
        cdef _Memory memory = _Memory()
        cdef fb_nullserver_config config
        cdef fb_error err
        config.unix_path = NULL if unix_path is None else memory.bytes(os.fsencode(unix_path))
        config.host = memory.bytes(os.fsencode(host))
        config.port = port
        config.threads = self.threads_ = threads
        config.cpus = fill_cpus(cpus, memory)
        config.replies.protocol = protocol
        config.replies.reply_bytes = reply_bytes
        config.replies.always_bulk = always_bulk
        config.replies.n_answers = len(answers)
        config.replies.answers = fill_answers(answers, memory)
        self.server = fb_nullserver_new(&config, &err)
        if self.server == NULL:
            check(err.code, &err)

    @property
    def port(self):
        """The TCP port that it listens on; 0 on a unix socket."""
        return fb_nullserver_port(self.server)

    def start(self):
        """Create the threads."""
        cdef fb_error err
        check(fb_nullserver_start(self.server, &err), &err)

    def stats(self):
        """Return (CPU seconds, requests, bytes received) per thread since start."""
        cdef fb_nullserver_usage u
        found = []
        for i in range(self.threads_):
            fb_nullserver_stats(self.server, i, &u)
            found.append((u.cpu_ns / 1e9, u.requests, u.bytes))
        return found

    def stop(self):
        """End the threads and close everything."""
        with nogil:
            fb_nullserver_stop(self.server)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def __dealloc__(self):
        with nogil:
            fb_nullserver_free(self.server)
