/* One worker's share of one stream: what is sent next, and the books of what became of it.
 *
 * Decides whether an inference is measured, picks its dataset rows, records how it ended. Its
 * connections call it. Owned by the engine; after start it belongs to its worker alone, except
 * the recorder's hand-over and the atomics. */
#ifndef FB_LANE_H
#define FB_LANE_H

#include "pacer.h"
#include "recorder.h"
#include "reply.h"
#include "stream.h"

#include <pthread.h>

enum {
    FB_SLOT_MEASURED = 1,
    FB_SLOT_TIMEDOUT = 2,
    FB_SLOT_CAPTURE = 4,
    FB_SLOT_SENT = 8,    /* its first byte left before, on another connection: it is sent again */
    FB_SLOT_ASKING = 16, /* in a cluster: to be sent after ASKING, whose reply is still due */
    FB_SLOT_KEEP = 32,   /* in a chain: the value of its reply is kept for the steps after it */
};

/* One inference in flight. */
typedef struct fb_slot {
    uint64_t intended_ns;
    uint64_t sent_ns;
    uint64_t begin;   /* position of its first byte in the connection's output */
    uint32_t group;   /* dataset rows from group x stream->rows on */
    uint8_t flags;    /* FB_SLOT_* */
    uint8_t message;  /* index in the stream */
    uint16_t capture; /* index of its kept reply, with FB_SLOT_CAPTURE */
} fb_slot;
_Static_assert(sizeof(fb_slot) == 32, "two slots share a cache line");

/* What all workers of a run share: written at phase changes only, but for the failures, which
 * have a cache line of their own, since every worker reads the others in each turn. */
typedef struct fb_shared {
    atomic_bool stop;
    _Atomic uint64_t begin_ns;     /* of load; 0 while connecting */
    _Atomic uint32_t connecting;   /* threads that are not ready yet */
    _Atomic uint32_t open_threads; /* threads whose measured inferences have not all ended */
    _Atomic uint32_t running;      /* threads that have not returned */
    pthread_mutex_t lock;          /* for the condition only */
    pthread_cond_t ended;          /* running is 0 */
    _Alignas(FB_CACHE_LINE) _Atomic uint64_t failures; /* inferences that failed, all phases */
} fb_shared;

/* Whose a place for a kept reply is: the worker's, which fills it, until it is FULL; then of the
 * thread that takes it, until it is FREE. */
enum { FB_CAPTURE_FREE, FB_CAPTURE_FILLING, FB_CAPTURE_FULL };

/* Successes with the same instants, to be recorded at once: in a pipeline most are alike. */
typedef struct fb_run {
    uint64_t intended_ns, sent_ns, received_ns;
    uint64_t n;
} fb_run;

#define FB_LANE_ERROR_CLASSES 32
#define FB_LANE_OTHER_ERRORS "(other)" /* the class of errors that found no place of their own */

typedef struct fb_lane {
    const fb_stream *stream;
    struct fb_router *router; /* of a cluster; NULL = none */
    struct fb_chain *chain;   /* that it is the lane of a step of; NULL = none */
    uint32_t step;            /* which one, from 0 */
    bool dispatched;          /* its inferences wait in queues of the router or the chain */
    const fb_engine_config *config;
    fb_shared *shared;
    /* Of measure; by requests the end is FB_NEVER. The first member keeps lanes, which different
     * threads write, on cache lines of their own. */
    _Alignas(FB_CACHE_LINE) uint64_t measure_ns;
    uint64_t measure_end_ns;
    uint64_t quota; /* by requests: measured inferences left to admit */
    uint64_t group, first_connection;
    uint32_t pattern_at; /* next message of the pattern */
    fb_source source;
    uint32_t connections, ready;
    uint64_t down_since_ns; /* the last one broke then, and nothing was answered since; or 0 */
    fb_error last_break;    /* why a connection was last lost */
    bool started;           /* load has begun */
    bool has_room;          /* open loop: a connection may have a free slot */
    fb_run run;             /* not yet recorded */
    uint64_t open;          /* measured, admitted and not ended */
    uint64_t last_end_ns;
    fb_counts counts;
    uint64_t completed_in_window, answered_in_window, bytes_in_window, gave_up;
    uint64_t late, breaks, reconnects, bytes_sent, bytes_received;
    uint32_t blocked;    /* connections whose output waits for room */
    uint64_t blocked_ns; /* of measure: output waited for room, summed over connections */
    fb_pacer pacer;
    fb_recorder recorder;
    fb_error_class classes[FB_LANE_ERROR_CLASSES];
    uint32_t n_classes;
    uint64_t n_captures, captured; /* replies to keep, and for how many that was tried */
    uint64_t capture_due;          /* next one: intended instant, or quota left */
    fb_capture *captures;          /* ring of capture_room */
    uint8_t *capture_bytes;
    _Atomic uint8_t *capture_states; /* FB_CAPTURE_*: whose each one is */
    uint32_t capture_room, capture_at;
    uint32_t capture_read;              /* of the reader: where it goes on */
    _Atomic uint64_t completed, failed; /* for the snapshot */
} fb_lane;

/* `index` of `share` threads. FB_E_NOMEM; then nothing is held. Before start. */
int fb_lane_init(fb_lane *lane, const fb_stream *stream, const fb_engine_config *config,
                 fb_shared *shared, uint32_t index, fb_error *err);
void fb_lane_fini(fb_lane *lane);

/* Load begins at begin_ns: the phases follow from the clock. */
void fb_lane_begin(fb_lane *lane, uint64_t begin_ns);

/* An inference is intended at that instant: fills *slot; false when none is to be sent. */
bool fb_lane_admit(fb_lane *lane, uint64_t intended_ns, fb_slot *slot);

/* Its first byte left at slot->sent_ns. */
void fb_lane_sent(fb_lane *lane, const fb_slot *slot);

/* Whether it was measure then. */
static inline bool fb_lane_in_window(const fb_lane *lane, uint64_t received_ns)
{
    return received_ns >= lane->measure_ns && received_ns < lane->measure_end_ns;
}

/* Bytes came in, of replies or of what opens a connection. */
static inline void fb_lane_received(fb_lane *lane, uint64_t bytes, uint64_t received_ns)
{
    lane->bytes_received += bytes;
    lane->bytes_in_window += fb_lane_in_window(lane, received_ns) ? bytes : 0;
}

/* Records the successes that wait to be. After what was received has been read. */
void fb_lane_settle(fb_lane *lane);

/* It differs from the one before. */
void fb_lane_replied_apart(fb_lane *lane, const fb_slot *slot, const fb_reply *reply,
                           uint64_t received_ns);

/* How it ended: it is in the books by the next fb_lane_settle. A reply to a timed-out inference is
 * counted as late and nothing else. */
static inline void fb_lane_replied(fb_lane *lane, const fb_slot *slot, const fb_reply *reply,
                                   uint64_t received_ns)
{
    fb_run *run = &lane->run;
    if (run->n > 0 && reply->outcome == FB_OUTCOME_OK && slot->flags == FB_SLOT_MEASURED &&
        slot->sent_ns == run->sent_ns && slot->intended_ns == run->intended_ns &&
        received_ns == run->received_ns) {
        run->n++;
    } else {
        fb_lane_replied_apart(lane, slot, reply, received_ns);
    }
}
void fb_lane_timed_out(fb_lane *lane, fb_slot *slot, uint64_t now_ns);
void fb_lane_lost(fb_lane *lane, const fb_slot *slot, uint64_t now_ns);
/* The run is over and it is still in flight: sent, or before, as FB_SLOT_SENT says; else it still
 * waits. */
void fb_lane_abandoned(fb_lane *lane, const fb_slot *slot, bool sent);

/* An open-loop inference that was due found the queue full: it counts as failed and never sent. */
void fb_lane_overflowed(fb_lane *lane, const fb_slot *slot);

/* Keeps reply bytes of a slot with FB_SLOT_CAPTURE; done: they are the last. */
void fb_lane_capture(fb_lane *lane, const fb_slot *slot, const uint8_t *bytes, size_t len,
                     bool done);

/* The same for a reply that its reader keeps: where to, and when it has ended, what came. */
fb_body fb_lane_capture_room(const fb_lane *lane, const fb_slot *slot);
void fb_lane_captured(fb_lane *lane, const fb_slot *slot, const fb_body *body);

/* Moves a kept reply to `bytes`; false when there is none. One thread at a time, any. */
bool fb_lane_take_capture(fb_lane *lane, uint8_t *bytes, fb_capture *out);

/* What was kept so far is the whole reply: its end is that of the connection. */
void fb_lane_capture_end(fb_lane *lane, const fb_slot *slot);

/* Output waited for room in a socket buffer from then to then. */
void fb_lane_blocked(fb_lane *lane, uint64_t from_ns, uint64_t to_ns);

/* The reply that was being kept is not the one: another will come. */
void fb_lane_capture_again(fb_lane *lane, const fb_slot *slot);

/* Interval of an instant of measure. */
uint64_t fb_lane_interval(const fb_lane *lane, uint64_t now_ns);

/* True when every measured inference has been intended and has ended. */
bool fb_lane_finished(const fb_lane *lane, uint64_t now_ns);

#endif
