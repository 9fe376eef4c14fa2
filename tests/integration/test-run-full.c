/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * No room in /run, where all is written that the next daemon has to know: nothing begins and nothing is
 * given that it could not take over, and what had begun before is put right all the same. What is refused:
 * also test-survival.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "harness/claims.h"
#include "harness/holders.h"
#include "harness/kills.h"
#include "shared/worker-protocol.h"

#define RUNTIME "/run/pciresetd"
#define BALLAST RUNTIME "/ballast"
#define GROUP   "14"
#define PAGES   BALLAST "/pages"

/* What runs out first. */
typedef enum Shortage {
        OF_SPACE,
        OF_INODES,
} Shortage;

static const Shortage shortages[] = {OF_SPACE, OF_INODES};

/* A runtime directory that is a file system of its own. */
static void make_small(void)
{
        disk_make(RUNTIME, "256k");
        directory_make(BALLAST);
}

static void fill_inodes(void)
{
        for (unsigned i = 0;; i++) {
                _cleanup_free_ char *path = textf(BALLAST "/%u", i);
                _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

                if (fd >= 0)
                        continue;
                ck_assert_int_eq(errno, ENOSPC);
                return;
        }
}

static void fill(Shortage what)
{
        if (what == OF_INODES)
                fill_inodes();
        else
                disk_fill(PAGES, 0);
}

static void make_room(void)
{
        directory_remove(BALLAST);
}

static void want_reset_between_users(void)
{
        policy_put("{\"rules\": [{\"id\": \"one\", \"match\": {}, \"settings\": {\"on_release\": "
                   "\"reset\"}}]}\n");
}

static size_t count_files(const char *path)
{
        DIR *directory = opendir(path);
        size_t n = 0;

        if (!directory)
                return 0;
        for (struct dirent *entry; (entry = readdir(directory));)
                n += entry->d_name[0] != '.';
        (void) closedir(directory);
        return n;
}

/* ---- resets ---- */

START_TEST(nothing_begins)
{
        _cleanup_reply_ Reply *lease = NULL, *inhibitor = NULL, *refused = NULL, *after = NULL;

        make_small();
        start_for_everybody();
        fill(shortages[_i]);
        lease = call_finish(acquire_start(alice, card_alone));
        expect_error(lease, "org.freedesktop.DBus.Error.IOError", "/run");
        inhibitor = call_finish(inhibit_start(alice, card_alone, "block"));
        expect_error(inhibitor, "org.freedesktop.DBus.Error.IOError", "/run");
        refused = reset(alice, CARD, "flr", NULL);
        ck_assert_ptr_nonnull(refused->error);
        ck_assert_uint_eq(model_writes(), 0);
        ck_assert_uint_eq(count_files(RUNTIME "/claims"), 0);
        make_room();
        after = reset(alice, CARD, "flr", NULL);
        expect_success(after);
        wait_until(count_records() == 0);
}
END_TEST

/* The one that puts things back needs no room that was not there before. */
static void worker_is_killed(Shortage shortage, bool with_daemon)
{
        _cleanup_free_ char *list = NULL;
        Call *running;
        int worker, hold;

        make_small();
        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        fill(shortage);
        if (with_daemon) {
                daemon_kill();
                signals_forget();
                call_abandon(running);
        }
        ck_assert_int_eq(kill(worker, SIGKILL), 0);
        wait_until_gone(worker);
        model_release(&hold);
        if (with_daemon) {
                daemon_start();
        } else {
                _cleanup_reply_ Reply *reply = call_finish(running);

                expect_error(reply, "ResetFailed", CARD);
                ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "worker-died");
        }
        wait_until(count_records() == 0);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, METHODS);
        make_room();
        expect_mended("worker-died");
}

START_TEST(worker_is_killed_alone)
{
        worker_is_killed(shortages[_i], false);
}
END_TEST

START_TEST(worker_is_killed_with_the_daemon)
{
        worker_is_killed(shortages[_i], true);
}
END_TEST

/* The worker that puts things back is followed by the next daemon, which finds its pid. */
START_TEST(mender_is_taken_on)
{
        _cleanup_reply_ Reply *jobs = NULL;
        ModelEvent mender;
        Call *running;
        int worker, hold, hold_list;

        make_small();
        start_with_two_functions();
        hold = come_to(IN_THE_RESET, &running, &worker);
        fill(shortages[_i]);
        hold_list = model_hold_list(CARD);
        ck_assert_int_eq(kill(worker, SIGKILL), 0);
        wait_until_gone(worker);
        model_release(&hold);
        mender = model_wait("listing", CARD, 0);
        daemon_kill();
        signals_forget();
        call_abandon(running);
        daemon_start();
        jobs = manager_call(bob, "ListJobs", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(jobs, "0"), 1);
        model_release(&hold_list);
        wait_until_gone(mender.pid);
        wait_until(count_records() == 0);
        ck_assert_uint_eq(model_count("listing", CARD), 1);
        make_room();
        expect_mended("worker-died");
}
END_TEST

/* One that was not noted when there was no room for it is no other job's after a restart. */
START_TEST(ids_are_given_once)
{
        _cleanup_reply_ Reply *refused = NULL, *first = NULL, *second = NULL;
        int64_t id;

        make_small();
        start_for_everybody();
        fill(shortages[_i]);
        refused = reset(alice, CARD, "flr", NULL);
        ck_assert_ptr_nonnull(refused->error);
        make_room();
        first = reset(alice, CARD, "flr", NULL);
        expect_success(first);
        id = reply_number(first, "0.job");
        daemon_kill();
        signals_forget();
        daemon_start();
        second = reset(alice, CARD, "flr", NULL);
        expect_success(second);
        ck_assert_int_gt(reply_number(second, "0.job"), id);
}
END_TEST

static void expect_override(size_t n_writes, const char *expected)
{
        _cleanup_free_ char *override = NULL;

        (void) model_wait("keep-off", CARD, n_writes - 1);
        daemon_settle();
        override = sysfs_get(CARD, "driver_override");
        ck_assert_str_eq(override, expected);
}

/* A dead device is kept from drivers all the same, and gets them back. */
START_TEST(drivers_are_kept_off)
{
        _cleanup_reply_ Reply *dead = NULL, *reply = NULL;

        make_small();
        start_for_everybody();
        model_dies(CARD, "flr");
        dead = reset(alice, CARD, "flr", NULL);
        expect_error(dead, "DeviceDead", CARD);
        expect_override(1, WORKER_OVERRIDE_PREFIX);
        daemon_kill();
        signals_forget();
        /* Somebody has had it removed and found again meanwhile. */
        sysfs_set(CARD, "driver_override", "(null)");
        directory_remove(RUNTIME "/kept-off");
        fill(shortages[_i]);
        daemon_start();
        expect_override(2, WORKER_OVERRIDE_PREFIX);
        reply = call(alice, device_path(CARD), DEVICE_INTERFACE, "ReleaseQuarantine", "a{sv}", 1, "reason",
                     "s", "seen to");
        expect_success(reply);
        expect_override(3, "(null)");
}
END_TEST

/* ---- users ---- */

static bool is_clean(const char *address)
{
        _cleanup_free_ char *found = get_property_string(observer, device_path(address), DEVICE_INTERFACE,
                                                         "Cleanliness");

        return strcmp(found, "clean") == 0;
}

/* There was room for his lease, and none for the note of who he is. */
START_TEST(user_without_a_note)
{
        int fd;

        want_reset_between_users();
        make_small();
        start_for_everybody();
        disk_fill(PAGES, 1);
        fd = lease_take(alice, CARD, NULL);
        ck_assert_uint_eq(count_files(RUNTIME "/users"), 0);
        daemon_kill();
        signals_forget();
        claim_release(&fd);
        make_room();
        daemon_start();
        wait_until(is_clean(CARD));
        ck_assert_uint_eq(model_count("begin", CARD), 1);
        ck_assert_uint_eq(model_count("begin", CARD2), 0);
}
END_TEST

/* Nothing comes after the user of a bridge, and there is no note of him. */
START_TEST(user_of_a_bridge)
{
        int fd;

        want_reset_between_users();
        make_small();
        start_for_everybody();
        fd = lease_take(alice, PORT, NULL);
        daemon_kill();
        signals_forget();
        claim_release(&fd);
        daemon_start();
        claims_wait("ListLeases", 0);
        ck_assert_uint_eq(count_files(RUNTIME "/users"), 0);
}
END_TEST

/* Who opens a device asks nobody. The note is made up for when he is looked at again. */
START_TEST(note_is_made_up_for)
{
        const MockDevice card = {.address = CARD,
                                 .parent = PORT,
                                 .methods = "flr pm bus",
                                 .driver = "vfio-pci",
                                 .iommu_group = GROUP};
        Process *user;

        want_reset_between_users();
        make_small();
        nodes_init();
        sysfs_add(&mock_port);
        sysfs_add(&card);
        vfio_group_add(GROUP, NODE_FULL, UID_BOB);
        polkit_start(polkit_rules_everybody);
        fixture_start();
        signals_watch(observer);
        (void) get_holders(observer, CARD);
        daemon_settle();
        fill(shortages[_i]);
        user = node_hold("vfio/" GROUP, UID_BOB);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"InUse\":true");
        daemon_settle();
        ck_assert_uint_eq(count_files(RUNTIME "/users"), 0);
        make_room();
        (void) get_holders(observer, CARD);
        daemon_settle();
        ck_assert_uint_eq(count_files(RUNTIME "/users"), 1);
        daemon_kill();
        signals_forget();
        (void) process_free(user);
        daemon_start();
        wait_until(is_clean(CARD));
        ck_assert_uint_eq(model_count("begin", CARD), 1);
}
END_TEST

/* He lets go, and nothing can be reset: then nobody gets it. */
START_TEST(nobody_gets_what_cannot_be_reset)
{
        _cleanup_reply_ Reply *lease = NULL, *reply = NULL;
        int fd;

        want_reset_between_users();
        make_small();
        start_for_everybody();
        fd = lease_take(alice, CARD, NULL);
        fill(shortages[_i]);
        claim_release(&fd);
        fill(shortages[_i]); /* of what the lease had */
        wait_for_state(CARD, "quarantined");
        ck_assert_uint_eq(model_writes(), 0);
        make_room();
        lease = call_finish(acquire_start(bob, card_alone));
        expect_error(lease, "Quarantined", CARD);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        fd = lease_take(bob, CARD, NULL);
        claim_release(&fd);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("run-full");

        program_add_table(&program, nothing_begins, shortages);
        program_add_table(&program, worker_is_killed_alone, shortages);
        program_add_table(&program, worker_is_killed_with_the_daemon, shortages);
        program_add_table(&program, mender_is_taken_on, shortages);
        program_add_table(&program, ids_are_given_once, shortages);
        program_add_table(&program, drivers_are_kept_off, shortages);
        program_add(&program, user_without_a_note);
        program_add(&program, user_of_a_bridge);
        program_add_table(&program, note_is_made_up_for, shortages);
        program_add_table(&program, nobody_gets_what_cannot_be_reset, shortages);
        return program_run(&program);
}
