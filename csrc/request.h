/* Incremental reader of RESP requests, for the null server: what was asked, not with which data.
 *
 * Sans-I/O: bytes come in by fb_request_feed in any pieces and are consumed at once. Arguments are
 * skipped in place; only the few that shape a reply are looked at, so nothing is stored but their
 * first bytes and the text to echo, which goes to memory that the caller lends. No allocation.
 * Reads arrays of bulk strings and inline commands (words between blanks; quotes mean nothing).
 * One reader belongs to one connection and one thread. Fails only with FB_E_PROTOCOL. */
#ifndef FB_REQUEST_H
#define FB_REQUEST_H

#include "base.h"

#include <stdbool.h>

#define FB_REQUEST_MAX_ARGS (1 << 20)
#define FB_REQUEST_MAX_BULK (INT64_C(1) << 40) /* bytes of one argument */
#define FB_REQUEST_MAX_INLINE (64 * 1024)      /* bytes of an inline command */
#define FB_REQUEST_MAX_OPS 256                 /* ops of one DAG */
#define FB_REQUEST_WORD 24                     /* bytes of an argument that are looked at */
#define FB_REQUEST_LINE 32                     /* bytes of a length line, "\r\n" included */

/* What a command wants for a reply. */
typedef enum fb_request_kind {
    FB_REQUEST_OTHER, /* also every command that nobody knows */
    FB_REQUEST_BULK,  /* GET, AI.TENSORGET */
    FB_REQUEST_DAG,   /* AI.DAGEXECUTE, AI.DAGRUN and their _RO forms */
    FB_REQUEST_PING,
    FB_REQUEST_ECHO,
    FB_REQUEST_HELLO,
    FB_REQUEST_INFO,
    FB_REQUEST_COMMAND,
    FB_REQUEST_QUIT,
} fb_request_kind;

/* The fields above the line may be read when `complete` is set, until the next feed. */
typedef struct fb_request_reader {
    bool complete; /* the last byte consumed ended a command */
    uint8_t kind;  /* fb_request_kind */
    uint32_t args; /* arguments of the command, its name included */
    uint32_t ops;  /* DAG: ops seen; bit i of op_is_bulk is set when the i-th is a TENSORGET */
    uint64_t op_is_bulk[FB_REQUEST_MAX_OPS / 64];
    uint64_t echo_len; /* PING, ECHO: bytes of the 2nd argument, of which echo holds all that fit */
    int64_t version;   /* HELLO: its 2nd argument, 0 when there is none, -1 when no number */
    uint8_t *echo;     /* lent by the caller before a command begins; may be NULL */
    uint64_t echo_room;
    char error_text[40]; /* after a failure: what redis would say */
    /* ---- the reader's own ---- */
    uint8_t state;
    bool op_next;       /* DAG: the next argument names an op */
    bool inline_word;   /* inside a word of an inline command */
    uint32_t args_left; /* of an array */
    uint32_t line_len;  /* of the length line, or of the inline command */
    uint32_t word_len;  /* bytes in word */
    uint64_t arg_len;   /* bytes of the argument that were consumed */
    uint64_t body_left; /* bytes of the argument still to come */
    uint8_t line[FB_REQUEST_LINE];
    uint8_t word[FB_REQUEST_WORD];
} fb_request_reader;

/* Empties the reader: the next byte begins a command. */
void fb_request_init(fb_request_reader *r);

/* Reads at most one command: returns the bytes consumed (> 0), all of them or those up to the end
 * of a command, when r->complete is set. FB_E_PROTOCOL leaves r->error_text; the reader must then
 * be initialised anew. len must be > 0. */
long fb_request_feed(fb_request_reader *r, const uint8_t *bytes, size_t len);

/* How many of the next bytes say nothing: the rest of an argument that nobody looks at. */
uint64_t fb_request_skippable(const fb_request_reader *r);

/* Passes over n <= fb_request_skippable(r) bytes without having seen them. */
void fb_request_skip(fb_request_reader *r, uint64_t n);

#endif
