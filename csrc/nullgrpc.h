/* The server's side of gRPC for a null server: every call is answered at once, whatever it asks.
 *
 * HTTP/2 is libnghttp2's. Sans-I/O: bytes come in by fb_nullgrpc_take in any pieces, and what is to
 * be sent is queued in the connection's fb_outq, messages as they stand ready. Request messages
 * are not looked at: most of a long one may be passed over without having been read. One belongs
 * to one connection and one thread. nghttp2 allocates a few small blocks for each call. */
#ifndef FB_NULLGRPC_H
#define FB_NULLGRPC_H

#include "nullreplies.h"
#include "outq.h"

#define FB_NULLGRPC_WINDOW (4 * 1024 * 1024) /* of a stream, and the longest frame taken */
#define FB_NULLGRPC_STREAMS 65536            /* at once on a connection */

typedef struct fb_nullgrpc fb_nullgrpc;

/* Whether this build has it; FB_E_INVAL says what to install. */
int fb_nullgrpc_check(fb_error *err);

/* Lent the replies and the queue. NULL without memory. */
fb_nullgrpc *fb_nullgrpc_new(const fb_nullreplies *replies, fb_outq *out);

/* Reads bytes; *requests is what has been asked in them. False: they are not HTTP/2. */
bool fb_nullgrpc_take(fb_nullgrpc *g, const uint8_t *bytes, size_t len, uint64_t *requests);

/* How many of the next bytes say nothing: of a frame of a message, all but the last. */
uint64_t fb_nullgrpc_skippable(const fb_nullgrpc *g);

/* Passes over n <= fb_nullgrpc_skippable(g) bytes without having seen them. */
void fb_nullgrpc_skip(fb_nullgrpc *g, uint64_t n);

/* Queues what may be sent, as far as there is room. False: nothing was. */
bool fb_nullgrpc_queue(fb_nullgrpc *g);

/* Both sides have said what they had to say: what is queued is the last. */
bool fb_nullgrpc_over(const fb_nullgrpc *g);

/* Accepts NULL. */
void fb_nullgrpc_free(fb_nullgrpc *g);

#endif
