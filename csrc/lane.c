#include "lane.h"

#include <stdlib.h>
#include <string.h>

/* Where part `index` begins when `total` is dealt out evenly to `share`, one part after another. */
static uint64_t dealt_before(uint64_t total, uint32_t index, uint32_t share)
{
    const uint64_t rest = total % share;
    return total / share * index + (index < rest ? index : rest);
}

/* Part `index` when `total` is dealt out evenly to `share`. */
static uint64_t deal(uint64_t total, uint32_t index, uint32_t share)
{
    return total / share + (index < total % share);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int init_captures(fb_lane *lane, uint64_t n, fb_error *err)
{
    const size_t each = lane->config->capture_bytes;
    const uint32_t wanted = lane->config->capture_room;
    const size_t room = smaller(smaller(n, wanted > 0 ? wanted : n), UINT16_MAX);
    lane->n_captures = n;
    lane->capture_room = (uint32_t)room;
    lane->captures = calloc(room + 1, sizeof *lane->captures);
    lane->capture_states = calloc(room + 1, sizeof *lane->capture_states);
    lane->capture_bytes = malloc(room * each + 1);
    if (!lane->captures || !lane->capture_states || !lane->capture_bytes) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %zu replies of %zu bytes", room,
                            each);
    }
    memset(lane->capture_bytes, 0, room * each); /* so that no page is missing while it measures */
    return FB_OK;
}

/* Streams draw apart: two of the same rate must not be due at the same instants. */
static uint64_t seed_of(const fb_lane *lane)
{
    return lane->config->seed + lane->stream->index * UINT64_C(0x9E3779B97F4A7C15);
}

/* Sequences of different threads start apart, as their quotas do: as many inferences as the range
 * has values cover it once. So it is with the rows of the dataset. */
static int init_source(fb_lane *lane, uint32_t index, fb_error *err)
{
    const fb_stream *s = lane->stream;
    lane->source = (fb_source){.data = s->data, .keys = s->keys};
    fb_random_init(&lane->source.random, ~(seed_of(lane) + index));
    lane->source.positions = calloc((size_t)s->n_keys + 1, sizeof(uint64_t));
    if (!lane->source.positions) {
        return fb_error_set(err, FB_E_NOMEM, 0, "out of memory for %u keys", s->n_keys);
    }
    for (uint32_t i = 0; i < s->n_keys; i++) {
        lane->source.positions[i] = dealt_before(s->keys[i].count, index, lane->config->threads);
    }
    return FB_OK;
}

int fb_lane_init(fb_lane *lane, const fb_stream *stream, const fb_engine_config *config,
                 fb_shared *shared, uint32_t index, fb_error *err)
{
    const uint32_t share = config->threads;
    memset(lane, 0, sizeof *lane);
    lane->stream = stream;
    lane->config = config;
    lane->shared = shared;
    const uint64_t captures = stream->comes_before ? 0 : deal(config->captures, index, share);
    lane->quota = stream->comes_before ? 0 : deal(config->requests, index, share);
    lane->group = dealt_before(stream->groups, index, share) % stream->groups;
    lane->connections = (uint32_t)deal(stream->connections, index, share);
    lane->first_connection =
        stream->first_connection + (uint32_t)dealt_before(stream->connections, index, share);
    fb_pacer_init(&lane->pacer, &stream->schedule, index, share, seed_of(lane));
    int rc = init_source(lane, index, err);
    rc = rc == FB_OK ? fb_recorder_init(&lane->recorder, err) : rc;
    rc = rc == FB_OK ? init_captures(lane, captures, err) : rc;
    if (rc != FB_OK) {
        fb_lane_fini(lane);
    }
    return rc;
}

void fb_lane_fini(fb_lane *lane)
{
    fb_recorder_fini(&lane->recorder);
    free(lane->source.positions);
    lane->source.positions = NULL;
    free(lane->captures);
    free(lane->capture_bytes);
    free((void *)lane->capture_states);
    lane->captures = NULL;
    lane->capture_states = NULL;
    lane->capture_bytes = NULL;
}

static bool by_count(const fb_lane *lane)
{
    return lane->config->duration_ns == 0;
}

void fb_lane_begin(fb_lane *lane, uint64_t begin_ns)
{
    const fb_engine_config *config = lane->config;
    lane->measure_ns = begin_ns + config->warmup_ns;
    lane->measure_end_ns = by_count(lane) ? FB_NEVER : lane->measure_ns + config->duration_ns;
    lane->capture_due = by_count(lane) ? lane->quota : lane->measure_ns;
    lane->started = true;
    fb_pacer_begin(&lane->pacer, begin_ns);
}

/* Kept replies are spread evenly over measure: by time, or by number. */
static bool capture_is_due(fb_lane *lane, uint64_t intended_ns)
{
    if (lane->captured == lane->n_captures) {
        return false;
    }
    if (by_count(lane)) {
        const bool due = lane->quota <= lane->capture_due;
        lane->capture_due -= due ? lane->quota / (lane->n_captures - lane->captured) : 0;
        return due;
    }
    const bool due = intended_ns >= lane->capture_due;
    lane->capture_due += due ? lane->config->duration_ns / lane->n_captures : 0;
    return due;
}

/* A place that is not free is passed by: its reply is still due, or nobody has taken it yet. */
static void begin_capture(fb_lane *lane, fb_slot *slot)
{
    const uint32_t i = lane->capture_at;
    lane->captured++;
    lane->capture_at = i + 1 < lane->capture_room ? i + 1 : 0;
    /* Pairs with the release in fb_lane_take_capture: the reader is done with the bytes. */
    if (atomic_load_explicit(&lane->capture_states[i], memory_order_acquire) != FB_CAPTURE_FREE) {
        return;
    }
    atomic_store_explicit(&lane->capture_states[i], FB_CAPTURE_FILLING, memory_order_relaxed);
    slot->flags |= FB_SLOT_CAPTURE;
    slot->capture = (uint16_t)i;
    lane->captures[i] = (fb_capture){
        .row = (uint64_t)slot->group * lane->stream->rows,
        .bytes = lane->capture_bytes + (size_t)i * lane->config->capture_bytes,
    };
}

static uint32_t next_group(fb_lane *lane)
{
    const uint64_t group = lane->group;
    lane->group = group + 1 < lane->stream->groups ? group + 1 : 0;
    return (uint32_t)group;
}

static uint8_t next_message(fb_lane *lane)
{
    const uint32_t at = lane->pattern_at;
    lane->pattern_at = at + 1 < lane->stream->n_pattern ? at + 1 : 0;
    return lane->stream->pattern[at];
}

bool fb_lane_admit(fb_lane *lane, uint64_t intended_ns, fb_slot *slot)
{
    const bool measured = intended_ns >= lane->measure_ns && intended_ns < lane->measure_end_ns;
    if (measured && by_count(lane) && lane->quota == 0) {
        return false;
    }
    *slot = (fb_slot){
        .intended_ns = intended_ns,
        .group = next_group(lane),
        .message = next_message(lane),
    };
    if (measured) {
        slot->flags = FB_SLOT_MEASURED;
        lane->counts.intended++;
        lane->open++;
        if (FB_UNLIKELY(lane->n_captures > 0) && capture_is_due(lane, intended_ns)) {
            begin_capture(lane, slot);
        }
        lane->quota -= by_count(lane);
    }
    return true;
}

void fb_lane_sent(fb_lane *lane, const fb_slot *slot)
{
    if (slot->flags & FB_SLOT_MEASURED) {
        lane->counts.sent++;
        if (!fb_stream_is_closed_loop(lane->stream)) {
            fb_hist_record(&lane->recorder.active->lag, slot->sent_ns - slot->intended_ns);
        }
    }
}

/* Single writer: a plain add that a reader may watch. */
static void bump(_Atomic uint64_t *counter, uint64_t n)
{
    const uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + n, memory_order_relaxed);
}

static void count_failure(fb_lane *lane)
{
    bump(&lane->failed, 1);
    atomic_fetch_add_explicit(&lane->shared->failures, 1, memory_order_relaxed);
}

static void count_error_class(fb_lane *lane, const fb_reply *reply)
{
    for (uint32_t i = 0; i < lane->n_classes; i++) {
        if (strcmp(lane->classes[i].name, reply->error_class) == 0) {
            lane->classes[i].count++;
            return;
        }
    }
    /* The last entry takes what found no place of its own. */
    const bool room = lane->n_classes + 1 < FB_LANE_ERROR_CLASSES;
    fb_error_class *entry = &lane->classes[lane->n_classes];
    if (entry->count++ == 0) {
        strncpy(entry->name, room ? reply->error_class : FB_LANE_OTHER_ERRORS,
                sizeof entry->name - 1);
        strncpy(entry->first_text, reply->error_text, sizeof entry->first_text - 1);
    }
    lane->n_classes += room;
}

/* The inference has ended. What is no answer, or came too late to be one, is not to be verified. */
static void end_capture(fb_lane *lane, const fb_slot *slot, bool ok)
{
    if (FB_UNLIKELY(slot->flags & FB_SLOT_CAPTURE)) {
        lane->captures[slot->capture].whole &= ok;
        /* Pairs with the acquire in fb_lane_take_capture: the bytes are there. */
        atomic_store_explicit(&lane->capture_states[slot->capture], FB_CAPTURE_FULL,
                              memory_order_release);
    }
}

static void close_measured(fb_lane *lane, uint64_t now_ns, uint64_t n)
{
    lane->open -= n;
    lane->last_end_ns = now_ns > lane->last_end_ns ? now_ns : lane->last_end_ns;
}

static void record_failure(fb_lane *lane, const fb_reply *reply)
{
    if (reply->outcome == FB_OUTCOME_TIMEDOUT) {
        lane->recorder.active->timeouts++;
        lane->counts.timeouts++;
        lane->gave_up++;
    } else {
        lane->recorder.active->errors++;
        lane->counts.errors++;
        count_error_class(lane, reply);
    }
}

/* Throughput is what came back during measure, whenever it was intended: an inference in flight
 * when measure begins stands for the one in flight when it ends. */
static void count_in_window(fb_lane *lane, bool ok, uint64_t received_ns, uint64_t n)
{
    if (fb_lane_in_window(lane, received_ns)) {
        lane->answered_in_window += n;
        lane->completed_in_window += ok ? n : 0;
        lane->recorder.active->completed += ok ? n : 0;
    }
}

void fb_lane_settle(fb_lane *lane)
{
    const fb_run run = lane->run;
    if (run.n == 0) {
        return;
    }
    fb_interval *now = lane->recorder.active;
    count_in_window(lane, true, run.received_ns, run.n);
    bump(&lane->completed, run.n);
    close_measured(lane, run.received_ns, run.n);
    fb_hist_record_n(&now->response, run.received_ns - run.intended_ns, run.n);
    fb_hist_record_n(&now->service, run.received_ns - run.sent_ns, run.n);
    now->ok += run.n;
    lane->counts.ok += run.n;
    lane->run.n = 0;
}

static void begin_run(fb_lane *lane, const fb_slot *slot, uint64_t received_ns)
{
    fb_lane_settle(lane);
    lane->run = (fb_run){slot->intended_ns, slot->sent_ns, received_ns, 1};
}

void fb_lane_replied_apart(fb_lane *lane, const fb_slot *slot, const fb_reply *reply,
                           uint64_t received_ns)
{
    const bool ok = reply->outcome == FB_OUTCOME_OK && !(slot->flags & FB_SLOT_TIMEDOUT);
    end_capture(lane, slot, ok);
    if (FB_LIKELY(ok && (slot->flags & FB_SLOT_MEASURED))) {
        begin_run(lane, slot, received_ns);
        return;
    }
    count_in_window(lane, ok, received_ns, 1);
    if (FB_UNLIKELY(slot->flags & FB_SLOT_TIMEDOUT)) {
        lane->late++;
        return;
    }
    bump(&lane->completed, 1);
    if (!ok) {
        count_failure(lane);
    }
    if (slot->flags & FB_SLOT_MEASURED) {
        close_measured(lane, received_ns, 1);
        record_failure(lane, reply);
    }
}

void fb_lane_timed_out(fb_lane *lane, fb_slot *slot, uint64_t now_ns)
{
    slot->flags |= FB_SLOT_TIMEDOUT;
    count_failure(lane);
    if (slot->flags & FB_SLOT_MEASURED) {
        lane->counts.timeouts++;
        lane->recorder.active->timeouts++;
        close_measured(lane, now_ns, 1);
    }
}

void fb_lane_lost(fb_lane *lane, const fb_slot *slot, uint64_t now_ns)
{
    end_capture(lane, slot, false);
    if (slot->flags & FB_SLOT_TIMEDOUT) {
        return; /* its outcome stands already */
    }
    count_failure(lane);
    if (slot->flags & FB_SLOT_MEASURED) {
        lane->counts.lost++;
        lane->recorder.active->lost++;
        close_measured(lane, now_ns, 1);
    }
}

void fb_lane_overflowed(fb_lane *lane, const fb_slot *slot)
{
    count_failure(lane);
    fb_lane_abandoned(lane, slot, false);
}

void fb_lane_abandoned(fb_lane *lane, const fb_slot *slot, bool sent)
{
    const bool ever_sent = sent || (slot->flags & FB_SLOT_SENT);
    end_capture(lane, slot, false);
    if ((slot->flags & FB_SLOT_MEASURED) && !(slot->flags & FB_SLOT_TIMEDOUT)) {
        lane->counts.unfinished += ever_sent;
        lane->counts.never_sent += !ever_sent;
        lane->open--;
    }
}

void fb_lane_capture(fb_lane *lane, const fb_slot *slot, const uint8_t *bytes, size_t len,
                     bool done)
{
    fb_capture *capture = &lane->captures[slot->capture];
    const size_t room = lane->config->capture_bytes - capture->len;
    uint8_t *to = lane->capture_bytes + (size_t)slot->capture * lane->config->capture_bytes;
    memcpy(to + capture->len, bytes, len < room ? len : room);
    capture->len += (uint32_t)(len < room ? len : room);
    capture->whole = done && len <= room;
}

fb_body fb_lane_capture_room(const fb_lane *lane, const fb_slot *slot)
{
    const uint32_t room = lane->config->capture_bytes;
    return (fb_body){.bytes = lane->capture_bytes + (size_t)slot->capture * room, .room = room};
}

void fb_lane_captured(fb_lane *lane, const fb_slot *slot, const fb_body *body)
{
    fb_capture *capture = &lane->captures[slot->capture];
    capture->whole = body->len <= body->room;
    capture->len = capture->whole ? (uint32_t)body->len : body->room;
}

bool fb_lane_take_capture(fb_lane *lane, uint8_t *bytes, fb_capture *out)
{
    for (uint32_t i = 0; i < lane->capture_room; i++) {
        const uint32_t at = lane->capture_read;
        lane->capture_read = at + 1 < lane->capture_room ? at + 1 : 0;
        /* Pairs with the release in end_capture. */
        if (atomic_load_explicit(&lane->capture_states[at], memory_order_acquire) ==
            FB_CAPTURE_FULL) {
            *out = lane->captures[at];
            memcpy(bytes, out->bytes, out->len);
            out->bytes = bytes;
            /* Pairs with the acquire in begin_capture. */
            atomic_store_explicit(&lane->capture_states[at], FB_CAPTURE_FREE, memory_order_release);
            return true;
        }
    }
    return false;
}

void fb_lane_capture_end(fb_lane *lane, const fb_slot *slot)
{
    fb_capture *capture = &lane->captures[slot->capture];
    capture->whole = capture->len < lane->config->capture_bytes; /* else it may have been longer */
}

void fb_lane_blocked(fb_lane *lane, uint64_t from_ns, uint64_t to_ns)
{
    const uint64_t from = from_ns > lane->measure_ns ? from_ns : lane->measure_ns;
    const uint64_t to = to_ns < lane->measure_end_ns ? to_ns : lane->measure_end_ns;
    lane->blocked_ns += lane->started && to > from ? to - from : 0;
}

void fb_lane_capture_again(fb_lane *lane, const fb_slot *slot)
{
    if (slot->flags & FB_SLOT_CAPTURE) {
        lane->captures[slot->capture].len = 0;
        lane->captures[slot->capture].whole = false;
    }
}

uint64_t fb_lane_interval(const fb_lane *lane, uint64_t now_ns)
{
    return now_ns > lane->measure_ns ? (now_ns - lane->measure_ns) / lane->config->interval_ns : 0;
}

bool fb_lane_finished(const fb_lane *lane, uint64_t now_ns)
{
    /* A thread that was late may not have taken up all that was due within measure. */
    const bool all_intended =
        by_count(lane)
            ? lane->quota == 0
            : now_ns >= lane->measure_end_ns && fb_pacer_due(&lane->pacer) >= lane->measure_end_ns;
    return lane->started && all_intended && lane->open == 0;
}
