/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What becomes of resets is written down, and is known to the next daemon. Without a file that can be used
 * everything else goes on.
 */

#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "harness/fixture.h"
#include "harness/resets.h"

#define HISTORY_DIR  "/var/lib/pciresetd"
#define HISTORY_FILE HISTORY_DIR "/history.db"

#define MESSAGE_ID_ASIDE      "99a522d433ba401fbbc44ce5aa07a259"
#define MESSAGE_ID_UNWRITABLE "c5eccfce8cac471898ec7112c8c5f7b0"

static Reply *history(Client *client)
{
        return manager_call(client, "GetHistory", "a{sv}", 0);
}

/* Resets the card, which must succeed, and returns the id of its row. */
static int64_t reset_well(Client *client, const char *address, const char *method)
{
        _cleanup_reply_ Reply *reply = reset(client, address, method, NULL);

        expect_success(reply);
        return reply_number(reply, "0.history_id");
}

/* ---- rows ---- */

START_TEST(a_row_for_each_attempt)
{
        _cleanup_reply_ Reply *reply = NULL, *rows = NULL;
        struct utsname names;

        ck_assert_int_eq(uname(&names), 0);
        fixture_devices();
        directory_make("%s/nvme/nvme0", sysfs_path(CARD));
        sysfs_set(CARD, "nvme/nvme0/firmware_rev", "1.2.3   ");
        fixture_start();
        model_fail(CARD, "flr", EINVAL);
        reply = reset(alice, CARD, "any", NULL);
        expect_success(reply);
        expect_methods_run(CARD, "flr pm");

        rows = history(alice);
        expect_success(rows);
        ck_assert_uint_eq(reply_length(rows, "0"), 2);
        /* The newest first. */
        ck_assert_int_eq(reply_number(rows, "0.0.id"), reply_number(reply, "0.history_id"));
        ck_assert_str_eq(reply_string(rows, "0.0.method"), "pm");
        ck_assert_str_eq(reply_string(rows, "0.0.outcome"), "done");
        ck_assert_str_eq(reply_string(rows, "0.0.verdict"), "ok");
        ck_assert_int_eq(reply_number(rows, "0.0.errno"), 0);
        ck_assert_uint_gt(reply_length(rows, "0.0.checks"), 3);
        ck_assert_int_eq(reply_number(rows, "0.0.duration_usec"), reply_number(reply, "0.duration_usec"));
        ck_assert_str_eq(reply_string(rows, "0.1.method"), "flr");
        ck_assert_str_eq(reply_string(rows, "0.1.outcome"), "failed");
        ck_assert_int_eq(reply_number(rows, "0.1.errno"), EINVAL);
        /* It is well, but not for that. */
        ck_assert_str_eq(reply_string(rows, "0.1.verdict"), "unverified");
        for (int i = 0; i < 2; i++) {
                json_object *row = json_object_array_get_idx(reply_at(rows, "0"), (size_t) i);

                ck_assert_str_eq(json_object_get_string(json_at(row, "address")), CARD);
                ck_assert_int_eq(json_object_get_int(json_at(row, "vendor_id")), 0x8086);
                ck_assert_int_eq(json_object_get_int(json_at(row, "device_id")), 0x10d3);
                ck_assert_int_eq(json_object_get_int(json_at(row, "class")), 0x020000);
                ck_assert_str_eq(json_object_get_string(json_at(row, "port")), PORT);
                ck_assert_str_eq(json_object_get_string(json_at(row, "kernel")), names.release);
                ck_assert_uint_eq(strlen(json_object_get_string(json_at(row, "boot_id"))), 32);
                ck_assert_str_eq(json_object_get_string(json_at(row, "firmware")), "1.2.3");
                ck_assert_str_eq(json_object_get_string(json_at(row, "source")), "own");
                ck_assert_int_eq(json_object_get_int(json_at(row, "set_size")), 1);
                ck_assert_int_eq(json_object_get_boolean(json_at(row, "written")), true);
                ck_assert_int_eq(json_object_get_int(json_at(row, "uid")), UID_ALICE);
                ck_assert_int_eq(json_object_get_int64(json_at(row, "job")), reply_number(reply, "0.job"));
        }
}
END_TEST

/* Nothing was written to the device, and it says nothing about the hardware. */
START_TEST(a_refusal_is_a_row)
{
        _cleanup_reply_ Reply *reply = NULL, *rows = NULL, *facts = NULL;

        fixture_devices();
        fixture_start();
        reply = reset(bob, CARD, "flr", NULL);
        expect_error(reply, ERROR_ACCESS_DENIED, "");
        rows = history(bob);
        ck_assert_uint_eq(reply_length(rows, "0"), 1);
        ck_assert_int_eq(reply_number(rows, "0.0.id"), reply_number(reply, "1.history_id"));
        ck_assert_str_eq(reply_string(rows, "0.0.outcome"), "denied");
        ck_assert_str_eq(reply_string(rows, "0.0.why"), "not-authorized");
        ck_assert_int_eq(json_object_get_boolean(reply_at(rows, "0.0.written")), false);
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_int_eq(reply_number(facts, "0.0.1.proven.tries"), 0);
}
END_TEST

START_TEST(drivers_before_and_after)
{
        _cleanup_reply_ Reply *rows = NULL;
        MockDevice card = mock_card;

        card.driver = "nvme";
        card.class = 0x010802;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        ck_assert_int_gt(reset_well(alice, CARD, "flr"), 0);
        rows = history(alice);
        ck_assert_str_eq(reply_string(rows, "0.0.driver_before"), "nvme");
        ck_assert_str_eq(reply_string(rows, "0.0.driver_after"), "nvme");
}
END_TEST

/* ---- who sees what ---- */

START_TEST(uids_are_for_themselves_and_root)
{
        _cleanup_reply_ Reply *own = NULL, *others = NULL, *all = NULL, *filtered = NULL, *refused = NULL,
                              *root = NULL;

        fixture_devices();
        fixture_start();
        (void) reset_well(alice, CARD, "flr");
        own = history(alice);
        ck_assert_int_eq(reply_number(own, "0.0.uid"), UID_ALICE);
        others = history(bob);
        ck_assert_uint_eq(reply_length(others, "0"), 1);
        ck_assert_ptr_null(json_at(others->body, "0.0.uid"));
        all = history(observer);
        ck_assert_int_eq(reply_number(all, "0.0.uid"), UID_ALICE);

        refused = manager_call(bob, "GetHistory", "a{sv}", 1, "uid", "u", UID_ALICE);
        expect_error(refused, ERROR_ACCESS_DENIED, "root");
        filtered = manager_call(bob, "GetHistory", "a{sv}", 1, "uid", "u", UID_BOB);
        expect_success(filtered);
        ck_assert_uint_eq(reply_length(filtered, "0"), 0);
        root = manager_call(observer, "GetHistory", "a{sv}", 1, "uid", "u", UID_ALICE);
        ck_assert_uint_eq(reply_length(root, "0"), 1);
}
END_TEST

/* ---- filters ---- */

START_TEST(filters_choose)
{
        static const struct {
                const char *key, *type, *text;
                uint64_t number;
                size_t n;
        } filters[] = {
                {"address", "s", CARD, 0, 2},
                {"address", "s", CARD2, 0, 1},
                {"address", "s", "0000:7f:00.0", 0, 0},
                {"method", "s", "flr", 0, 2},
                {"method", "s", "pm", 0, 1},
                {"verdict", "s", "ok", 0, 3},
                {"verdict", "s", "dead", 0, 0},
                {"source", "s", "own", 0, 3},
                {"source", "s", "imported", 0, 0},
                {"since_usec", "t", NULL, 1, 3},
                {"since_usec", "t", NULL, INT64_MAX, 0},
                {"until_usec", "t", NULL, 1, 0},
                {"limit", "t", NULL, 2, 2},
        };
        _cleanup_reply_ Reply *hardware = NULL, *strange = NULL, *own = NULL;

        fixture_devices();
        fixture_start();
        (void) reset_well(alice, CARD, "flr");
        (void) reset_well(alice, CARD, "pm");
        (void) reset_well(alice, CARD2, "flr");
        for (size_t i = 0; i < ELEMENTSOF(filters); i++) {
                _cleanup_reply_ Reply *rows = filters[i].text ? manager_call(bob, "GetHistory", "a{sv}", 1,
                                                                             filters[i].key, filters[i].type,
                                                                             filters[i].text)
                                                              : manager_call(bob, "GetHistory", "a{sv}", 1,
                                                                             filters[i].key, filters[i].type,
                                                                             filters[i].number);

                expect_success(rows);
                ck_assert_msg(reply_length(rows, "0") == filters[i].n, "filter %zu (%s): %zu rows", i,
                              filters[i].key, reply_length(rows, "0"));
        }
        hardware = manager_call(bob, "GetHistory", "a{sv}", 2, "vendor_id", "q", 0x8086, "device_id", "q",
                                0x10d3);
        ck_assert_uint_eq(reply_length(hardware, "0"), 3);
        strange = manager_call(bob, "GetHistory", "a{sv}", 2, "vendor_id", "q", 0x8086, "device_id", "q",
                               0x10d4);
        ck_assert_uint_eq(reply_length(strange, "0"), 0);
        own = call(bob, device_path(CARD), DEVICE_INTERFACE, "GetHistory", "a{sv}", 1, "method", "s", "flr");
        ck_assert_uint_eq(reply_length(own, "0"), 1);
        ck_assert_str_eq(reply_string(own, "0.0.address"), CARD);
}
END_TEST

static const struct {
        const char *key, *type, *text;
        uint64_t number;
} bad_filters[] = {
        {"address", "s", "01:00.0"},  {"method", "s", "FLR; DROP TABLE attempt"},
        {"method", "s", ""},          {"verdict", "s", "fine"},
        {"source", "s", "stolen"},    {"vendor_id", "q", NULL, 0x8086},
        {"limit", "t", NULL, 0},      {"limit", "t", NULL, 1001},
        {"limit", "u", NULL, 10},     {"since_usec", "t", NULL, UINT64_MAX},
        {"until_usec", "t", NULL, 0}, {"colour", "s", "red"},
};

START_TEST(filters_that_make_no_sense)
{
        _cleanup_reply_ Reply *reply = NULL, *device = NULL;

        fixture_devices();
        fixture_start();
        reply = bad_filters[_i].text ? manager_call(bob, "GetHistory", "a{sv}", 1, bad_filters[_i].key,
                                                    bad_filters[_i].type, bad_filters[_i].text)
                                     : manager_call(bob, "GetHistory", "a{sv}", 1, bad_filters[_i].key,
                                                    bad_filters[_i].type, bad_filters[_i].number);
        expect_error(reply, ERROR_INVALID_ARGS, bad_filters[_i].key);
        device = call(bob, device_path(CARD), DEVICE_INTERFACE, "GetHistory", "a{sv}", 1, "address", "s",
                      CARD);
        expect_error(device, ERROR_INVALID_ARGS, "address");
}
END_TEST

/* ---- over restarts ---- */

static void stop_well(void)
{
        daemon_stop();
}

static void (*const ends[])(void) = {stop_well, daemon_kill};

START_TEST(the_next_daemon_knows)
{
        _cleanup_reply_ Reply *rows = NULL, *facts = NULL, *plan = NULL;
        int64_t first, second;

        fixture_devices();
        fixture_start();
        model_dies(CARD2, "pm");
        first = reset_well(alice, CARD, "flr");
        second = reset_well(alice, CARD2, "flr");
        ck_assert_int_gt(second, first);
        reply_free(reset(alice, CARD2, "pm", NULL));
        ends[_i]();
        daemon_start();

        rows = history(bob);
        /* The last one brought quarantine, too. */
        ck_assert_uint_eq(reply_length(rows, "0"), 4);
        ck_assert_int_eq(reply_number(rows, "0.3.id"), first);
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_int_eq(reply_number(facts, "0.0.1.proven.tries"), 2);
        ck_assert_int_eq(reply_number(facts, "0.0.1.proven.ok"), 2);
        ck_assert_int_eq(reply_number(facts, "0.1.1.proven.tries"), 1);
        ck_assert_int_eq(reply_number(facts, "0.1.1.proven.dead"), 1);
        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);
        ck_assert_int_eq(reply_number(plan, "0.rungs.0.expected_usec"),
                         reply_number(facts, "0.0.1.proven.median_usec"));
}
END_TEST

/* The reset that an earlier daemon began is the next one's to write down. */
START_TEST(a_reset_that_outlives_its_daemon)
{
        _cleanup_reply_ Reply *rows = NULL;
        Call *running;
        int hold;

        fixture_devices();
        fixture_start();
        hold = reset_hold(&running);
        daemon_kill();
        reply_free(call_finish(running));
        daemon_start();
        model_release(&hold);
        wait_until((reply_free(rows), rows = history(observer), reply_length(rows, "0") == 1));
        ck_assert_str_eq(reply_string(rows, "0.0.method"), "flr");
        ck_assert_str_eq(reply_string(rows, "0.0.verdict"), "ok");
        ck_assert_str_eq(reply_string(rows, "0.0.address"), CARD);
        ck_assert_int_eq(reply_number(rows, "0.0.device_id"), 0x10d3);
        ck_assert_int_eq(reply_number(rows, "0.0.uid"), UID_ALICE);
}
END_TEST

/* ---- files that cannot be used ---- */

START_TEST(a_damaged_file_is_put_aside)
{
        _cleanup_reply_ Reply *rows = NULL;
        int64_t id;

        fixture_devices();
        directory_make(HISTORY_DIR);
        ck_assert_int_eq(chmod(HISTORY_DIR, 0700), 0);
        file_print(HISTORY_FILE, "This is no database, and never was.\n");
        fixture_start();
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_ASIDE, "PRIORITY", "3", "PCIRESETD_FILE", NULL,
                                 NULL) == 1);
        id = reset_well(alice, CARD, "flr");
        ck_assert_int_gt(id, 0);
        rows = history(alice);
        ck_assert_uint_eq(reply_length(rows, "0"), 1);
        ck_assert_int_eq(reply_number(rows, "0.0.id"), id);
}
END_TEST

START_TEST(nothing_can_be_written)
{
        _cleanup_reply_ Reply *rows = NULL, *facts = NULL;

        fixture_devices();
        directory_make(HISTORY_DIR);
        ck_assert_int_eq(mount("tmpfs", HISTORY_DIR, "tmpfs", MS_RDONLY, "mode=0700"), 0);
        fixture_start();
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_UNWRITABLE, "PRIORITY", "3", NULL) == 1);
        /* The device is reset all the same, and nobody waits. */
        ck_assert_int_eq(reset_well(alice, CARD, "flr"), 0);
        facts = manager_call(bob, "GetMethods", "sa{sv}", CARD, 0);
        ck_assert_int_eq(reply_number(facts, "0.0.1.proven.ok"), 1);
        rows = history(alice);
        expect_error(rows, "org.freedesktop.DBus.Error.Failed", "journal");
}
END_TEST

START_TEST(somebody_else_keeps_the_file_locked)
{
        _cleanup_reply_ Reply *rows = NULL;
        sqlite3 *db;

        fixture_devices();
        fixture_start();
        ck_assert_int_gt(reset_well(alice, CARD, "flr"), 0);
        ck_assert_int_eq(sqlite3_open(HISTORY_FILE, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
        /* It is not stored yet, and the reply says so. */
        ck_assert_int_eq(reset_well(alice, CARD, "flr"), 0);
        ck_assert_int_eq(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
        /* But it will be. */
        wait_until((reply_free(rows), rows = history(alice), reply_length(rows, "0") == 2));
}
END_TEST

int main(void)
{
        TestProgram program = program_new("history");

        program_add(&program, a_row_for_each_attempt);
        program_add(&program, a_refusal_is_a_row);
        program_add(&program, drivers_before_and_after);
        program_add(&program, uids_are_for_themselves_and_root);
        program_add(&program, filters_choose);
        program_add_table(&program, filters_that_make_no_sense, bad_filters);
        program_add_table(&program, the_next_daemon_knows, ends);
        program_add(&program, a_reset_that_outlives_its_daemon);
        program_add(&program, a_damaged_file_is_put_aside);
        program_add(&program, nothing_can_be_written);
        program_add(&program, somebody_else_keeps_the_file_locked);
        return program_run(&program);
}
