/* The face of the engine: the only header that the Python extension sees.
 *
 * Life: fb_engine_new (copies the whole configuration) → start → wait / take_interval while it
 * runs → stop if it must end early → join → totals, threads, errors, captures → free.
 * The caller owns the configuration and what the getters fill; dataset memory is borrowed from
 * new until free. Every function may be called from any thread, one at a time, except
 * fb_engine_stop, which may be called at any time. Set-up functions return 0 or a negative
 * FB_E_* and fill fb_error. Times are CLOCK_MONOTONIC nanoseconds. */
#ifndef FB_FASTBENCH_H
#define FB_FASTBENCH_H

#include "base.h"
#include "hist.h"
#include "keys.h"
#include "pacer.h"
#include "resp.h"
#include "slots.h"
#include "tls.h"

#include <stdbool.h>

enum { FB_PROTOCOL_RESP = 1, FB_PROTOCOL_HTTP = 2, FB_PROTOCOL_GRPC = 3 };

enum {
    FB_PART_TEXT = 1,    /* bytes that never change */
    FB_PART_FIELD = 2,   /* a number */
    FB_PART_LENGTH = 3,  /* decimal number of bytes of `covers` parts, after the next `skip` */
    FB_PART_PAYLOAD = 4, /* `rows` consecutive rows of a dataset of the stream */
    FB_PART_CHUNK = 5,   /* the first bytes of a dataset, as many as `keys` draws */
    FB_PART_FETCHED = 6, /* the value that the step `data` of the chain, an earlier one, got */
};

enum {
    FB_FIELD_CONNECTION = 1, /* number of the connection in the run */
    FB_FIELD_ROW = 2,        /* first dataset row of the inference */
    FB_FIELD_KEYS = 3,       /* drawn anew from `keys` */
};

/* How a FIELD is written; all but the first need a width. */
enum {
    FB_FORM_ZEROS = 0,  /* decimal, zeros before it */
    FB_FORM_BLANKS = 1, /* decimal, blanks before it */
    FB_FORM_VARINT = 2, /* as protobuf has it, drawn out to its width by groups of zeros */
};

typedef struct fb_part {
    int kind;
    int field;            /* FIELD: FB_FIELD_* */
    int form;             /* FIELD: FB_FORM_* */
    uint32_t width;       /* FIELD: bytes that it takes; 0 = as many as it needs */
    uint32_t keys;        /* FIELD of keys, CHUNK: index of the stream's distribution */
    uint32_t data;        /* PAYLOAD, CHUNK: index of the stream's dataset; FETCHED: of the step */
    uint32_t rows;        /* PAYLOAD; FIELD of rows: how many the inference takes elsewhere */
    uint32_t skip;        /* LENGTH */
    uint32_t covers;      /* LENGTH */
    uint64_t base;        /* FIELD of rows: the number of row 0 */
    uint64_t step;        /* FIELD of rows: from one row's number to the next one's; 0 = 1 */
    const uint8_t *bytes; /* TEXT */
    size_t len;           /* TEXT */
} fb_part;

/* A field of a request's head, in the order in which it is sent. */
typedef struct fb_field {
    const char *name; /* in small letters; ":path" and the like come first */
    const char *value;
} fb_field;

/* What one inference (or one step of opening a connection) sends and expects. */
typedef struct fb_message_config {
    const fb_field *head; /* gRPC: of each call; elsewhere none */
    uint32_t n_head;
    const fb_part *parts;
    uint32_t n_parts;
    uint32_t replies; /* top-level replies until it is complete */
    const fb_resp_expect *expects;
    uint32_t n_expects;
    uint32_t key_from, key_parts; /* in a cluster: the parts that form its key; none = any node */
} fb_message_config;

/* The dataset: the same bytes as a file and as memory. Borrowed until fb_engine_free. */
typedef struct fb_data {
    int fd;
    uint64_t offset; /* of row 0 in the file */
    uint64_t row_bytes;
    uint64_t rows;
    const uint8_t *base; /* address of row 0 */
} fb_data;

/* Where to connect: a numeric host and a port, or with port 0 the path of a unix socket. */
typedef struct fb_endpoint {
    const char *host;
    uint16_t port;
    const char *name; /* in a cluster: as MOVED and ASK call it, "host:port"; else NULL */
} fb_endpoint;

#define FB_CHAIN_MAX_STEPS 8

/* In a chain an inference is one message of each step of `before`, in order, then one of the
 * stream itself, all with the same numbers and dataset rows. Each step has its own endpoints,
 * connections, message and openings, and uses the stream's data and keys; the schedule, what may
 * be in flight (connections x pipeline) and the counts are the stream's. */
typedef struct fb_stream_config {
    int protocol;
    bool redisai;
    const fb_endpoint *endpoints; /* connections take them in turn */
    uint32_t n_endpoints;
    const uint16_t *owners;   /* of FB_SLOTS hash slots: index of the endpoint; NULL = no cluster */
    const fb_tls_config *tls; /* NULL = plain sockets */
    uint32_t connections;     /* in total, >= threads */
    uint32_t pipeline;        /* inferences in flight per connection */
    const fb_message_config *messages;
    uint32_t n_messages;
    const uint8_t *pattern; /* indices of messages, taken in turn; NULL = one message */
    uint32_t n_pattern;
    const fb_message_config *openings; /* sent in order on each new connection */
    uint32_t n_openings;
    const fb_data *data; /* the first one's rows are taken in turn; the others' beside them */
    uint32_t n_data;
    const fb_keys_config *keys;
    uint32_t n_keys;
    fb_schedule schedule;                  /* since load begins; over all threads */
    uint32_t max_outstanding;              /* open loop: due inferences that may wait, per thread */
    const struct fb_stream_config *before; /* the steps that come first, in order */
    uint32_t n_before;
    uint32_t fetch_bytes; /* of a step before: keeps the value that it gets, at most so long */
} fb_stream_config;

typedef struct fb_engine_config {
    const fb_stream_config *streams;
    uint32_t n_streams;
    uint32_t threads;
    const int *cpus; /* one per thread; NULL = not pinned */
    uint64_t warmup_ns;
    uint64_t duration_ns; /* 0 = measure ends by requests */
    uint64_t requests;    /* measured inferences per stream */
    uint64_t timeout_ns;
    uint64_t connect_timeout_ns;
    uint64_t spin_ns;    /* open loop: before an arrival it polls for so long instead of sleeping */
    uint64_t give_up_ns; /* a thread whose connections are all down for that long ends the run */
    uint64_t interval_ns;
    uint64_t seed;
    int64_t max_errors;    /* failed inferences that end the run when passed; < 0 = never */
    uint64_t captures;     /* replies to keep, spread over measure and threads; FB_CAPTURE_ALL */
    uint32_t capture_room; /* of them that may wait to be taken, per thread; 0 = all, to 65,535 */
    uint32_t capture_bytes;
} fb_engine_config;

#define FB_CAPTURE_ALL UINT64_MAX

/* Measured inferences by outcome; intended = sent + never_sent, and
 * sent = ok + errors + timeouts + lost + unfinished. */
typedef struct fb_counts {
    uint64_t intended, sent, ok, errors, timeouts, lost, unfinished, never_sent;
} fb_counts;

/* What ended within one interval; all threads together. Histograms and outcomes hold measured
 * inferences only; completed counts successes of any inference received during measure. */
typedef struct fb_interval {
    uint64_t index;
    uint64_t completed;
    uint64_t ok, errors, timeouts, lost;
    fb_hist response, service, lag; /* lag of sending: open loop only */
} fb_interval;

typedef struct fb_totals {
    fb_counts counts;
    uint64_t begin_ns;   /* measure began */
    uint64_t end_ns;     /* measure ended; by requests: when the last measured inference ended */
    uint64_t completed;  /* successes received during measure, whenever they were intended */
    uint64_t answered;   /* replies of any outcome received during measure */
    uint64_t gave_up;    /* of the time-outs: the server said so before ours ran out */
    uint64_t late;       /* replies that came after their inference had timed out */
    uint64_t breaks;     /* connections lost, and tries to open them again that failed */
    uint64_t reconnects; /* connections that stood again, in all phases, like the bytes */
    uint64_t bytes_sent, bytes_received;
    uint64_t blocked_ns; /* output waited for room in a socket buffer, summed over connections */
    uint64_t bytes_answered; /* of those received: during measure, as answered */
} fb_totals;

typedef struct fb_error_class {
    char name[FB_ERROR_CLASS_MAX];
    char first_text[FB_ERROR_TEXT_MAX];
    uint64_t count;
} fb_error_class;

/* What one node of a cluster did, measured inferences only: sent = ok + errors + timeouts + lost +
 * unfinished + moved + asked. An inference that is passed on was sent to each node on its way. */
typedef struct fb_node_counts {
    uint64_t sent, ok, errors, timeouts, lost, unfinished;
    uint64_t moved, asked; /* passed on to another node */
} fb_node_counts;

/* One worker between the first and the last instant of measure. */
typedef struct fb_thread_usage {
    int tid;
    int cpu; /* -1 = not pinned */
    uint64_t elapsed_ns, user_ns, system_ns;
    uint64_t voluntary_switches, involuntary_switches, major_faults;
    uint64_t run_delay_ns; /* ready to run, but without a CPU; UINT64_MAX = not known */
    uint64_t spin_ns;      /* polled without finding anything */
    uint64_t stalls, stalled_ns, longest_turn_ns; /* turns of the event loop over 1 ms; any */
    uint64_t window_full_ns; /* open loop: something was due and found no free slot */
} fb_thread_usage;

typedef struct fb_capture {
    uint64_t row;         /* first dataset row of the inference */
    const uint8_t *bytes; /* the reply as it came over the wire */
    uint32_t len;
    bool whole; /* false: it did not fit, never ended, was an error or came too late */
} fb_capture;

enum {
    FB_PHASE_CONNECT = 0,
    FB_PHASE_WARMUP = 1,
    FB_PHASE_MEASURE = 2,
    FB_PHASE_DRAIN = 3,
    FB_PHASE_ENDED = 4,
};

/* What may be watched while it runs; all phases, all streams. */
typedef struct fb_snapshot {
    int phase;
    uint64_t now_ns, begin_ns; /* begin_ns: of measure, 0 until known */
    uint64_t completed;        /* replies of any outcome */
    uint64_t failed;           /* errors, time-outs, lost */
} fb_snapshot;

typedef struct fb_engine fb_engine;

int fb_engine_new(const fb_engine_config *config, fb_engine **engine, fb_error *err);

/* Creates the threads; they connect, then begin together. */
int fb_engine_start(fb_engine *engine, fb_error *err);

/* Waits until all threads ended, at most timeout_ns; true when they have. */
bool fb_engine_wait(fb_engine *engine, uint64_t timeout_ns);

/* Asks the threads to end now. Safe at any time, also from a signal handler. */
void fb_engine_stop(fb_engine *engine);

/* Joins the threads and closes the books. Returns 0, or what ended the run early. */
int fb_engine_join(fb_engine *engine, fb_error *err);

void fb_engine_snapshot(const fb_engine *engine, fb_snapshot *out);

/* Copies the oldest complete interval of a stream; false when there is none yet.
 * After join it gives what is left, in order, then false. Call at least every interval. */
bool fb_engine_take_interval(fb_engine *engine, uint32_t stream, fb_interval *out);

/* After join. */
void fb_engine_totals(const fb_engine *engine, uint32_t stream, fb_totals *out);
uint32_t fb_engine_error_classes(const fb_engine *engine, uint32_t stream, fb_error_class *out,
                                 uint32_t max);
/* Of the index-th endpoint of a stream over a cluster; false when there is none. */
bool fb_engine_node(const fb_engine *engine, uint32_t stream, uint32_t index, fb_node_counts *out);
/* Service time of the index-th step of a chain, of the measured inferences that succeeded; false
 * when there is none. */
bool fb_engine_step(const fb_engine *engine, uint32_t stream, uint32_t index, fb_hist *out);
void fb_engine_thread(const fb_engine *engine, uint32_t thread, fb_thread_usage *out);
/* How long sampled replies lay in the kernel before they were read, all threads; may be empty. */
void fb_engine_reply_lag(const fb_engine *engine, fb_hist *out);

/* Moves a kept reply whose inference has ended to `bytes`, which has room for capture_bytes; false
 * when there is none yet. While it runs and after join. A reply that finds no room because the ones
 * before it were not taken is not kept. */
bool fb_engine_take_capture(fb_engine *engine, uint32_t stream, uint8_t *bytes, fb_capture *out);

/* Stops and joins if that was not done. Accepts NULL. */
void fb_engine_free(fb_engine *engine);

/* Brings len bytes at addr into memory; *resident gets how many of them then are there.
 * Any thread; blocks while it reads. */
int fb_pagecache_populate(const void *addr, size_t len, size_t *resident, fb_error *err);

#endif
