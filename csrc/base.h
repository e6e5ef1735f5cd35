/* What every file of csrc may use: result codes, the error context and a few macros.
 *
 * Owns nothing, starts nothing; any thread. Sign rule everywhere: set-up functions return 0 or a
 * negative code and fill fb_error; streaming functions return > 0 bytes, 0 for "need more" or
 * "again", < 0 for a code. */
#ifndef FB_BASE_H
#define FB_BASE_H

#include <stddef.h>
#include <stdint.h>

enum {
    FB_OK = 0,
    FB_E_NOMEM = -1,    /* memory or another fixed resource ran out */
    FB_E_INVAL = -2,    /* an argument is outside its limits */
    FB_E_SYS = -3,      /* a system call failed: fb_error.sys_errno */
    FB_E_CONNECT = -4,  /* no connection could be opened, or all were lost for good */
    FB_E_PROTOCOL = -5, /* the peer's bytes are not its protocol */
    FB_E_REPLY = -6,    /* the peer answered the opening of a connection with an error */
    FB_E_DATA = -7,     /* the dataset file is shorter than it was, or unreadable */
    FB_E_ERRORS = -8,   /* the run passed its limit of failed inferences */
    FB_E_CLOSED = -9,   /* the peer closed the connection */
    FB_E_BROKEN = -10,  /* an invariant of the engine does not hold: a bug */
};

/* Context of a failure, owned by the caller. text is one line, always NUL-terminated. */
typedef struct fb_error {
    int code;
    int sys_errno; /* 0 where no system call was involved */
    char text[240];
} fb_error;

/* Fills err (may be NULL) from a printf format and returns code. */
int fb_error_set(fb_error *err, int code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define FB_CACHE_LINE 64
#define FB_LIKELY(x) __builtin_expect(!!(x), 1)
#define FB_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FB_NS_PER_S UINT64_C(1000000000)
#define FB_NS_PER_MS UINT64_C(1000000)

#endif
