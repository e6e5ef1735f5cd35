# A plan as C is told it: the engine's configuration, in memory that the caller keeps meanwhile.

import mmap
import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from fastbench._capi cimport *

from fastbench.errors import DatasetError
from fastbench.plan import Chunk, Fetched, Field, Length, Payload, Text

include "_memory.pxi"


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


cdef fb_stream_config *fill_streams(streams, list mappings, _Memory memory) except NULL:
    cdef fb_stream_config *out = <fb_stream_config *>memory.array(
        len(streams), sizeof(fb_stream_config))
    for i, stream in enumerate(streams):
        own = [_Mapping(data) for data in stream.data]
        mappings.extend(own)
        fill_stream(&out[i], stream, own, memory)
    return out


cdef fill_engine(fb_engine_config *out, plan, list mappings, _Memory memory):
    """Fill ``out``; what it maps is added to ``mappings``, which must outlive the engine."""
    out.streams = fill_streams(plan.streams, mappings, memory)
    out.n_streams = len(plan.streams)
    out.threads = plan.threads
    out.cpus = fill_cpus(plan.cpus, plan.threads, memory)
    out.warmup_ns = plan.warmup_ns
    out.duration_ns = plan.duration_ns
    out.requests = plan.requests
    out.timeout_ns = plan.timeout_ns
    out.connect_timeout_ns = plan.connect_timeout_ns
    out.spin_ns = plan.spin_ns
    out.give_up_ns = plan.give_up_ns
    out.interval_ns = plan.interval_ns
    out.seed = plan.seed
    out.max_errors = plan.max_errors
    out.captures = plan.captures
    out.capture_room = plan.capture_room
    out.capture_bytes = plan.capture_bytes
