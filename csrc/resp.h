/* Incremental reader of RESP2 and RESP3 replies that stores nothing it need not.
 *
 * Sans-I/O: bytes come in by fb_resp_feed in any pieces; every byte is consumed at once, so the
 * caller may reuse its buffer. Bulk bodies are skipped in place; nested arrays are walked and
 * errors inside them found. No allocation, no recursion: depth and lengths have limits. One
 * reader belongs to one connection and one thread. Fails only with FB_E_PROTOCOL. */
#ifndef FB_RESP_H
#define FB_RESP_H

#include "resp_finding.h"

#define FB_RESP_MAX_DEPTH 16
#define FB_RESP_MAX_LINE (1 << 20)           /* bytes of a simple string, error or big number */
#define FB_RESP_MAX_SHORT 328                /* bytes of any other line: a length, a double, … */
#define FB_RESP_MAX_BULK (INT64_C(1) << 40)  /* bytes of one bulk string */
#define FB_RESP_MAX_ITEMS (INT64_C(1) << 32) /* elements of one aggregate; pairs count twice */

typedef struct fb_resp_reader fb_resp_reader; /* complete below: embedded in a connection */

/* Empties the reader: the next byte begins a reply. */
void fb_resp_init(fb_resp_reader *r);

/* Reads up to len bytes of the replies to one inference.
 *
 * Returns the bytes consumed (> 0): all of them, or fewer when reply->done was set, after which
 * the next call begins the next inference with its own spec. The other fields of reply are set
 * only with done: the first error or "+TIMEDOUT" to arrive decides the outcome (what follows it
 * is its consequence), and only without either does a difference from what was expected count.
 * out_of_step is set for an error WRONGTYPE of a redisai spec whose replies are not one array:
 * RedisAI 1.2.7 replies +OK and then that, twice to one command, when the key of an output holds
 * another type.
 * RESP3 push messages between replies and attributes anywhere are skipped, whatever they hold.
 *
 * FB_E_PROTOCOL leaves a text in r->found.error_text and in r->offset the place since fb_resp_init:
 * of the first byte of the reply element that is wrong, or of the byte that should have ended a
 * bulk string. The reader must then be initialised anew. len must be > 0. */
long fb_resp_feed(fb_resp_reader *r, const fb_resp_spec *spec, const uint8_t *bytes, size_t len,
                  fb_reply *reply);

/* Bytes still to come of a string that is a reply by itself; -1 when none is being read. */
int64_t fb_resp_body_left(const fb_resp_reader *r);

/* Fields are the reader's own, but offset and found.error_text may be read after a failure. */
struct fb_resp_reader {
    uint64_t offset;                  /* bytes consumed since init */
    uint64_t element_at;              /* offset of the type byte of the element being read */
    uint64_t elements_seen;           /* of this inference, those in pushes and attributes apart */
    int64_t body_left;                /* bytes of a bulk string still to skip */
    int64_t items[FB_RESP_MAX_DEPTH]; /* elements still due at each depth */
    uint32_t replies_seen;            /* of this inference */
    uint32_t depth;                   /* aggregates that are open */
    uint32_t skipped;                 /* bit d: the aggregate at depth d is a push or attribute */
    uint32_t line_len;                /* of the line being read, kept or not */
    uint8_t state;
    uint8_t type;    /* of the element being read */
    bool fresh;      /* the next byte begins an inference */
    bool cr_pending; /* the line's last byte was a carriage return */
    bool out_of_step;
    fb_resp_finding found;        /* in this inference; after a failure: what it was */
    char line[FB_RESP_MAX_SHORT]; /* first bytes of a line that came in pieces, or of an error */
};

#endif
