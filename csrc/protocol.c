#include "protocol.h"

#include "fastbench.h"

const fb_protocol *fb_protocol_find(int protocol)
{
    switch (protocol) {
    case FB_PROTOCOL_RESP:
        return &fb_resp_protocol;
    case FB_PROTOCOL_HTTP:
        return &fb_http_protocol;
    case FB_PROTOCOL_GRPC:
        return &fb_grpc_protocol;
    default:
        return NULL;
    }
}
