/* What takes the place of fb_tls where OpenSSL was not there: linked here in any case. */
#include "check.h"
#include "tls.h"

static void test_says_what_is_missing(void)
{
    fb_error err = {0};
    const fb_tls_config config = {.server_name = "h", .min_version = FB_TLS_1_2};
    CHECK(fb_tls_new(&config, &err) == NULL);
    CHECK_EQ(FB_E_INVAL, err.code);
    CHECK(strstr(err.text, "libssl-dev") != NULL);
    CHECK(fb_tls_new_server(NULL, &err) == NULL);
    CHECK(strstr(err.text, "libssl-dev") != NULL);
    fb_tls_free(NULL);
}

static void test_makes_no_session(void)
{
    fb_error err = {0};
    CHECK(fb_tls_session_new(NULL, -1, &err) == NULL);
    CHECK(fb_tls_handshake(NULL, &err) < 0);
    CHECK(fb_tls_step(NULL, NULL, &err) < 0);
    CHECK(!fb_tls_has_begun(NULL));
    CHECK(!fb_tls_has_rest(NULL));
    CHECK(fb_tls_recv(NULL, NULL, 0, &err) < 0);
    CHECK_EQ(FB_E_INVAL, err.code);
    fb_tls_session_free(NULL);
}

int main(void)
{
    RUN(test_says_what_is_missing);
    RUN(test_makes_no_session);
    return check_result();
}
