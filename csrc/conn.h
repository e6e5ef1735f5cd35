/* One connection: a state machine between its lane and its socket.
 *
 *     waiting → connecting → securing → opening → ready    securing: TLS only
 *        ↑_____________________________________________|   whatever breaks, one way out
 *
 * It holds up to `pipeline` inferences in flight in order of sending, sends what is queued, reads
 * replies and tells the lane how each inference ended. A connection that breaks loses what it had
 * sent, keeps what it had not, and opens again after a pause; before load has begun a break is
 * fatal. A peer may also say that it closes after a reply (HTTP): then the connection opens again
 * at once, and what the peer had not read is sent again.
 *
 * Where replies come in any order (protocol.h: multiplexed) an inference that has ended leaves the
 * ring at once: those before it move up, so that the ring stays in order of sending. When the peer
 * takes no more calls, those that it has taken up end; the others go out again over a new
 * connection. Worker only. Functions return 0, or a negative code that ends the run, with
 * io->err. */
#ifndef FB_CONN_H
#define FB_CONN_H

#include "route.h"
#include "watch.h"

/* What the connections of one worker share for a moment. */
typedef struct fb_io {
    int epoll_fd;
    uint8_t *buffer;
    size_t buffer_len;
    uint64_t now_ns; /* the newest clock reading */
    fb_watch *watch;
    fb_error err;
} fb_io;

typedef enum fb_conn_state {
    FB_CONN_WAITING,
    FB_CONN_CONNECTING,
    FB_CONN_SECURING,
    FB_CONN_OPENING,
    FB_CONN_READY,
} fb_conn_state;

typedef struct fb_conn {
    fb_lane *lane;
    void *protocol_state;
    fb_outq out;
    fb_slot *slots;    /* ring of `pipeline` */
    fb_route route;    /* in a cluster or a chain */
    fb_calls *calls;   /* replies come in any order; NULL = in that of sending */
    uint32_t *places;  /* with calls: the place of each slot's, or FB_CALLS_NONE */
    uint8_t *text;     /* of each slot or, with calls, of each place, then of the opening */
    uint8_t *prepared; /* message that each of those texts is prepared for */
    uint32_t head;     /* oldest slot in use */
    uint32_t used;
    uint32_t unsent; /* the newest of them: no byte has left */
    uint32_t limit;  /* of those in use: the pipeline, or less where the peer takes less */
    fb_conn_state state;
    int fd;
    fb_tls_session *tls;    /* NULL = a plain socket */
    uint32_t opening;       /* step that is under way */
    uint64_t number;        /* in the run */
    uint64_t deadline_ns;   /* waiting: try again then; until ready: give up then */
    uint64_t connect_by_ns; /* all tries of this attempt must end then; 0 = none was made */
    uint64_t pause_ns;      /* before the next try */
    uint64_t received_ns;   /* last byte from the peer */
    uint64_t blocked_ns;    /* output waits for room since then; 0 = it does not */
    uint64_t begun_ns;      /* TLS sent the first bytes of a record that waits; 0 = none does */
    uint64_t begun;         /* position after what that record may hold */
    bool waits_for_room;    /* epoll tells when there is room */
    bool stamped;           /* the kernel stamps what it receives */
    uint8_t receives;       /* since a stamp was last looked at */
} fb_conn;

/* FB_E_NOMEM; then nothing is held. */
int fb_conn_init(fb_conn *c, fb_lane *lane, uint64_t number, fb_error *err);
void fb_conn_fini(fb_conn *c);

/* Begins to connect. */
int fb_conn_open(fb_conn *c, fb_io *io);

/* What epoll said about its socket. */
int fb_conn_event(fb_conn *c, fb_io *io, uint32_t events);

/* Time has passed: time-outs, and reconnecting. Call every few milliseconds. */
int fb_conn_tick(fb_conn *c, fb_io *io);

/* Closed loop: fills every free slot with an inference intended at that instant, and sends. */
int fb_conn_fill(fb_conn *c, fb_io *io, uint64_t intended_ns);

/* Open loop: queues one admitted inference; fb_conn_send must follow. */
bool fb_conn_has_room(const fb_conn *c);
void fb_conn_take(fb_conn *c, const fb_slot *slot);
int fb_conn_send(fb_conn *c, fb_io *io);
/* In a cluster or a chain: queues as many as wait for its node or step and it has room for;
 * fb_conn_send must follow. */
void fb_conn_pull(fb_conn *c);
/* Takes back the oldest inference of a connection that is not ready; false when there is none, and
 * in a closed loop, where inferences stay with their connection. */
bool fb_conn_take_back(fb_conn *c, fb_slot *slot);

/* The run is over: accounts for what is still in flight and closes the socket. */
void fb_conn_close(fb_conn *c, uint64_t now_ns);

#endif
