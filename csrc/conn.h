/* One connection: a state machine between its lane and its socket.
 *
 *     waiting → connecting → securing → opening → ready    securing: TLS only
 *        ↑_____________________________________________|   whatever breaks, one way out
 *
 * It has inferences in flight (flight.h) on a socket (link.h): sends what is queued, reads replies
 * and tells the books how each inference ended. A connection that breaks loses what it had
 * sent, keeps what it had not, and opens again after a pause; before load has begun a break is
 * fatal. A peer may also say that it closes after a reply (HTTP), or takes no more calls (gRPC):
 * then the connection opens again at once, and what the peer had not taken up is sent again.
 *
 * Worker only. Functions return 0, or a negative code that ends the run, with io->err. */
#ifndef FB_CONN_H
#define FB_CONN_H

#include "flight.h"
#include "link.h"

typedef enum fb_conn_state {
    FB_CONN_WAITING,
    FB_CONN_CONNECTING,
    FB_CONN_SECURING,
    FB_CONN_OPENING,
    FB_CONN_READY,
} fb_conn_state;

typedef struct fb_conn {
    fb_lane *lane;
    fb_link link;
    fb_flight flight;
    void *protocol_state;
    fb_conn_state state;
    uint32_t limit;              /* in flight: the pipeline, or less where the peer takes less */
    uint32_t opening;            /* step that is under way */
    uint64_t deadline_ns;        /* waiting: try again then; until ready: give up then */
    uint64_t connect_by_ns;      /* all tries of this attempt must end then; 0 = none was made */
    uint64_t pause_ns;           /* before the next try */
    uint64_t ready_ns;           /* ready since then */
    uint64_t received_ns;        /* last byte from the peer */
    uint64_t blocked_ns;         /* output waits for room since then; 0 = it does not */
    struct fb_conn *next_handed; /* of those that the dispatch has given something to send */
    bool handed;                 /* it is one of them */
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
