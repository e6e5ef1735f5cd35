/* A certificate that its owner has signed and that nobody trusts, for a server that a client takes
 * whatever it shows: made in memory, with a new key, good for a day. */
#ifndef FB_SELFSIGNED_H
#define FB_SELFSIGNED_H

#include "base.h"

#include <openssl/ssl.h>

/* Gives it to ctx. FB_E_NOMEM. */
int fb_selfsigned_use(SSL_CTX *ctx, fb_error *err);

#endif
