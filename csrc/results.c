#include "engine.h"

#include <string.h>

/* ---- counts ---------------------------------------------------------------------------------- */

static void add_counts(fb_counts *into, const fb_counts *from)
{
    into->intended += from->intended;
    into->sent += from->sent;
    into->ok += from->ok;
    into->errors += from->errors;
    into->timeouts += from->timeouts;
    into->lost += from->lost;
    into->unfinished += from->unfinished;
    into->never_sent += from->never_sent;
}

static void add_traffic(fb_totals *into, const fb_lane *lane)
{
    into->breaks += lane->breaks;
    into->reconnects += lane->reconnects;
    into->bytes_sent += lane->bytes_sent;
    into->bytes_received += lane->bytes_received;
    into->bytes_answered += lane->bytes_in_window;
    into->blocked_ns += lane->blocked_ns;
}

void fb_engine_totals(const fb_engine *e, uint32_t stream, fb_totals *out)
{
    uint64_t last_end = 0;
    uint64_t ended = 0;
    *out = (fb_totals){.begin_ns = fb_engine_measure_begin(e)};
    for (uint32_t i = 0; i < e->config.threads; i++) {
        const fb_lane *lane = fb_engine_lane(e, i, stream);
        add_counts(&out->counts, &lane->counts);
        out->completed += lane->completed_in_window;
        out->answered += lane->answered_in_window;
        out->gave_up += lane->gave_up;
        out->late += lane->late;
        add_traffic(out, lane);
        for (uint32_t k = 0; k < e->streams[stream].n_before; k++) {
            add_traffic(out, fb_engine_lane(e, i, e->streams[stream].first_before + k));
        }
        last_end = lane->last_end_ns > last_end ? lane->last_end_ns : last_end;
        ended = e->workers[i].ended_ns > ended ? e->workers[i].ended_ns : ended;
    }
    const uint64_t planned = out->begin_ns + e->config.duration_ns;
    out->end_ns = e->config.duration_ns == 0 ? last_end : planned;
    /* A run that ended early measured until then and no longer. */
    out->end_ns = out->end_ns > ended ? ended : out->end_ns;
}

static fb_error_class *find_class(fb_error_class *classes, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(classes[i].name, name) == 0) {
            return &classes[i];
        }
    }
    return NULL;
}

/* The last place is kept for all that find none of their own. */
static void merge_class(fb_error_class *out, uint32_t *n, uint32_t max, const fb_error_class *from)
{
    fb_error_class *place = find_class(out, *n, from->name);
    if (!place && *n + 1 >= max) {
        place = find_class(out, *n, FB_LANE_OTHER_ERRORS);
    }
    if (place) {
        place->count += from->count;
    } else if (*n < max) {
        const bool last = *n + 1 == max;
        out[*n] = *from;
        (void)strcpy(out[*n].name, last ? FB_LANE_OTHER_ERRORS : from->name);
        (*n)++;
    }
}

uint32_t fb_engine_error_classes(const fb_engine *e, uint32_t stream, fb_error_class *out,
                                 uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->config.threads; i++) {
        const fb_lane *lane = fb_engine_lane(e, i, stream);
        for (uint32_t k = 0; k < FB_LANE_ERROR_CLASSES && lane->classes[k].count > 0; k++) {
            merge_class(out, &n, max, &lane->classes[k]);
        }
    }
    return n;
}

static void fill_watched(const fb_worker *w, fb_thread_usage *out)
{
    const fb_watch *watch = w->watch;
    out->run_delay_ns = w->usage_to.run_delay_ns == FB_USAGE_UNKNOWN
                            ? FB_USAGE_UNKNOWN
                            : w->usage_to.run_delay_ns - w->usage_from.run_delay_ns;
    out->spin_ns = watch->spin_ns;
    out->stalls = watch->stalls;
    out->stalled_ns = watch->stalled_ns;
    out->longest_turn_ns = watch->longest_ns;
    out->window_full_ns = watch->window_full_ns;
}

static void add_node_counts(fb_node_counts *into, const fb_node_counts *from)
{
    into->sent += from->sent;
    into->ok += from->ok;
    into->errors += from->errors;
    into->timeouts += from->timeouts;
    into->lost += from->lost;
    into->unfinished += from->unfinished;
    into->moved += from->moved;
    into->asked += from->asked;
}

bool fb_engine_node(const fb_engine *e, uint32_t stream, uint32_t index, fb_node_counts *out)
{
    const fb_stream *s = &e->streams[stream];
    if (!s->owners || index >= s->n_addresses) {
        return false;
    }
    *out = (fb_node_counts){0};
    for (uint32_t i = 0; e->joined && i < e->config.threads; i++) {
        add_node_counts(out, &fb_engine_lane(e, i, stream)->router->nodes[index].counts);
    }
    return true;
}

bool fb_engine_step(const fb_engine *e, uint32_t stream, uint32_t index, fb_hist *out)
{
    const fb_stream *s = &e->streams[stream];
    if (s->n_before == 0 || index > s->n_before) {
        return false;
    }
    fb_hist_clear(out);
    for (uint32_t i = 0; e->joined && i < e->config.threads; i++) {
        fb_hist_add(out, &fb_engine_lane(e, i, stream)->chain->service[index]);
    }
    return true;
}

void fb_engine_thread(const fb_engine *e, uint32_t thread, fb_thread_usage *out)
{
    const fb_worker *w = &e->workers[thread];
    *out = (fb_thread_usage){.tid = atomic_load_explicit(&w->tid, memory_order_relaxed),
                             .cpu = w->cpu};
    if (e->joined && w->usage_to_ns != 0) {
        out->elapsed_ns = w->usage_to_ns - w->usage_from_ns;
        out->user_ns = w->usage_to.user_ns - w->usage_from.user_ns;
        out->system_ns = w->usage_to.system_ns - w->usage_from.system_ns;
        out->voluntary_switches = w->usage_to.voluntary_switches - w->usage_from.voluntary_switches;
        out->involuntary_switches =
            w->usage_to.involuntary_switches - w->usage_from.involuntary_switches;
        out->major_faults = w->usage_to.major_faults - w->usage_from.major_faults;
        fill_watched(w, out);
    }
}

void fb_engine_reply_lag(const fb_engine *e, fb_hist *out)
{
    fb_hist_clear(out);
    for (uint32_t i = 0; e->joined && i < e->started; i++) {
        fb_hist_add(out, &e->workers[i].watch->reply_lag);
    }
}
