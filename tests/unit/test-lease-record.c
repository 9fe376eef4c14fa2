/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The records of claims as text: what was written can be read, and nothing else can.
 */

#include <errno.h>
#include <string.h>

#include "daemon/system/lease-record.h"
#include "shared/cleanup.h"
#include "unit.h"

#define HEAD                                                                                                \
        "{\"version\":1,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\","    \
        "\"since\":1,"
#define DEVICE(address)                                                                                     \
        "{\"address\":\"" address                                                                           \
        "\",\"vendor\":1,\"device\":2,\"subsystem_vendor\":3,\"subsystem_device\":4}"

START_TEST(a_record_can_be_read)
{
        const char *text = HEAD "\"devices\":[" DEVICE("0000:01:00.0") "," DEVICE("0000:01:00.1") "]}";
        ClaimRecord *record;

        ck_assert_int_eq(lease_record_parse(text, strlen(text), &record), 0);
        ck_assert_uint_eq(record->n_devices, 2);
        ck_assert_uint_eq(record->devices[1].address.function, 1);
        ck_assert_uint_eq(record->devices[1].subsystem_device, 4);
        lease_record_free(record);
}
END_TEST

static const char *const bad_records[] = {
        "",
        "{}",
        "[]",
        HEAD "\"devices\":[]}",
        HEAD "\"devices\":[" DEVICE("01:00.0") "]}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "," DEVICE("0000:01:00.0") "]}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "],\"more\":1}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "]} {}",
        HEAD "\"devices\":[{\"address\":\"0000:01:00.0\"}]}",
        HEAD "\"devices\":[null]}",
        HEAD "\"devices\":[" DEVICE("0000:01:00.0") "],\"uid\":2}",
        "{\"version\":2,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"aaaaaaaaaaa1\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"../"
        "aaaaaaaaa\",\"kind\":\"lease\",\"uid\":1,\"who\":\"\",\"why\":\"\",\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"other\",\"uid\":1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
        "{\"version\":1,\"id\":\"aaaaaaaaaaaa\",\"kind\":\"lease\",\"uid\":-1,\"who\":\"\",\"why\":\"\","
        "\"since\":1,"
        "\"devices\":[" DEVICE("0000:01:00.0") "]}",
};

START_TEST(a_bad_record_is_refused)
{
        ClaimRecord *record;

        ck_assert_int_eq(lease_record_parse(bad_records[_i], strlen(bad_records[_i]), &record), -EBADMSG);
}
END_TEST

START_TEST(the_largest_record_fits)
{
        static ClaimDevice devices[CLAIM_DEVICES_MAX];
        ClaimRecord record = {.kind = CLAIM_LEASE, .uid = 1000, .since = 1795000000000000}, *back;
        _cleanup_free_ char *text = NULL;

        memset(record.who, '"', sizeof(record.who) - 1);
        memset(record.why, '\n', sizeof(record.why) - 1);
        record.devices = devices;
        record.n_devices = CLAIM_DEVICES_MAX;
        strcpy(record.id, "zzzzzzzzzz77");
        for (unsigned i = 0; i < CLAIM_DEVICES_MAX; i++)
                devices[i] = (ClaimDevice){.address = {.domain = UINT32_MAX - i, .bus = 255, .device = 31},
                                           UINT16_MAX,
                                           UINT16_MAX,
                                           UINT16_MAX,
                                           UINT16_MAX};
        ck_assert_int_eq(lease_record_format(&record, &text), 0);
        ck_assert_int_eq(lease_record_parse(text, strlen(text), &back), 0);
        ck_assert_uint_eq(back->n_devices, CLAIM_DEVICES_MAX);
        ck_assert_str_eq(back->who, record.who);
        ck_assert_uint_eq(strlen(back->why), sizeof(record.why) - 1);
        ck_assert_int_eq(back->why[0], '?');
        lease_record_free(back);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("lease-record");

        unit_add(suite, a_record_can_be_read);
        unit_add_table(suite, a_bad_record_is_refused, bad_records);
        unit_add(suite, the_largest_record_fits);
        return unit_run(suite);
}
