/* The server side of `fastbench net`: answers the tests of csrc/netwire.h, a thread for each.
 *
 * Nothing that a client says makes it allocate: requests are read into a buffer of fixed size and
 * thrown away, responses sent from another, over and over. A client that says nothing sensible
 * within 5 s, or nothing at all for 30 s, is dismissed; so is one beyond
 * FB_NETSERVE_MAX_CLIENTS at a time. A client on another machine gets the congestion control that
 * the system gives to new sockets, one on this host "reno".
 *
 * The server owns its threads, connections, buffers and listener. Functions may be called from any
 * thread, one at a time. SIGPIPE is never raised. */
#ifndef FB_NETSERVE_H
#define FB_NETSERVE_H

#include "base.h"

#define FB_NETSERVE_MAX_CLIENTS 16

typedef struct fb_netserve fb_netserve;

/* What became of the connections that have ended. */
typedef struct fb_netserve_stats {
    uint64_t served;  /* tests done, report sent */
    uint64_t refused; /* strangers, other versions, beyond the limits, one too many */
    uint64_t broken;  /* gone, or silent, in the middle of a test */
} fb_netserve_stats;

/* Listens at a numeric address; port 0 = any free one. Clients may connect, but nothing is answered
 * before start. NULL on failure (FB_E_INVAL, FB_E_NOMEM, FB_E_SYS). */
fb_netserve *fb_netserve_new(const char *numeric_host, uint16_t port, fb_error *err);

/* The TCP port that it listens on. */
uint16_t fb_netserve_port(const fb_netserve *server);

/* Starts to answer. FB_E_SYS when there can be no thread. */
int fb_netserve_start(fb_netserve *server, fb_error *err);

void fb_netserve_count(const fb_netserve *server, fb_netserve_stats *stats);

/* Ends every test, joins all threads and closes everything. Again: nothing. */
void fb_netserve_stop(fb_netserve *server);

/* Stops and frees; NULL is allowed. */
void fb_netserve_free(fb_netserve *server);

#endif
