/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Quarantines on disk: what was stored is found again, and what is damaged keeps its device away all the
 * same. With a disk that fails: test-quarantine-disk.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/system/quarantine-record.h"
#include "quarantine-bed.h"
#include "shared/cleanup.h"

/* ---- there and back ---- */

START_TEST(with_a_serial_number)
{
        QuarantineRecord record = some_record("smokes"), twin;

        (void) snprintf(record.serial, sizeof(record.serial), "00-11-22-33-44-55-66-77");
        (void) snprintf(record.driver, sizeof(record.driver), "igb");
        (void) snprintf(record.boot_id, sizeof(record.boot_id), "0123456789abcdef0123456789abcdef");
        record.inode = UINT64_MAX - 1;
        twin = record;
        twin.serial[22] = '8';
        quarantine_store_write(store, &record);
        quarantine_store_write(store, &twin);
        restart();
        ck_assert_uint_eq(n_found, 2);
        quarantine_store_remove(store, &twin);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);
        ck_assert_str_eq(found[0].serial, record.serial);
        ck_assert_str_eq(found[0].driver, "igb");
        ck_assert_str_eq(found[0].boot_id, record.boot_id);
        ck_assert_uint_eq(found[0].inode, record.inode);
}
END_TEST

START_TEST(what_was_stored_is_found)
{
        QuarantineRecord record = some_record("it smokes, \"really\"");
        char path[512];
        struct stat st;

        ck_assert_uint_eq(n_found, 0);
        quarantine_store_write(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        (void) snprintf(path, sizeof(path), "%s/" NAME, directory);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);

        record.cause = QUARANTINE_REQUESTED;
        record.n_checks = 0;
        quarantine_store_write(store, &record);
        restart(); /* waits for the disk, too */
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);

        quarantine_store_remove(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        quarantine_store_remove(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        restart();
        ck_assert_uint_eq(n_found, 0);
        ck_assert_uint_eq(n_unstored, 0);
}
END_TEST

/* As it was asked for, though a thread does it. */
START_TEST(in_order)
{
        QuarantineRecord record = some_record("first");

        for (int i = 0; i < 50; i++) {
                quarantine_store_remove(store, &record);
                (void) snprintf(record.reason, sizeof(record.reason), "%d", i);
                quarantine_store_write(store, &record);
        }
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_str_eq(found[0].reason, "49");
}
END_TEST

START_TEST(nobody_is_told_who_has_gone)
{
        QuarantineRecord record = some_record("x");
        QuarantineWait *wait;

        quarantine_store_write(store, &record);
        ck_assert_int_eq(quarantine_store_wait(store, on_stored, NULL, &wait), 0);
        ck_assert_ptr_null(quarantine_store_forget(wait));
        is_stored = false;
        store = quarantine_store_free(store);
        start();
        ck_assert(!is_stored);
        ck_assert_uint_eq(n_found, 1);
        ck_assert_ptr_null(quarantine_store_forget(NULL));
}
END_TEST

/* What an earlier version has written. */
START_TEST(without_a_boot)
{
        put_file(NAME, "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":\"x\","
                       "\"method\":\"flr\",\"uid\":1,\"since\":2,\"checks\":[]}");
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_DEAD);
        ck_assert_str_eq(found[0].boot_id, "");
        ck_assert_uint_eq(found[0].inode, 0);
}
END_TEST

START_TEST(without_a_known_port)
{
        QuarantineRecord record = some_record("x");
        char name[QUARANTINE_NAME_MAX];

        record.port[0] = '\0';
        ck_assert_str_eq(quarantine_name_format(&record, name), "@0000:03:00.0,8086:10d3,8086:a01f.json");
        quarantine_store_write(store, &record);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);
}
END_TEST

START_TEST(the_longest_texts_fit)
{
        QuarantineRecord record = some_record("");

        memset(record.port, 'f', sizeof(record.port) - 1);
        memset(record.reason, '"', sizeof(record.reason) - 1);
        record.n_checks = QUARANTINE_CHECKS_MAX;
        for (size_t i = 0; i < QUARANTINE_CHECKS_MAX; i++) {
                record.checks[i] = record.checks[0];
                memset(record.checks[i].before, '\\', sizeof(record.checks[i].before) - 1);
                memset(record.checks[i].after, '\\', sizeof(record.checks[i].after) - 1);
        }
        quarantine_store_write(store, &record);
        ck_assert_int_eq(wait_stored(), 0);
        restart();
        ck_assert_uint_eq(n_found, 1);
        check_same(&found[0], &record);
}
END_TEST

/* ---- damage ---- */

#define HEAD                                                                                                \
        "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":\"r\",\"method\":"       \
        "\"flr\","                                                                                          \
        "\"uid\":1,\"since\":1,"

static const char *const bad_texts[] = {
        "",
        "{}",
        "[]",
        "\n",
        HEAD "\"checks\":[]",
        HEAD "\"checks\":[]} {}",
        HEAD "\"checks\":[null]}",
        HEAD "\"checks\":[],\"uid\":2}",
        HEAD "\"checks\":[],\"more\":2}",
        HEAD "\"checks\":[{\"check\":\"aer\",\"result\":\"maybe\",\"before\":\"\",\"after\":\"\"}]}",
        HEAD "\"checks\":[{\"check\":\"aer\",\"result\":\"ok\",\"before\":\"\"}]}",
        "{\"version\":2,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":\"r\",\"method\":\"flr\","
        "\"uid\":1,\"since\":1,\"checks\":[]}",
        "{\"version\":1,\"address\":\"03:00.0\",\"cause\":\"dead\",\"reason\":\"r\",\"method\":\"flr\","
        "\"uid\":1,\"since\":1,\"checks\":[]}",
        "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"other\",\"reason\":\"r\",\"method\":"
        "\"flr\","
        "\"uid\":1,\"since\":1,\"checks\":[]}",
        "{\"version\":1,\"address\":\"0000:03:00.0\",\"cause\":\"dead\",\"reason\":7,\"method\":\"flr\","
        "\"uid\":-1,\"since\":1,\"checks\":[]}",
};

START_TEST(a_damaged_record_keeps_its_device_away)
{
        put_file(NAME, bad_texts[_i]);
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_UNREADABLE);
        ck_assert_str_eq(found[0].port, "0000:00:1c.4/00.0");
        ck_assert_uint_eq(found[0].device.device, 0x10d3);
        ck_assert_ptr_nonnull(strstr(found[0].reason, "damaged"));
        /* It is not lost by being read. */
        restart();
        ck_assert_uint_eq(n_found, 1);
}
END_TEST

START_TEST(larger_than_any)
{
        _cleanup_free_ char *text = malloc(QUARANTINE_FILE_MAX + 100);

        ck_assert_ptr_nonnull(text);
        memset(text, ' ', QUARANTINE_FILE_MAX + 99);
        text[QUARANTINE_FILE_MAX + 99] = '\0';
        put_file(NAME, text);
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_UNREADABLE);
}
END_TEST

START_TEST(no_file_at_all)
{
        char path[512];

        put_file("x", "");
        (void) snprintf(path, sizeof(path), "%s/" NAME, directory);
        ck_assert_int_eq(_i == 0 ? mkdir(path, 0700) : _i == 1 ? mkfifo(path, 0600) : symlink("x", path), 0);
        restart();
        ck_assert_uint_eq(n_found, 1);
        ck_assert_int_eq(found[0].cause, QUARANTINE_UNREADABLE);
}
END_TEST

static const char *const bad_names[] = {
        "x",
        ".json",
        ",8086:10d3,8086:a01f.json",
        "@,8086:10d3,8086:a01f.json",
        "@03:00.0,8086:10d3,8086:a01f.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f",
        "0000:00:1c.4_00.0,8086:10d3.json",
        "0000:00:1c.4_00.0,8086:10D3,8086:a01f.json",
        "0000:00:1c.4_00.0,-086:10d3,8086:a01f.json",
        "0000:00:1c.4_00.0,0x86:10d3,8086:a01f.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f.jsonx",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f.json.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f,.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f,00-11.json",
        "0000:00:1c.4_00.0,8086:10d3,8086:a01f,00-11-22-33-44-55-66-7G.json",
        "0000:00:1c.4_\xff,8086:10d3,8086:a01f.json",
};

START_TEST(a_name_that_is_none_is_nobodys)
{
        QuarantineRecord record;

        ck_assert_int_eq(quarantine_name_parse(bad_names[_i], &record), -EBADMSG);
        put_file(bad_names[_i], "{}");
        restart();
        ck_assert_uint_eq(n_found, 0);
        ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(nothing_starts_without_knowing)
{
        QuarantineStore *other;
        char path[512];

        put_file("x", "");
        (void) snprintf(path, sizeof(path), "%s/x", directory);
        ck_assert_int_eq(quarantine_store_new(event, path, &other), 0);
        ck_assert_int_eq(quarantine_store_load(other, on_found, NULL), -ENOTDIR);
        quarantine_store_free(other);

        put_file(NAME, "");
        found_returns = -ENOMEM;
        ck_assert_int_eq(quarantine_store_load(store, on_found, NULL), -ENOMEM);
        found_returns = 0;
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("quarantine-store");
        TCase *tcase = quarantine_case(suite);

        tcase_add_test(tcase, what_was_stored_is_found);
        tcase_add_test(tcase, with_a_serial_number);
        tcase_add_test(tcase, in_order);
        tcase_add_test(tcase, nobody_is_told_who_has_gone);
        tcase_add_test(tcase, without_a_boot);
        tcase_add_test(tcase, without_a_known_port);
        tcase_add_test(tcase, the_longest_texts_fit);
        tcase_add_loop_test(tcase, a_damaged_record_keeps_its_device_away, 0, (int) ELEMENTSOF(bad_texts));
        tcase_add_test(tcase, larger_than_any);
        tcase_add_loop_test(tcase, no_file_at_all, 0, 3);
        tcase_add_loop_test(tcase, a_name_that_is_none_is_nobodys, 0, (int) ELEMENTSOF(bad_names));
        tcase_add_test(tcase, nothing_starts_without_knowing);
        return unit_run(suite);
}
