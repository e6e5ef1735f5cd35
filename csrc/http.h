/* Incremental reader of HTTP/1.1 replies, or requests (RFC 9112), that stores nothing it need not.
 *
 * Sans-I/O: bytes come in by fb_http_feed in any pieces; every byte is consumed at once, so the
 * caller may reuse its buffer. Bodies are skipped in place, whichever way they are framed:
 * Content-Length, chunks with extensions and trailers, or the end of the connection. Interim
 * replies (1xx) are skipped. No allocation, no recursion; every length has a limit. One reader
 * belongs to one connection and one thread. Fails only with FB_E_PROTOCOL.
 *
 * Lines end with CR LF, and a head that could be read in two ways is refused: Content-Length
 * beside Transfer-Encoding or twice with different values, a blank before a colon, a folded
 * line after one of the fields that frame the reply. */
#ifndef FB_HTTP_H
#define FB_HTTP_H

#include "http_framing.h"
#include "reply.h"

#define FB_HTTP_MAX_LINE (64 * 1024)  /* bytes of one line, its end apart */
#define FB_HTTP_MAX_HEAD (256 * 1024) /* bytes of all lines of a reply, interim ones included */
#define FB_HTTP_KEPT 256 /* bytes of a line that are looked at; a framing field must fit */
#define FB_HTTP_PATH 96  /* room for what a request is for */

/* What is read: the reply to what was asked, which decides whether it has a body, or a request. */
typedef enum fb_http_method {
    FB_HTTP_OTHER,
    FB_HTTP_HEAD,    /* its reply has the head of a body that does not follow */
    FB_HTTP_REQUEST, /* nothing was asked yet: requests themselves are read, as by a server */
} fb_http_method;

/* Fields are the reader's own, but offset and error_text may be read after a failure; asked, old,
 * path and path_len after a request. */
typedef struct fb_http_reader {
    uint64_t offset;      /* bytes consumed since init */
    uint64_t line_at;     /* offset of the first byte of the line being read */
    uint64_t body_left;   /* bytes of a body or a chunk still to skip */
    fb_http_framing said; /* by the head's fields so far */
    uint32_t line_len;    /* of the line being read, kept or not */
    uint32_t head_len;    /* bytes of all lines of this reply, its chunks' apart */
    uint16_t status;
    uint8_t state;
    uint8_t asked;     /* of a request: FB_HTTP_HEAD or FB_HTTP_OTHER */
    uint8_t kept_for;  /* bytes of an error's body still to keep */
    uint8_t error_len; /* of error_text, while an error's body is read */
    bool cr_pending;   /* the line's last byte was a carriage return */
    bool fresh;        /* the next byte begins a reply */
    bool old;          /* HTTP/1.0, which closes unless it says otherwise */
    bool closes;       /* the peer closes the connection after this reply */
    bool framing;      /* the last field was one that frames the reply: it may not be folded */
    bool any_field;    /* a field line was read: only then can one be folded */
    char error_class[FB_ERROR_CLASS_MAX];
    char error_text[FB_ERROR_TEXT_MAX];
    char line[FB_HTTP_KEPT]; /* first bytes of a line that came in pieces */
    char path[FB_HTTP_PATH]; /* what a request is for, as it stands there */
    uint8_t path_len;        /* 0 = it is longer than its room */
} fb_http_reader;

/* Empties the reader: the next byte begins a reply. */
void fb_http_init(fb_http_reader *r);

/* Reads up to len bytes of the reply to one request.
 *
 * Returns the bytes consumed (> 0): all of them, or fewer when reply->done was set, after which
 * the next call begins the next reply. The other fields of reply are set only with done: status
 * 2xx is ok, any other an error of the class "HTTP 404" whose text is the status line's and the
 * first line of the body; reply->last says that the peer closes the connection after it.
 *
 * Of requests every one is ok; one that frames no body has none, and of a request line longer than
 * FB_HTTP_KEPT the version is taken for 1.1.
 *
 * FB_E_PROTOCOL leaves a text in r->error_text and in r->offset the place since fb_http_init: of
 * the wrong byte, or of the first byte of the wrong line. The reader must then be initialised
 * anew. len must be > 0. */
long fb_http_feed(fb_http_reader *r, fb_http_method method, const uint8_t *bytes, size_t len,
                  fb_reply *reply);

/* How many of the next bytes say nothing: of a body of known length, all but the last. */
uint64_t fb_http_skippable(const fb_http_reader *r);

/* Passes over n <= fb_http_skippable(r) bytes without having seen them. */
void fb_http_skip(fb_http_reader *r, uint64_t n);

/* The peer has closed the connection: true when that ends a reply, which *reply then holds. */
bool fb_http_end(fb_http_reader *r, fb_reply *reply);

#endif
