/* The client side of `fastbench net`: one test of the path to a `fastbench net serve`.
 *
 * Blocking, on one connection and the calling thread; everything is allocated by fb_netprobe_new,
 * which owns it until fb_netprobe_free. fb_netprobe_stop may be called from any thread, the rest
 * from one at a time. SIGPIPE is never raised. */
#ifndef FB_NETPROBE_H
#define FB_NETPROBE_H

#include "hist.h"
#include "netwire.h"

typedef struct fb_netprobe_result {
    fb_netcounts client;
    fb_netcounts server; /* as it reported */
    /* RR: of the transactions whose request was sent in the window: how many, from the first
     * request to the last response, and how long each took. */
    uint64_t measured;
    uint64_t measured_ns;
    fb_hist latency;
} fb_netprobe_result;

typedef struct fb_netprobe fb_netprobe;

/* timeout_ns: for connecting, for the greeting, and for each wait for the other end after that.
 * NULL on failure (FB_E_INVAL, FB_E_NOMEM). The test is copied. */
fb_netprobe *fb_netprobe_new(const char *numeric_host, uint16_t port, const fb_nettest *test,
                             uint64_t timeout_ns, fb_error *err);

/* Connects and does the test. Fails with FB_E_CONNECT, FB_E_CLOSED (the server went away, or stop),
 * FB_E_PROTOCOL (it is no such server), FB_E_REPLY (it refuses), FB_E_SYS, or FB_E_BROKEN (the
 * two ends counted different bytes). */
int fb_netprobe_run(fb_netprobe *probe, fb_error *err);

/* Makes a run that goes on, or a later one, end at once. */
void fb_netprobe_stop(fb_netprobe *probe);

/* What was measured. After a run that returned FB_OK. */
const fb_netprobe_result *fb_netprobe_outcome(const fb_netprobe *probe);

/* NULL is allowed. */
void fb_netprobe_free(fb_netprobe *probe);

#endif
