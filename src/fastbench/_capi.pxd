# Mirrors csrc/fastbench.h, and nothing else.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "fastbench.h" nogil:
    ctypedef bint c_bool "bool"

    int FB_OK
    int FB_E_NOMEM
    int FB_E_INVAL
    int FB_E_SYS
    int FB_E_CONNECT
    int FB_E_PROTOCOL
    int FB_E_REPLY
    int FB_E_DATA
    int FB_E_ERRORS
    int FB_E_CLOSED
    int FB_E_BROKEN

    ctypedef struct fb_error:
        int code
        int sys_errno
        char text[240]

    int FB_HIST_COUNTERS

    ctypedef struct fb_hist:
        uint64_t total
        uint64_t clipped
        uint64_t min_ns
        uint64_t max_ns
        double sum_ns
        uint64_t *counts

    int FB_PROTOCOL_RESP
    int FB_PART_TEXT
    int FB_PART_FIELD
    int FB_PART_PAYLOAD
    int FB_PART_CHUNK
    int FB_PART_LENGTH
    int FB_PART_FETCHED

    ctypedef struct fb_keys_config:
        int kind
        uint64_t low
        uint64_t high
        double shape
        const uint64_t *values
        const double *weights
        uint32_t n_values

    ctypedef struct fb_rate:
        double from_per_s
        double to_per_s
        uint64_t duration_ns

    ctypedef struct fb_schedule:
        int arrivals
        const fb_rate *rates
        uint32_t n_rates
        const uint64_t *instants
        uint64_t n_instants

    ctypedef struct fb_part:
        int kind
        int field
        int form
        uint32_t width
        uint32_t keys
        uint32_t data
        uint32_t rows
        uint32_t skip
        uint32_t covers
        uint64_t base
        uint64_t step
        const uint8_t *bytes
        size_t len

    ctypedef struct fb_resp_expect:
        char type
        int64_t length

    ctypedef struct fb_field:
        const char *name
        const char *value

    ctypedef struct fb_message_config:
        const fb_field *head
        uint32_t n_head
        const fb_part *parts
        uint32_t n_parts
        uint32_t replies
        const fb_resp_expect *expects
        uint32_t n_expects
        uint32_t key_from
        uint32_t key_parts

    ctypedef struct fb_data:
        int fd
        uint64_t offset
        uint64_t row_bytes
        uint64_t rows
        const uint8_t *base

    ctypedef struct fb_endpoint:
        const char *host
        uint16_t port
        const char *name

    int FB_SLOTS
    int FB_SLOTS_NOBODY
    int FB_TLS_1_2
    int FB_TLS_1_3

    ctypedef struct fb_tls_config:
        const char *ca_file
        const char *cert_file
        const char *key_file
        const char *server_name
        int min_version
        c_bool insecure

    ctypedef struct fb_stream_config:
        int protocol
        c_bool redisai
        const fb_endpoint *endpoints
        uint32_t n_endpoints
        const uint16_t *owners
        const fb_tls_config *tls
        uint32_t connections
        uint32_t pipeline
        const fb_message_config *messages
        uint32_t n_messages
        const uint8_t *pattern
        uint32_t n_pattern
        const fb_message_config *openings
        uint32_t n_openings
        const fb_data *data
        uint32_t n_data
        const fb_keys_config *keys
        uint32_t n_keys
        fb_schedule schedule
        uint32_t max_outstanding
        const fb_stream_config *before
        uint32_t n_before
        uint32_t fetch_bytes

    ctypedef struct fb_engine_config:
        const fb_stream_config *streams
        uint32_t n_streams
        uint32_t threads
        const int *cpus
        uint64_t warmup_ns
        uint64_t duration_ns
        uint64_t requests
        uint64_t timeout_ns
        uint64_t connect_timeout_ns
        uint64_t spin_ns
        uint64_t give_up_ns
        uint64_t interval_ns
        uint64_t seed
        int64_t max_errors
        uint64_t captures
        uint32_t capture_room
        uint32_t capture_bytes

    ctypedef struct fb_counts:
        uint64_t intended
        uint64_t sent
        uint64_t ok
        uint64_t errors
        uint64_t timeouts
        uint64_t lost
        uint64_t unfinished
        uint64_t never_sent

    ctypedef struct fb_interval:
        uint64_t index
        uint64_t completed
        uint64_t ok
        uint64_t errors
        uint64_t timeouts
        uint64_t lost
        fb_hist response
        fb_hist service
        fb_hist lag

    ctypedef struct fb_totals:
        fb_counts counts
        uint64_t begin_ns
        uint64_t end_ns
        uint64_t completed
        uint64_t answered
        uint64_t gave_up
        uint64_t late
        uint64_t breaks
        uint64_t reconnects
        uint64_t bytes_sent
        uint64_t bytes_received
        uint64_t bytes_answered
        uint64_t blocked_ns

    ctypedef struct fb_error_class:
        char name[32]
        char first_text[160]
        uint64_t count

    ctypedef struct fb_node_counts:
        uint64_t sent
        uint64_t ok
        uint64_t errors
        uint64_t timeouts
        uint64_t lost
        uint64_t unfinished
        uint64_t moved
        uint64_t asked

    ctypedef struct fb_thread_usage:
        int tid
        int cpu
        uint64_t elapsed_ns
        uint64_t user_ns
        uint64_t system_ns
        uint64_t voluntary_switches
        uint64_t involuntary_switches
        uint64_t major_faults
        uint64_t run_delay_ns
        uint64_t spin_ns
        uint64_t stalls
        uint64_t stalled_ns
        uint64_t longest_turn_ns
        uint64_t window_full_ns

    ctypedef struct fb_capture:
        uint64_t row
        const uint8_t *bytes
        uint32_t len
        c_bool whole

    ctypedef struct fb_snapshot:
        int phase
        uint64_t now_ns
        uint64_t begin_ns
        uint64_t completed
        uint64_t failed

    ctypedef struct fb_engine:
        pass

    int fb_engine_new(const fb_engine_config *config, fb_engine **engine, fb_error *err)
    int fb_engine_start(fb_engine *engine, fb_error *err)
    c_bool fb_engine_wait(fb_engine *engine, uint64_t timeout_ns)
    void fb_engine_stop(fb_engine *engine)
    int fb_engine_join(fb_engine *engine, fb_error *err)
    void fb_engine_snapshot(const fb_engine *engine, fb_snapshot *out)
    c_bool fb_engine_take_interval(fb_engine *engine, uint32_t stream, fb_interval *out)
    void fb_engine_totals(const fb_engine *engine, uint32_t stream, fb_totals *out)
    uint32_t fb_engine_error_classes(const fb_engine *engine, uint32_t stream,
                                     fb_error_class *out, uint32_t max)
    c_bool fb_engine_node(const fb_engine *engine, uint32_t stream, uint32_t index,
                          fb_node_counts *out)
    c_bool fb_engine_step(const fb_engine *engine, uint32_t stream, uint32_t index, fb_hist *out)
    void fb_engine_thread(const fb_engine *engine, uint32_t thread, fb_thread_usage *out)
    void fb_engine_reply_lag(const fb_engine *engine, fb_hist *out)
    c_bool fb_engine_take_capture(fb_engine *engine, uint32_t stream, uint8_t *bytes,
                                  fb_capture *out)
    void fb_engine_free(fb_engine *engine)
    int fb_pagecache_populate(const void *addr, size_t len, size_t *resident, fb_error *err)
