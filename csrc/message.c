#include "message.h"

#include <stdlib.h>
#include <string.h>

#define MAX_DIGITS 20 /* of a 64-bit number */
#define MAX_GROUPS 10 /* of seven bits in it */

/* ---- compiling ------------------------------------------------------------------------------- */

static uint32_t digits(uint64_t value)
{
    uint32_t n = 1;
    for (; value > 9; value /= 10) {
        n++;
    }
    return n;
}

static bool index_is_bad(const fb_part *part, uint32_t n_keys, uint32_t n_data)
{
    const bool uses_keys = part->kind == FB_PART_CHUNK ||
                           (part->kind == FB_PART_FIELD && part->field == FB_FIELD_KEYS);
    const bool uses_data = part->kind == FB_PART_CHUNK || part->kind == FB_PART_PAYLOAD ||
                           (part->kind == FB_PART_FIELD && part->rows > 0);
    return (uses_keys && part->keys >= n_keys) || (uses_data && part->data >= n_data) ||
           (part->kind == FB_PART_FETCHED && part->data >= FB_CHAIN_MAX_STEPS);
}

/* A number that is not plain decimal has a width; a varint has at most ten groups. */
static bool form_is_bad(const fb_part *part)
{
    return part->kind == FB_PART_FIELD && part->form != FB_FORM_ZEROS &&
           (part->form < FB_FORM_ZEROS || part->form > FB_FORM_VARINT || part->width == 0 ||
            (part->form == FB_FORM_VARINT && part->width > MAX_GROUPS));
}

static int check_part(const fb_message_config *config, uint32_t i, uint32_t n_keys, uint32_t n_data,
                      fb_error *err)
{
    const fb_part *part = &config->parts[i];
    if (part->kind < FB_PART_TEXT || part->kind > FB_PART_FETCHED ||
        index_is_bad(part, n_keys, n_data) || form_is_bad(part) || part->width > MAX_DIGITS ||
        (part->kind == FB_PART_LENGTH &&
         (uint64_t)part->skip + part->covers >= config->n_parts - i) ||
        (part->kind == FB_PART_TEXT && part->len > UINT32_MAX / 4)) {
        return fb_error_set(err, FB_E_INVAL, 0, "part %u of a message is malformed", i);
    }
    return FB_OK;
}

/* A key is known before its connection is: it is text and numbers that do not depend on it. */
static int check_key(const fb_message_config *config, fb_error *err)
{
    bool good = config->key_from <= config->n_parts &&
                config->key_parts <= config->n_parts - config->key_from;
    for (uint32_t i = 0; good && i < config->key_parts; i++) {
        const fb_part *part = &config->parts[config->key_from + i];
        good = part->kind == FB_PART_TEXT ||
               (part->kind == FB_PART_FIELD && part->field != FB_FIELD_CONNECTION);
    }
    return good ? FB_OK : fb_error_set(err, FB_E_INVAL, 0, "the key of a message is malformed");
}

/* Bytes of text that a part needs at most. */
static uint32_t text_size(const fb_part *part)
{
    switch (part->kind) {
    case FB_PART_TEXT:
        return (uint32_t)part->len;
    case FB_PART_FIELD:
        return part->width > 0 ? part->width : MAX_DIGITS;
    case FB_PART_LENGTH:
        return MAX_DIGITS;
    default:
        return 0;
    }
}

/* What is written into the slot's text; the rest is sent from where it is. */
static bool is_text(const fb_part *part)
{
    return part->kind <= FB_PART_LENGTH;
}

static bool varies(const fb_part *part)
{
    return part->kind == FB_PART_LENGTH || part->kind == FB_PART_CHUNK ||
           part->kind == FB_PART_FETCHED || (part->kind == FB_PART_FIELD && part->width == 0);
}

static bool changes(const fb_part *part)
{
    return part->kind == FB_PART_FIELD && part->field != FB_FIELD_CONNECTION;
}

static void add_op(fb_message *m, const fb_part *part)
{
    const uint32_t size = text_size(part);
    m->ops[m->n_ops] = (fb_op){.part = *part, .at = m->text_max, .size = size};
    m->ops[m->n_ops++].part.bytes = NULL;
    if (part->kind == FB_PART_TEXT) {
        memcpy(m->text + m->text_max, part->bytes, part->len);
    }
    m->text_max += size;
    m->varies |= varies(part);
    m->draws |= changes(part);
    m->payloads += !is_text(part);
    m->fetched |= part->kind == FB_PART_FETCHED ? UINT32_C(1) << part->data : 0;
    if ((part->kind == FB_PART_PAYLOAD || part->kind == FB_PART_FIELD) && part->data == 0) {
        m->rows += part->rows;
    }
}

static int allocate(fb_message *m, const fb_message_config *config, fb_error *err)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < config->n_parts; i++) {
        bytes += text_size(&config->parts[i]);
    }
    if (bytes == 0 || bytes > UINT32_MAX / 2 || config->replies == 0 ||
        config->n_parts > FB_MESSAGE_MAX_PARTS) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "a message needs 1 byte to 2 GiB of text, at most %d parts and a reply",
                            FB_MESSAGE_MAX_PARTS);
    }
    m->text = calloc(bytes, 1);
    m->ops = calloc(config->n_parts, sizeof *m->ops);
    m->expects = calloc((size_t)config->n_expects + 1, sizeof *m->expects);
    if (!m->text || !m->ops || !m->expects) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for a message of %zu bytes", bytes);
    }
    return FB_OK;
}

static size_t head_bytes(const fb_message_config *config)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < config->n_head; i++) {
        bytes += strlen(config->head[i].name) + 1 + strlen(config->head[i].value) + 1;
    }
    return bytes;
}

/* Appends one string at *to, which then points behind it. */
static const char *append(char **to, const char *text)
{
    char *at = *to;
    const size_t bytes = strlen(text) + 1;
    memcpy(at, text, bytes);
    *to += bytes;
    return at;
}

static int copy_head(fb_message *m, const fb_message_config *config, fb_error *err)
{
    const size_t bytes = head_bytes(config);
    if (config->n_head > FB_MESSAGE_MAX_FIELDS || bytes > FB_MESSAGE_MAX_HEAD) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "a message's head may have %d fields of %d bytes together",
                            FB_MESSAGE_MAX_FIELDS, FB_MESSAGE_MAX_HEAD);
    }
    m->head = calloc((size_t)config->n_head + 1, sizeof *m->head);
    m->head_text = malloc(bytes + 1);
    if (!m->head || !m->head_text) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for a message's head");
    }
    char *to = m->head_text;
    for (uint32_t i = 0; i < config->n_head; i++) {
        m->head[i].name = append(&to, config->head[i].name);
        m->head[i].value = append(&to, config->head[i].value);
    }
    m->n_head = config->n_head;
    return FB_OK;
}

int fb_message_init(fb_message *m, const fb_message_config *config, uint32_t n_keys,
                    uint32_t n_data, bool redisai, fb_error *err)
{
    *m = (fb_message){0};
    int rc = FB_OK;
    for (uint32_t i = 0; rc == FB_OK && i < config->n_parts; i++) {
        rc = check_part(config, i, n_keys, n_data, err);
    }
    rc = rc == FB_OK ? check_key(config, err) : rc;
    rc = rc == FB_OK ? allocate(m, config, err) : rc;
    rc = rc == FB_OK ? copy_head(m, config, err) : rc;
    if (rc != FB_OK) {
        fb_message_fini(m);
        return rc;
    }
    for (uint32_t i = 0; i < config->n_parts; i++) {
        add_op(m, &config->parts[i]);
    }
    m->key_from = config->key_from;
    m->key_parts = config->key_parts;
    for (uint32_t i = 0; i < m->key_parts; i++) {
        m->key_max += m->ops[m->key_from + i].size;
    }
    if (config->n_expects > 0) {
        memcpy(m->expects, config->expects, config->n_expects * sizeof *m->expects);
    }
    m->spec = (fb_resp_spec){config->replies, redisai, config->n_expects, m->expects};
    return FB_OK;
}

void fb_message_fini(fb_message *m)
{
    free(m->text);
    free(m->ops);
    free(m->expects);
    free(m->head);
    free(m->head_text);
    *m = (fb_message){0};
}

/* ---- fields
 * -------------------------------------------------------------------------------------- */

static void write_zeros(uint8_t *at, uint32_t width, uint64_t value)
{
    for (uint32_t i = width; i > 0; i--) {
        at[i - 1] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

static void write_blanks(uint8_t *at, uint32_t width, uint64_t value)
{
    const uint32_t n = digits(value);
    const uint32_t blanks = n < width ? width - n : 0;
    memset(at, ' ', blanks);
    write_zeros(at + blanks, width - blanks, value);
}

/* Low groups first, each but the last with its top bit set: zeros may follow (protobuf encoding,
 * "Base 128 Varints"). */
static void write_varint(uint8_t *at, uint32_t width, uint64_t value)
{
    for (uint32_t i = 0; i < width; i++) {
        at[i] = (uint8_t)((value & 0x7f) | (i + 1 < width ? 0x80 : 0));
        value >>= 7;
    }
}

static void write_number(uint8_t *at, int form, uint32_t width, uint64_t value)
{
    switch (form) {
    case FB_FORM_BLANKS:
        write_blanks(at, width, value);
        break;
    case FB_FORM_VARINT:
        write_varint(at, width, value);
        break;
    default:
        write_zeros(at, width, value);
        break;
    }
}

static uint64_t draw(fb_source *source, uint32_t keys)
{
    return fb_keys_next(&source->keys[keys], &source->random, &source->positions[keys]);
}

static uint64_t field_value(const fb_part *part, fb_source *source, uint64_t connection,
                            uint64_t row)
{
    switch (part->field) {
    case FB_FIELD_CONNECTION:
        return connection;
    case FB_FIELD_ROW:
        return part->base + row * (part->step > 0 ? part->step : 1);
    default:
        return draw(source, part->keys);
    }
}

void fb_message_prepare(const fb_message *m, uint8_t *text, uint64_t connection)
{
    memcpy(text, m->text, m->text_max);
    for (uint32_t i = 0; i < m->n_ops && !m->varies; i++) {
        const fb_op *op = &m->ops[i];
        if (op->part.kind == FB_PART_FIELD) {
            write_number(text + op->at, op->part.form, op->size,
                         op->part.field == FB_FIELD_CONNECTION ? connection : 0);
        }
    }
}

/* ---- queueing
 * ------------------------------------------------------------------------------------ */

/* Rows of the first dataset are taken in turn; of a shorter one beside it, over and over. */
static uint64_t first_byte(const fb_part *part, const fb_data *data, uint64_t row)
{
    if (part->kind == FB_PART_CHUNK) {
        return 0;
    }
    return (part->data == 0 ? row : row % (data->rows - part->rows + 1)) * data->row_bytes;
}

static void push_data(const fb_part *part, const fb_source *source, uint64_t row, uint64_t bytes,
                      fb_outq *out)
{
    const fb_data *data = &source->data[part->data];
    const uint64_t at = first_byte(part, data, row);
    (void)fb_outq_push_file(out, data->fd, (int64_t)(data->offset + at), data->base + at, bytes);
}

/* All widths are fixed: the text stands, only what changes is written over. */
static void push_fixed(const fb_message *m, uint8_t *text, fb_source *source, uint64_t connection,
                       uint64_t row, fb_outq *out)
{
    uint32_t from = 0; /* text that is not queued yet */
    uint64_t payload_row = row;
    for (uint32_t i = 0; i < m->n_ops; i++) {
        const fb_op *op = &m->ops[i];
        if (changes(&op->part)) {
            write_number(text + op->at, op->part.form, op->size,
                         field_value(&op->part, source, connection, row));
        } else if (op->part.kind == FB_PART_PAYLOAD) {
            (void)fb_outq_push_mem(out, text + from, op->at - from);
            from = op->at;
            push_data(&op->part, source, op->part.data == 0 ? payload_row : row,
                      op->part.rows * source->data[op->part.data].row_bytes, out);
            payload_row += op->part.data == 0 ? op->part.rows : 0;
        }
    }
    (void)fb_outq_push_mem(out, text + from, m->text_max - from);
}

/* What each part of this inference is: drawn once, before lengths are written. */
typedef struct drawn {
    uint64_t value;
    uint64_t bytes;
} drawn;

static drawn draw_part(const fb_op *op, fb_source *source, uint64_t connection, uint64_t row)
{
    const fb_part *part = &op->part;
    drawn d = {0, op->size};
    if (part->kind == FB_PART_TEXT) {
        return d;
    }
    switch (part->kind) {
    case FB_PART_FIELD:
        d.value = field_value(part, source, connection, row);
        d.bytes = part->width > 0 ? part->width : digits(d.value);
        break;
    case FB_PART_PAYLOAD:
        d.bytes = part->rows * source->data[part->data].row_bytes;
        break;
    case FB_PART_CHUNK:
        d.bytes = draw(source, part->keys);
        break;
    case FB_PART_FETCHED:
        d.bytes = source->fetched[part->data].len;
        break;
    default: /* a length is known when the parts that it covers are */
        break;
    }
    return d;
}

static uint64_t covered_bytes(const drawn *parts, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += parts[i].bytes;
    }
    return sum;
}

/* Writes the text of one part at `to` and returns its length. */
static uint32_t write_text(const fb_message *m, const fb_op *op, const drawn *d, uint8_t *to)
{
    if (op->part.kind == FB_PART_TEXT) {
        memcpy(to, m->text + op->at, op->size);
        return op->size;
    }
    if (op->part.kind == FB_PART_LENGTH) {
        const uint64_t bytes = covered_bytes(d + 1 + op->part.skip, op->part.covers);
        const uint32_t n = digits(bytes);
        write_zeros(to, n, bytes);
        return n;
    }
    if (op->part.kind == FB_PART_FIELD) {
        write_number(to, op->part.form, (uint32_t)d->bytes, d->value);
        return (uint32_t)d->bytes;
    }
    return 0;
}

size_t fb_message_key(const fb_message *m, fb_source *source, uint64_t row, uint8_t *key)
{
    uint8_t *to = key;
    for (uint32_t i = 0; i < m->key_from + m->key_parts; i++) {
        const drawn d = draw_part(&m->ops[i], source, 0, row);
        to += i >= m->key_from ? write_text(m, &m->ops[i], &d, to) : 0;
    }
    return (size_t)(to - key);
}

static void push_varying(const fb_message *m, uint8_t *text, fb_source *source, uint64_t connection,
                         uint64_t row, fb_outq *out)
{
    drawn parts[FB_MESSAGE_MAX_PARTS];
    for (uint32_t i = 0; i < m->n_ops; i++) {
        parts[i] = draw_part(&m->ops[i], source, connection, row);
    }
    uint8_t *from = text;
    uint8_t *to = text;
    uint64_t payload_row = row;
    for (uint32_t i = 0; i < m->n_ops; i++) {
        const fb_part *part = &m->ops[i].part;
        if (is_text(part)) {
            to += write_text(m, &m->ops[i], &parts[i], to);
            continue;
        }
        (void)fb_outq_push_mem(out, from, (size_t)(to - from));
        from = to;
        if (FB_UNLIKELY(part->kind == FB_PART_FETCHED)) {
            (void)fb_outq_push_mem(out, source->fetched[part->data].bytes, parts[i].bytes);
            continue;
        }
        push_data(part, source, part->data == 0 ? payload_row : row, parts[i].bytes, out);
        payload_row += part->kind == FB_PART_PAYLOAD && part->data == 0 ? part->rows : 0;
    }
    (void)fb_outq_push_mem(out, from, (size_t)(to - from));
}

void fb_message_complete(const fb_message *m, uint8_t *text, fb_source *source, uint64_t connection,
                         uint64_t row, fb_outq *out)
{
    if (m->varies) {
        push_varying(m, text, source, connection, row, out);
    } else {
        push_fixed(m, text, source, connection, row, out);
    }
}
