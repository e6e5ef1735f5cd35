"""The door to readers and histogram of csrc for tests: owns one C struct each, converts, checks."""

import numpy as np

from fastbench.errors import ProtocolError

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "reply.h" nogil:
    ctypedef struct fb_reply:
        bint done
        int outcome
        const char *error_class
        const char *error_text
        bint last


cdef extern from "http.h" nogil:
    ctypedef enum fb_http_method:
        FB_HTTP_OTHER
        FB_HTTP_HEAD

    ctypedef struct fb_http_reader:
        uint64_t offset
        char error_text[1]  # its real size is C's business

    void fb_http_init(fb_http_reader *r)
    long fb_http_feed(fb_http_reader *r, fb_http_method method, const uint8_t *bytes, size_t len,
                      fb_reply *reply)
    bint fb_http_end(fb_http_reader *r, fb_reply *reply)


cdef extern from "resp.h" nogil:
    ctypedef struct fb_resp_expect:
        char type
        int64_t length

    ctypedef struct fb_resp_spec:
        uint32_t replies
        bint redisai
        uint32_t expects
        const fb_resp_expect *expect

    ctypedef struct fb_resp_finding:
        char error_text[1]  # its real size is C's business

    ctypedef struct fb_resp_reader:
        uint64_t offset
        fb_resp_finding found

    void fb_resp_init(fb_resp_reader *r)
    long fb_resp_feed(fb_resp_reader *r, const fb_resp_spec *spec, const uint8_t *bytes, size_t len,
                      fb_reply *reply)


cdef extern from "hist.h" nogil:
    int FB_HIST_COUNTERS

    ctypedef struct fb_hist:
        uint64_t total
        uint64_t clipped
        uint64_t min_ns
        uint64_t max_ns
        double sum_ns
        uint64_t counts[1]

    void fb_hist_clear(fb_hist *h)
    void fb_hist_record(fb_hist *h, uint64_t value_ns)
    uint64_t fb_hist_quantile(const fb_hist *h, double q)


cdef str text_of(const char *text):
    return (<bytes>text).decode(errors="replace")


@cython.final
cdef class ReplyReader:
    """A fb_resp_reader with one spec for every inference; the stub says more."""

    cdef fb_resp_reader reader
    cdef fb_resp_spec spec
    cdef fb_resp_expect *expect

    def __cinit__(self, uint32_t replies=1, expect=(), bint redisai=False):
        self.expect = NULL
        if replies == 0:
            raise ValueError("replies must be at least 1")
        elements = [(ord(kind), length) for kind, length in expect]
        self.expect = <fb_resp_expect *>PyMem_Malloc(
            max(1, len(elements)) * sizeof(fb_resp_expect))
        if self.expect == NULL:
            raise MemoryError
        for i, (kind, length) in enumerate(elements):
            self.expect[i] = fb_resp_expect(<char>kind, length)
        self.spec = fb_resp_spec(replies, redisai, <uint32_t>len(elements), self.expect)
        fb_resp_init(&self.reader)

    def __dealloc__(self):
        PyMem_Free(self.expect)

    def feed(self, const uint8_t[::1] data not None):
        """Read every byte of data; the stub says more."""
        cdef fb_reply reply
        cdef Py_ssize_t at = 0
        cdef long n
        outcomes = []
        while at < data.shape[0]:
            n = fb_resp_feed(&self.reader, &self.spec, &data[at], <size_t>(data.shape[0] - at),
                             &reply)
            if n < 0:
                raise ProtocolError(
                    f"byte {self.reader.offset}: {text_of(self.reader.found.error_text)}")
            at += n
            if reply.done:
                outcomes.append(
                    (reply.outcome, text_of(reply.error_class), text_of(reply.error_text)))
        return outcomes


cdef tuple http_reply(const fb_reply *reply, uint64_t offset):
    return (offset, reply.outcome, text_of(reply.error_class), text_of(reply.error_text),
            bool(reply.last))


@cython.final
cdef class HttpReader:
    """A fb_http_reader; the stub says more."""

    cdef fb_http_reader reader
    cdef fb_http_method method

    def __cinit__(self, bint head=False):
        self.method = FB_HTTP_HEAD if head else FB_HTTP_OTHER
        fb_http_init(&self.reader)

    def feed(self, const uint8_t[::1] data not None):
        """Read every byte of data; the stub says more."""
        cdef fb_reply reply
        cdef Py_ssize_t at = 0
        cdef long n
        replies = []
        while at < data.shape[0]:
            n = fb_http_feed(&self.reader, self.method, &data[at],
                             <size_t>(data.shape[0] - at), &reply)
            if n < 0:
                raise ProtocolError(
                    f"byte {self.reader.offset}: {text_of(self.reader.error_text)}")
            at += n
            if reply.done:
                replies.append(http_reply(&reply, self.reader.offset))
        return replies

    def end(self):
        """The connection has ended; the stub says more."""
        cdef fb_reply reply
        if not fb_http_end(&self.reader, &reply):
            return None
        return http_reply(&reply, self.reader.offset)


@cython.final
cdef class Histogram:
    """A fb_hist; the stub says more."""

    cdef fb_hist *hist

    def __cinit__(self):
        self.hist = <fb_hist *>PyMem_Malloc(sizeof(fb_hist))
        if self.hist == NULL:
            raise MemoryError
        fb_hist_clear(self.hist)

    def __dealloc__(self):
        PyMem_Free(self.hist)

    def record(self, uint64_t value_ns):
        """Record one value; the stub says more."""
        fb_hist_record(self.hist, value_ns)

    def counts(self):
        """Copy the counters; the stub says more."""
        raw = PyBytes_FromStringAndSize(
            <const char *>&self.hist.counts[0], FB_HIST_COUNTERS * sizeof(uint64_t))
        return np.frombuffer(raw, dtype=np.int64)

    def quantile(self, double q):
        """Return the value at quantile q; the stub says more."""
        return fb_hist_quantile(self.hist, q)

    @property
    def total(self):
        """Number of values in the counters."""
        return self.hist.total

    @property
    def clipped(self):
        """Number of values above the highest trackable one."""
        return self.hist.clipped
