#include "selfsigned.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#define DAY_S (24L * 60 * 60)
#define VERSION_3 2 /* of X.509, counted from 0 */

static bool fill(X509 *cert, EVP_PKEY *key)
{
    static const unsigned char name_text[] = "fastbench null server";
    X509_NAME *name = X509_get_subject_name(cert);
    return X509_set_version(cert, VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), DAY_S) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, name_text, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

int fb_selfsigned_use(SSL_CTX *ctx, fb_error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    const bool done = key != NULL && cert != NULL && fill(cert, key) &&
                      SSL_CTX_use_certificate(ctx, cert) == 1 &&
                      SSL_CTX_use_PrivateKey(ctx, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    return done ? FB_OK : fb_error_set(err, FB_E_NOMEM, 0, "cannot make a certificate");
}
