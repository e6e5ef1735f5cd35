/* Hash slots of keys, against what Redis' CLUSTER KEYSLOT says. */
#include "check.h"
#include "slots.h"

static uint16_t slot_of(const char *key)
{
    return fb_slots_of((const uint8_t *)key, strlen(key));
}

/* The check value that the CRC catalogues give for CRC-16/XMODEM. */
static void test_crc16(void)
{
    CHECK_EQ(0x31c3, fb_slots_crc16((const uint8_t *)"123456789", 9));
    CHECK_EQ(0, fb_slots_crc16(NULL, 0));
}

static void test_keys(void)
{
    CHECK_EQ(12739, slot_of("123456789"));
    CHECK_EQ(2592, slot_of("key:0"));
    CHECK_EQ(9117, slot_of("key:999999"));
    CHECK_EQ(0, slot_of(""));
}

/* The first "{" and the first "}" after it count, and only with something between. */
static void test_tags(void)
{
    CHECK_EQ(3443, slot_of("{user1000}.following"));
    CHECK_EQ(3443, slot_of("user1000"));
    CHECK_EQ(8363, slot_of("foo{}{bar}"));
    CHECK_EQ(4015, slot_of("foo{{bar}}zap"));
    CHECK_EQ(5061, slot_of("foo{bar}{zap}"));
    CHECK_EQ(4092, slot_of("{"));
    CHECK_EQ(13340, slot_of("a{b"));
    CHECK_EQ(16287, slot_of("}{x}"));
}

int main(void)
{
    RUN(test_crc16);
    RUN(test_keys);
    RUN(test_tags);
    return check_result();
}
