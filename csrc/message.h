/* The bytes of one inference, prepared once: text around slots, and payload sent in place.
 *
 * A message is compiled from its configuration before start and then read-only, shared by all
 * threads. Each in-flight slot of a connection has its own text (text_max bytes, caller's memory).
 * Where all widths are fixed, that text is prepared once and only the fields in it change; where
 * lengths vary it is written anew for each inference. Worker only, except init and fini. */
#ifndef FB_MESSAGE_H
#define FB_MESSAGE_H

#include "fastbench.h"
#include "outq.h"

#define FB_MESSAGE_MAX_PARTS 1024
#define FB_MESSAGE_MAX_FIELDS 64
#define FB_MESSAGE_MAX_HEAD 8192 /* bytes of all names and values, each with its end */

typedef struct fb_op {
    fb_part part;  /* bytes: none */
    uint32_t at;   /* of the text in the template; in the slot too, when all widths are fixed */
    uint32_t size; /* bytes of text; the most it can need, when widths vary */
} fb_op;

typedef struct fb_message {
    uint8_t *text; /* of TEXT parts; fixed widths: of all, fields hold zeros */
    uint32_t text_max;
    fb_op *ops;
    uint32_t n_ops;
    bool varies;       /* a width is not fixed */
    bool draws;        /* fixed widths, but a field changes from inference to inference */
    uint32_t rows;     /* of the first dataset that one inference carries or names; 0 = none */
    uint32_t payloads; /* parts that are not text: they are sent from where they are */
    uint32_t fetched;  /* bit i: it sends what step i of the chain got */
    uint32_t key_from, key_parts; /* the ops that form its key */
    uint32_t key_max;             /* bytes that the key can have */
    fb_resp_expect *expects;
    fb_resp_spec spec;
    fb_field *head;
    uint32_t n_head;
    char *head_text; /* what those point into */
} fb_message;

/* What a lane's inferences are made from. The random generator and positions are the lane's. */
typedef struct fb_source {
    const fb_data *data;
    const fb_keys *keys;
    uint64_t *positions; /* one per keys */
    fb_random random;
    const fb_body *fetched; /* in a chain: what its steps got; must not change until it is sent */
} fb_source;

/* Copies everything out of config; n_keys and n_data: how many the stream has.
 * Fails with FB_E_NOMEM or FB_E_INVAL; then nothing is held. */
int fb_message_init(fb_message *m, const fb_message_config *config, uint32_t n_keys,
                    uint32_t n_data, bool redisai, fb_error *err);
void fb_message_fini(fb_message *m);

/* Writes what never changes on that connection into the text of one slot. */
void fb_message_prepare(const fb_message *m, uint8_t *text, uint64_t connection);

/* Completes the text of a message that is not always the same, and queues it with its payload. */
void fb_message_complete(const fb_message *m, uint8_t *text, fb_source *source, uint64_t connection,
                         uint64_t row, fb_outq *out);

/* Queues the message whose text is prepared. */
static inline void fb_message_push(const fb_message *m, uint8_t *text, fb_source *source,
                                   uint64_t connection, uint64_t row, fb_outq *out)
{
    if (FB_LIKELY(!m->varies && !m->draws && m->payloads == 0)) {
        (void)fb_outq_push_mem(out, text, m->text_max);
    } else {
        fb_message_complete(m, text, source, connection, row, out);
    }
}

/* Draws one inference as fb_message_push does, and writes its key, at most key_max bytes.
 * Returns the key's length. */
size_t fb_message_key(const fb_message *m, fb_source *source, uint64_t row, uint8_t *key);

/* Most pieces that one push can add to the queue. */
static inline uint32_t fb_message_pieces(const fb_message *m)
{
    return 2 * m->payloads + 1;
}

#endif
