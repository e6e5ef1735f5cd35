#include "base.h"

#include <stdarg.h>
#include <stdio.h>

int fb_error_set(fb_error *err, int code, int sys_errno, const char *format, ...)
{
    if (err == NULL)
        return code;
    err->code = code;
    err->sys_errno = sys_errno;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    /* One line, whatever the arguments held. */
    for (char *c = err->text; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    return code;
}
