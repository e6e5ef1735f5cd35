# cython: language_level=3, freethreading_compatible=True
"""The door to csrc/engine: owns it, converts, checks. No policy here."""

import sys

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from fastbench._capi cimport *

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

include "_shared.pxi"
include "_plan.pxi"


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
        self.mappings = []
        fill_engine(&config, plan, self.mappings, memory)
        self.threads_ = plan.threads
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
