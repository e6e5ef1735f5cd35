# What the doors to C have in common, for each to include: its errors, and its histograms.

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from fastbench._capi cimport (
    FB_E_BROKEN,
    FB_E_CLOSED,
    FB_E_CONNECT,
    FB_E_DATA,
    FB_E_ERRORS,
    FB_E_INVAL,
    FB_E_NOMEM,
    FB_E_PROTOCOL,
    FB_E_REPLY,
    FB_E_SYS,
    FB_HIST_COUNTERS,
    FB_OK,
    fb_error,
    fb_hist,
)

import numpy as np

from fastbench.errors import (
    ConnectError,
    DatasetError,
    EngineError,
    ProtocolError,
    ServerError,
)
from fastbench.measured import RawHistogram

_ERROR_CLASSES = {
    FB_E_NOMEM: EngineError,
    FB_E_INVAL: EngineError,
    FB_E_SYS: EngineError,
    FB_E_CONNECT: ConnectError,
    FB_E_PROTOCOL: ProtocolError,
    FB_E_REPLY: ServerError,
    FB_E_DATA: DatasetError,
    FB_E_ERRORS: ServerError,
    FB_E_CLOSED: ConnectError,
    FB_E_BROKEN: EngineError,
}


cdef str text_of(const char *text):
    return text.decode("utf-8", "replace")


cdef int check(int rc, const fb_error *err) except -1:
    """Raise the error class of a failed call with the text that C gave."""
    if rc != FB_OK:
        raise _ERROR_CLASSES.get(rc, EngineError)(text_of(err.text))
    return 0


cdef raw_histogram(const fb_hist *h):
    counts = np.empty(FB_HIST_COUNTERS, dtype=np.int64)
    cdef long long[::1] view = counts
    memcpy(&view[0], h.counts, FB_HIST_COUNTERS * sizeof(uint64_t))
    smallest = h.min_ns if h.total > 0 else None
    return RawHistogram(counts, h.total, h.clipped, smallest, h.max_ns, h.sum_ns)
