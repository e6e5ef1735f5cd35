# cython: language_level=3, freethreading_compatible=True
"""The door to csrc/nullserver: owns one, converts."""

import os

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastbench._capi cimport FB_PROTOCOL_RESP, c_bool

include "_shared.pxi"
include "_memory.pxi"


cdef extern from "nullreplies.h" nogil:
    ctypedef struct fb_nullanswer:
        const char *path
        const char *fields
        const uint8_t *body
        uint64_t body_len

    ctypedef struct fb_nullreplies_config:
        int protocol
        uint64_t reply_bytes
        c_bool always_bulk
        uint32_t n_answers
        const fb_nullanswer *answers


cdef extern from "nullserver.h" nogil:
    ctypedef struct fb_nullserver_config:
        const char *unix_path
        const char *host
        uint16_t port
        uint32_t threads
        const int *cpus
        c_bool tls
        const char *tls_suite
        fb_nullreplies_config replies

    ctypedef struct fb_nullserver_usage:
        uint64_t cpu_ns
        uint64_t elapsed_ns
        uint64_t requests
        uint64_t bytes

    ctypedef struct fb_nullserver:
        pass

    fb_nullserver *fb_nullserver_new(const fb_nullserver_config *config, fb_error *err)
    uint16_t fb_nullserver_port(const fb_nullserver *server)
    int fb_nullserver_start(fb_nullserver *server, fb_error *err)
    void fb_nullserver_stats(const fb_nullserver *server, uint32_t thread,
                             fb_nullserver_usage *usage)
    void fb_nullserver_stop(fb_nullserver *server)
    void fb_nullserver_free(fb_nullserver *server)


cdef fb_nullanswer *fill_answers(answers, _Memory memory) except NULL:
    cdef fb_nullanswer *out = <fb_nullanswer *>memory.array(len(answers), sizeof(fb_nullanswer))
    for i, answer in enumerate(answers):
        out[i].path = memory.bytes(answer.path.encode())
        out[i].fields = memory.bytes("".join(f"{f}\r\n" for f in answer.fields).encode())
        out[i].body = <const uint8_t *>memory.bytes(answer.body)
        out[i].body_len = len(answer.body)
    return out


@cython.final
cdef class NullServer:
    """A server that answers every request at once; the stub says more."""

    cdef fb_nullserver *server
    cdef uint32_t threads_

    def __cinit__(self, host="127.0.0.1", uint16_t port=0, unix_path=None, uint32_t threads=1,
                  cpus=(), uint64_t reply_bytes=4004, bint always_bulk=False,
                  int protocol=FB_PROTOCOL_RESP, answers=(), tls_suite=None):
        cdef _Memory memory = _Memory()
        cdef fb_nullserver_config config
        cdef fb_error err
        config.unix_path = NULL if unix_path is None else memory.bytes(os.fsencode(unix_path))
        config.host = memory.bytes(os.fsencode(host))
        config.port = port
        config.threads = self.threads_ = threads
        config.cpus = fill_cpus(cpus, threads, memory)
        config.tls = tls_suite is not None
        config.tls_suite = memory.bytes(tls_suite.encode()) if tls_suite else NULL
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
        """Return what each thread did since start; the stub says more."""
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
