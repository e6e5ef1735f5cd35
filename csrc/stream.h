/* One source of inferences, compiled from its configuration and then read-only.
 *
 * Shared by all threads. Owned by the engine; the dataset's memory is borrowed. */
#ifndef FB_STREAM_H
#define FB_STREAM_H

#include "net.h"
#include "protocol.h"
#include "tls.h"

typedef struct fb_stream {
    uint32_t index;            /* in the run; set by the engine, as is the next */
    uint64_t first_connection; /* number in the run */
    const fb_protocol *protocol;
    fb_address *addresses;
    uint32_t n_addresses;
    char **names;      /* of a cluster's nodes, by address; NULL elsewhere */
    uint16_t *owners;  /* of a cluster's hash slots: index of the address; NULL = no cluster */
    fb_message asking; /* of a cluster: ASKING */
    fb_tls *tls;       /* NULL = plain sockets */
    uint32_t connections, pipeline;
    fb_message *messages;
    uint32_t n_messages;
    uint8_t *pattern; /* messages in the order in which they are sent, over and over */
    uint32_t n_pattern;
    fb_message *openings;
    uint32_t n_openings;
    uint32_t text_max;         /* of the longest message */
    uint32_t opening_text_max; /* of the longest opening */
    uint32_t pieces;           /* room that a connection's queue needs */
    fb_data *data;
    uint32_t n_data;
    fb_keys *keys;
    uint32_t n_keys;
    uint32_t rows;   /* of the first dataset that one inference takes */
    uint64_t groups; /* inferences that the dataset is cut into; 1 without a dataset */
    fb_schedule schedule;
    uint32_t max_outstanding;
    uint32_t fetch_bytes; /* longest value that it keeps for the steps after it; 0 = none is kept */
    bool comes_before;    /* a step of a chain that another stream leads: it counts nothing */
    uint32_t n_before;    /* steps before this one, which leads the chain; 0 = no chain */
    uint32_t first_before; /* index of the first of them in the run; set by the engine */
} fb_stream;

/* An inference is intended when one before it ends, not by the clock. */
static inline bool fb_stream_is_closed_loop(const fb_stream *s)
{
    return s->schedule.arrivals == FB_ARRIVALS_CLOSED;
}

/* Fails with FB_E_INVAL or FB_E_NOMEM; then nothing is held. Before start. */
int fb_stream_init(fb_stream *s, const fb_stream_config *config, fb_error *err);
void fb_stream_fini(fb_stream *s);

#endif
