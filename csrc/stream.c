#include "stream.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MULTIPLEXED_PIECES \
    1024 /* that wait to be sent: frames of calls, and what is between them */

static int no_memory(fb_error *err)
{
    return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for a stream");
}

static int resolve(fb_stream *s, const fb_stream_config *config, fb_error *err)
{
    s->addresses = calloc((size_t)config->n_endpoints + 1, sizeof *s->addresses);
    if (!s->addresses) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < config->n_endpoints; i++) {
        const fb_endpoint *e = &config->endpoints[i];
        const int rc = e->port == 0 ? fb_address_unix(&s->addresses[i], e->host, err)
                                    : fb_address_tcp(&s->addresses[i], e->host, e->port, err);
        if (rc != FB_OK) {
            return rc;
        }
        s->n_addresses++;
    }
    return FB_OK;
}

static int copy_names(fb_stream *s, const fb_stream_config *config)
{
    s->names = (char **)calloc((size_t)config->n_endpoints + 1, sizeof *s->names);
    for (uint32_t i = 0; s->names && i < config->n_endpoints; i++) {
        const char *name = config->endpoints[i].name;
        s->names[i] = strdup(name ? name : "");
        if (!s->names[i]) {
            return FB_E_NOMEM;
        }
    }
    return s->names ? FB_OK : FB_E_NOMEM;
}

static int copy_cluster(fb_stream *s, const fb_stream_config *config, fb_error *err)
{
    static const char text[] = "*1\r\n$6\r\nASKING\r\n";
    const fb_part part = {
        .kind = FB_PART_TEXT, .bytes = (const uint8_t *)text, .len = sizeof text - 1};
    const fb_message_config asking = {.parts = &part, .n_parts = 1, .replies = 1};
    if (config->owners == NULL) {
        return FB_OK;
    }
    s->owners = malloc(FB_SLOTS * sizeof *s->owners);
    if (!s->owners || copy_names(s, config) != FB_OK) {
        return no_memory(err);
    }
    memcpy(s->owners, config->owners, FB_SLOTS * sizeof *s->owners);
    return fb_message_init(&s->asking, &asking, 0, 0, false, err);
}

static int make_tls(fb_stream *s, const fb_stream_config *config, fb_error *err)
{
    if (config->tls == NULL) {
        return FB_OK;
    }
    fb_error why = {0};
    fb_tls_config wanted = *config->tls;
    wanted.alpn = s->protocol ? s->protocol->alpn : NULL;
    s->tls = fb_tls_new(&wanted, &why);
    return s->tls ? FB_OK : fb_error_set(err, why.code, why.sys_errno, "%s", why.text);
}

/* Memory that no other process can cut short, e.g. data made for this run. */
static bool is_sealed(const fb_data *data)
{
    const int seals = fcntl(data->fd, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

static int copy_data_and_keys(fb_stream *s, const fb_stream_config *config, fb_error *err)
{
    s->data = calloc((size_t)config->n_data + 1, sizeof *s->data);
    s->keys = calloc((size_t)config->n_keys + 1, sizeof *s->keys);
    if (!s->data || !s->keys) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < config->n_data; i++) {
        s->data[s->n_data] = config->data[i];
        if (s->tls && is_sealed(&config->data[i])) {
            s->data[s->n_data].fd = -1; /* then TLS takes it from where it is mapped */
        }
        s->n_data++;
    }
    int rc = FB_OK;
    for (uint32_t i = 0; rc == FB_OK && i < config->n_keys; i++) {
        rc = fb_keys_init(&s->keys[i], &config->keys[i], err);
        s->n_keys += rc == FB_OK;
    }
    return rc;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Compiles n messages into *out; *count is how many stand, also on failure. */
static int compile(fb_stream *s, const fb_message_config *configs, uint32_t n, bool redisai,
                   fb_message **out, uint32_t *count, fb_error *err)
{
    *out = calloc((size_t)n + 1, sizeof **out);
    if (!*out) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < n; i++) {
        const int rc = fb_message_init(&(*out)[i], &configs[i], s->n_keys, s->n_data, redisai, err);
        if (rc != FB_OK) {
            return rc;
        }
        ++*count;
    }
    return FB_OK;
}

static int compile_messages(fb_stream *s, const fb_stream_config *config, fb_error *err)
{
    int rc = compile(s, config->messages, config->n_messages, config->redisai, &s->messages,
                     &s->n_messages, err);
    rc = rc == FB_OK ? compile(s, config->openings, config->n_openings, config->redisai,
                               &s->openings, &s->n_openings, err)
                     : rc;
    for (uint32_t i = 0; i < s->n_messages; i++) {
        const fb_message *m = &s->messages[i];
        s->text_max = larger(s->text_max, m->text_max);
        const uint32_t each = fb_message_pieces(m) + (s->owners != NULL); /* and ASKING */
        s->pieces = larger(s->pieces, s->pipeline * each + 2);
        s->rows = larger(s->rows, m->rows);
    }
    for (uint32_t i = 0; i < s->n_openings; i++) {
        s->opening_text_max = larger(s->opening_text_max, s->openings[i].text_max);
        s->pieces = larger(s->pieces, fb_message_pieces(&s->openings[i]) + 2);
    }
    if (s->protocol && s->protocol->multiplexed) {
        s->pieces = larger(s->pieces, MULTIPLEXED_PIECES);
    }
    return rc;
}

static int copy_pattern(fb_stream *s, const fb_stream_config *config, fb_error *err)
{
    s->n_pattern = config->n_pattern > 0 ? config->n_pattern : 1;
    s->pattern = calloc(s->n_pattern, 1);
    if (!s->pattern) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < config->n_pattern; i++) {
        s->pattern[i] = config->pattern[i];
        if (config->pattern[i] >= config->n_messages) {
            return fb_error_set(err, FB_E_INVAL, 0, "a pattern names message %u of %u",
                                config->pattern[i], config->n_messages);
        }
    }
    return FB_OK;
}

static bool rates_are_good(const fb_schedule *schedule)
{
    for (uint32_t i = 0; i < schedule->n_rates; i++) {
        const fb_rate *rate = &schedule->rates[i];
        const bool last = i + 1 == schedule->n_rates;
        if (!(rate->from_per_s >= 0) || !(rate->to_per_s >= 0) || rate->from_per_s > 1e12 ||
            rate->to_per_s > 1e12 || (rate->duration_ns == 0 && !last)) {
            return false;
        }
    }
    return schedule->n_rates > 0;
}

static int copy_schedule(fb_stream *s, const fb_schedule *config, fb_error *err)
{
    const bool paced =
        config->arrivals == FB_ARRIVALS_CONSTANT || config->arrivals == FB_ARRIVALS_POISSON;
    if (config->arrivals < FB_ARRIVALS_CLOSED || config->arrivals > FB_ARRIVALS_RECORDED ||
        (paced && !rates_are_good(config))) {
        return fb_error_set(err, FB_E_INVAL, 0, "a schedule is malformed");
    }
    fb_rate *rates = calloc((size_t)config->n_rates + 1, sizeof *rates);
    uint64_t *instants = calloc((size_t)config->n_instants + 1, sizeof *instants);
    s->schedule = *config;
    s->schedule.rates = rates;
    s->schedule.instants = instants;
    if (!rates || !instants) {
        return no_memory(err);
    }
    if (config->n_rates > 0) {
        memcpy(rates, config->rates, config->n_rates * sizeof *rates);
    }
    if (config->n_instants > 0) {
        memcpy(instants, config->instants, config->n_instants * sizeof *instants);
    }
    return FB_OK;
}

/* Every dataset must hold the rows that one inference takes, and every chunk fit into its data. */
static int check_parts(const fb_stream *s, const fb_message *m, fb_error *err)
{
    if (m->rows > 0 && m->rows > s->data[0].rows) { /* m->rows: of all its parts together */
        return fb_error_set(err, FB_E_INVAL, 0, "one inference needs %u rows, the dataset has %llu",
                            m->rows, (unsigned long long)s->data[0].rows);
    }
    for (uint32_t i = 0; i < m->n_ops; i++) {
        const fb_part *part = &m->ops[i].part;
        const fb_data *data = part->kind == FB_PART_PAYLOAD || part->kind == FB_PART_CHUNK
                                  ? &s->data[part->data]
                                  : NULL;
        if (part->kind == FB_PART_PAYLOAD && part->rows > data->rows) {
            return fb_error_set(err, FB_E_INVAL, 0,
                                "one inference needs %u rows, the dataset has %llu", part->rows,
                                (unsigned long long)data->rows);
        }
        if (part->kind == FB_PART_CHUNK &&
            s->keys[part->keys].highest > data->rows * data->row_bytes) {
            return fb_error_set(err, FB_E_INVAL, 0, "a chunk of %llu bytes is longer than its data",
                                (unsigned long long)s->keys[part->keys].highest);
        }
    }
    return FB_OK;
}

/* An inference that is passed on is sent again whole: it must be one command with one reply. */
static int check_cluster(const fb_stream *s, fb_error *err)
{
    for (uint32_t i = 0; s->owners && i < s->n_messages; i++) {
        if (s->messages[i].spec.replies != 1) {
            return fb_error_set(err, FB_E_INVAL, 0, "in a cluster an inference is one command");
        }
    }
    return FB_OK;
}

/* A call needs a head and a connection that its protocol opens; there is no cluster of them. */
static int check_calls(const fb_stream *s, fb_error *err)
{
    bool good = !s->protocol->multiplexed || (s->n_openings == 0 && !s->owners);
    for (uint32_t i = 0; good && s->protocol->multiplexed && i < s->n_messages; i++) {
        good = s->messages[i].n_head > 0;
    }
    return good ? FB_OK : fb_error_set(err, FB_E_INVAL, 0, "a call needs a head and no opening");
}

static int check(const fb_stream *s, fb_error *err)
{
    if (!s->protocol || s->n_addresses == 0 || s->connections == 0 || s->pipeline == 0 ||
        s->n_messages == 0 || s->n_messages > UINT8_MAX) {
        return fb_error_set(err, FB_E_INVAL, 0,
                            "a stream needs a protocol, an endpoint, connections, a pipeline and "
                            "1 to 255 messages");
    }
    if (!fb_stream_is_closed_loop(s) && s->max_outstanding == 0) {
        return fb_error_set(err, FB_E_INVAL, 0, "an open loop needs a queue");
    }
    int rc = check_cluster(s, err);
    rc = rc == FB_OK ? check_calls(s, err) : rc;
    for (uint32_t i = 0; rc == FB_OK && i < s->n_messages; i++) {
        rc = check_parts(s, &s->messages[i], err);
    }
    for (uint32_t i = 0; rc == FB_OK && i < s->n_openings; i++) {
        rc = s->openings[i].fetched != 0
                 ? fb_error_set(err, FB_E_INVAL, 0, "an opening sends what a step of a chain got")
                 : check_parts(s, &s->openings[i], err);
    }
    return rc;
}

int fb_stream_init(fb_stream *s, const fb_stream_config *config, fb_error *err)
{
    *s = (fb_stream){
        .protocol = fb_protocol_find(config->protocol),
        .connections = config->connections,
        .pipeline = config->pipeline,
        .max_outstanding = config->max_outstanding,
        .fetch_bytes = config->fetch_bytes,
        .n_before = config->n_before,
    };
    if (s->protocol && s->fetch_bytes > 0) {
        s->protocol = s->protocol->keeping;
    }
    int rc = resolve(s, config, err);
    rc = rc == FB_OK ? copy_cluster(s, config, err) : rc;
    rc = rc == FB_OK ? make_tls(s, config, err) : rc;
    rc = rc == FB_OK ? copy_data_and_keys(s, config, err) : rc;
    rc = rc == FB_OK ? compile_messages(s, config, err) : rc;
    rc = rc == FB_OK ? copy_pattern(s, config, err) : rc;
    rc = rc == FB_OK ? copy_schedule(s, &config->schedule, err) : rc;
    rc = rc == FB_OK ? check(s, err) : rc;
    if (rc != FB_OK) {
        fb_stream_fini(s);
        return rc;
    }
    s->groups = s->rows > 0 ? s->data[0].rows / s->rows : 1;
    return FB_OK;
}

static void free_messages(fb_message *messages, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        fb_message_fini(&messages[i]);
    }
    free(messages);
}

void fb_stream_fini(fb_stream *s)
{
    free_messages(s->messages, s->n_messages);
    free_messages(s->openings, s->n_openings);
    for (uint32_t i = 0; i < s->n_keys; i++) {
        fb_keys_fini(&s->keys[i]);
    }
    free((void *)(uintptr_t)s->schedule.rates);
    free((void *)(uintptr_t)s->schedule.instants);
    for (uint32_t i = 0; s->names && i < s->n_addresses; i++) {
        free(s->names[i]);
    }
    fb_message_fini(&s->asking);
    fb_tls_free(s->tls);
    free((void *)s->names);
    free(s->owners);
    free(s->keys);
    free(s->data);
    free(s->pattern);
    free(s->addresses);
    *s = (fb_stream){0};
}
