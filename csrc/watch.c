#include "watch.h"

#include <string.h>

void fb_watch_init(fb_watch *w)
{
    memset(w, 0, sizeof *w);
    fb_hist_clear(&w->reply_lag);
}
