# cython: language_level=3, freethreading_compatible=True
"""The door to csrc/netprobe and csrc/netserve: owns both ends of a network test, converts."""

cimport cython
from libc.stdint cimport uint16_t, uint64_t

from fastbench.measured import NetCounts, NetOutcome, NetSocket

include "_shared.pxi"


cdef extern from "netwire.h" nogil:
    ctypedef struct fb_nettest:
        uint64_t kind
        uint64_t request_bytes
        uint64_t response_bytes
        uint64_t warmup_ns
        uint64_t duration_ns

    ctypedef struct fb_netsocket:
        char congestion[16]
        uint64_t nodelay
        uint64_t mss
        uint64_t send_buffer
        uint64_t receive_buffer
        uint64_t retransmits
        uint64_t rtt_us
        uint64_t path_mtu

    ctypedef struct fb_netcounts:
        uint64_t transactions
        uint64_t received_bytes
        uint64_t sent_bytes
        uint64_t window_bytes
        uint64_t window_ns
        uint64_t cpu_ns
        uint64_t elapsed_ns
        fb_netsocket socket


cdef extern from "netprobe.h" nogil:
    ctypedef struct fb_netprobe_result:
        fb_netcounts client
        fb_netcounts server
        uint64_t measured
        uint64_t measured_ns
        fb_hist latency

    ctypedef struct fb_netprobe:
        pass

    fb_netprobe *fb_netprobe_new(const char *numeric_host, uint16_t port, const fb_nettest *test,
                                 uint64_t timeout_ns, fb_error *err)
    int fb_netprobe_run(fb_netprobe *probe, fb_error *err)
    void fb_netprobe_stop(fb_netprobe *probe)
    const fb_netprobe_result *fb_netprobe_outcome(const fb_netprobe *probe)
    void fb_netprobe_free(fb_netprobe *probe)


cdef extern from "netserve.h" nogil:
    ctypedef struct fb_netserve:
        pass

    ctypedef struct fb_netserve_stats:
        uint64_t served
        uint64_t refused
        uint64_t broken

    fb_netserve *fb_netserve_new(const char *numeric_host, uint16_t port, fb_error *err)
    uint16_t fb_netserve_port(const fb_netserve *server)
    int fb_netserve_start(fb_netserve *server, fb_error *err)
    void fb_netserve_count(const fb_netserve *server, fb_netserve_stats *stats)
    void fb_netserve_stop(fb_netserve *server)
    void fb_netserve_free(fb_netserve *server)


cdef counts_of(const fb_netcounts *c):
    cdef const fb_netsocket *s = &c.socket
    socket = NetSocket((<const char *>s.congestion).decode("ascii", "replace"), bool(s.nodelay),
                       s.mss, s.send_buffer, s.receive_buffer, s.retransmits, s.rtt_us, s.path_mtu)
    return NetCounts(c.transactions, c.received_bytes, c.sent_bytes, c.window_bytes, c.window_ns,
                     c.cpu_ns, c.elapsed_ns, socket)


@cython.final
cdef class NetProbe:
    """One network test from this end; the stub says more."""

    cdef fb_netprobe *probe

    def __cinit__(self, str host, uint16_t port, uint64_t kind, uint64_t request_bytes,
                  uint64_t response_bytes, uint64_t warmup_ns, uint64_t duration_ns,
                  uint64_t timeout_ns):
        cdef fb_error err
        cdef fb_nettest test = fb_nettest(
            kind, request_bytes, response_bytes, warmup_ns, duration_ns)
        address = host.encode()
        self.probe = fb_netprobe_new(address, port, &test, timeout_ns, &err)
        if self.probe == NULL:
            check(err.code, &err)

    def run(self):
        """Connect, test, return the outcome; the stub says more."""
        cdef fb_error err
        cdef int rc
        with nogil:
            rc = fb_netprobe_run(self.probe, &err)
        check(rc, &err)
        cdef const fb_netprobe_result *r = fb_netprobe_outcome(self.probe)
        return NetOutcome(counts_of(&r.client), counts_of(&r.server), r.measured, r.measured_ns,
                          raw_histogram(&r.latency))

    def stop(self):
        """End a run from another thread."""
        fb_netprobe_stop(self.probe)

    def __dealloc__(self):
        with nogil:
            fb_netprobe_free(self.probe)


@cython.final
cdef class NetServer:
    """The other end, on threads of its own; the stub says more."""

    cdef fb_netserve *server

    def __cinit__(self, str host="127.0.0.1", uint16_t port=0):
        cdef fb_error err
        address = host.encode()
        self.server = fb_netserve_new(address, port, &err)
        if self.server == NULL:
            check(err.code, &err)

    @property
    def port(self):
        """The TCP port that it listens on."""
        return fb_netserve_port(self.server)

    def counts(self):
        """Return (served, refused, broken) connections that have ended."""
        cdef fb_netserve_stats stats
        fb_netserve_count(self.server, &stats)
        return stats.served, stats.refused, stats.broken

    def start(self):
        """Begin to answer."""
        cdef fb_error err
        check(fb_netserve_start(self.server, &err), &err)

    def stop(self):
        """End every test and close everything."""
        with nogil:
            fb_netserve_stop(self.server)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def __dealloc__(self):
        with nogil:
            fb_netserve_free(self.server)
