/* A server that answers every request of RESP, HTTP/1.1 or gRPC at once with a reply of the right
 * shape, and does nothing else: what a client reaches against it is the client's own ceiling.
 *
 * Of RESP it looks at command names only, never at other arguments: GET and AI.TENSORGET get a bulk
 * string of `reply_bytes` zeros, a DAG an array with one entry per op, PING, ECHO, HELLO, INFO,
 * COMMAND and QUIT what redis would say in short, everything else "+OK". INFO holds the line
 * "fastbench_null_server:1". Over HTTP every request, whatever its method and path, gets 200 with
 * `reply_bytes` zeros and the field "Server: fastbench-null"; what is no request gets 400, and
 * after that, "Connection: close" or HTTP/1.0 the connection is closed. Over gRPC every unary call
 * gets status 0 and one message of `reply_bytes` zeros; windows and frames may have 4 MiB; after a
 * client's GOAWAY its last reply ends the connection. For HTTP and gRPC the caller may give other
 * answers, by path. A connection is not read while its
 * replies wait to be taken, so a client must read while it writes. No allocation per request, but
 * for what libnghttp2 allocates for each call of gRPC. Over TLS it does the same.
 *
 * The server owns its threads, connections, listener and, on a unix socket, the file at its path.
 * Functions may be called from any thread, one at a time. SIGPIPE is never raised. */
#ifndef FB_NULLSERVER_H
#define FB_NULLSERVER_H

#include "base.h"
#include "nullreplies.h"

#define FB_NULLSERVER_REPLY_BYTES 4004    /* 1001 float32: what MobileNet V1 answers */
#define FB_NULLSERVER_MAX_REPLY (1 << 30) /* bytes */
#define FB_NULLSERVER_MAX_THREADS 1024

typedef struct fb_nullserver_config {
    const char *unix_path; /* listens there; NULL = on host and port */
    const char *host;      /* numeric */
    uint16_t port;         /* 0 = any free one */
    uint32_t threads;
    const int *cpus;       /* one per thread; NULL = not pinned */
    bool tls;              /* with a certificate that nobody trusts */
    const char *tls_suite; /* the only cipher, as fb_tls_new_server has it; NULL = any */
    fb_nullreplies_config replies;
} fb_nullserver_config;

/* What one thread did since start; busy share = cpu_ns / elapsed_ns. */
typedef struct fb_nullserver_usage {
    uint64_t cpu_ns;
    uint64_t elapsed_ns;
    uint64_t requests;
    uint64_t bytes; /* received */
} fb_nullserver_usage;

typedef struct fb_nullserver fb_nullserver;

/* Listens: clients may connect, but nothing is answered before start. NULL on failure
 * (FB_E_INVAL, also where gRPC or TLS was not built in; FB_E_NOMEM, FB_E_SYS). The configuration is
 * copied. */
fb_nullserver *fb_nullserver_new(const fb_nullserver_config *config, fb_error *err);

/* The TCP port that it listens on; 0 on a unix socket. */
uint16_t fb_nullserver_port(const fb_nullserver *server);

/* Creates the threads. On failure (FB_E_SYS, FB_E_INVAL for a CPU) none is left running. */
int fb_nullserver_start(fb_nullserver *server, fb_error *err);

/* Fills usage for one thread (0 <= thread < threads), also after stop. */
void fb_nullserver_stats(const fb_nullserver *server, uint32_t thread, fb_nullserver_usage *usage);

/* Ends and joins the threads and closes everything. Again is allowed, and before start. */
void fb_nullserver_stop(fb_nullserver *server);

/* Stops if that was not done. Accepts NULL. */
void fb_nullserver_free(fb_nullserver *server);

#endif
