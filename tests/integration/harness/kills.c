/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "kills.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "fixture.h"

size_t count_records(void)
{
        DIR *directory = opendir("/run/pciresetd/jobs");
        size_t n = 0;

        if (!directory)
                return 0;
        for (struct dirent *entry; (entry = readdir(directory));)
                n += strcmp(entry->d_name, "next-id") != 0 && entry->d_name[0] != '.';
        (void) closedir(directory);
        return n;
}

void wait_until_gone(int pid)
{
        wait_until(kill(pid, 0) < 0 && errno == ESRCH);
}

void worker_kill(int worker, int *hold)
{
        ck_assert_int_eq(kill(worker, SIGKILL), 0);
        wait_until_gone(worker);
        model_release(hold);
}

void daemon_kill_amid(Call *running)
{
        daemon_kill();
        signals_forget();
        call_abandon(running);
}

Call *conflict_start(const char *phase)
{
        _cleanup_reply_ Reply *jobs = manager_call(bob, "ListJobs", "a{sv}", 0), *refused = NULL;
        Call *next;

        ck_assert_uint_eq(reply_length(jobs, "0"), 1);
        ck_assert_str_eq(reply_string(jobs, "0.0.address"), CARD);
        ck_assert_str_eq(reply_string(jobs, "0.0.phase"), phase);
        ck_assert_int_eq(reply_number(jobs, "0.0.uid"), UID_ALICE);
        refused = reset(alice, FUNCTION1, "flr", "no_wait", "b", 1, NULL);
        expect_error(refused, "NotUsable", FUNCTION1);
        /* And what it would have to wait for. */
        expect_error(refused, "NotUsable", "of " CARD ")");
        next = reset_start(alice, FUNCTION1, "flr", NULL);
        (void) signal_wait("JobNew", MANAGER_PATH, FUNCTION1);
        client_barrier(alice);
        ck_assert_uint_eq(model_count("begin", FUNCTION1), 0);
        return next;
}

int come_to(Instant instant, Call **ret_running, int *ret_worker)
{
        ModelEvent event;
        int hold = instant == BEFORE_THE_FIRST_LIST ? model_hold_list(CARD) : model_hold(CARD), reset;

        *ret_running = reset_start(alice, CARD, "flr", NULL);
        event = instant == BEFORE_THE_FIRST_LIST ? model_wait("listing", CARD, 0)
                                                 : model_wait("begin", CARD, 0);
        if (instant == BEFORE_THE_LAST_LIST) {
                reset = hold;
                hold = model_hold_list(CARD);
                model_release(&reset);
                event = model_wait("listing", CARD, 0);
        }
        *ret_worker = event.pid;
        return hold;
}

void expect_mended(const char *why)
{
        _cleanup_reply_ Reply *rows = NULL, *last = NULL, *reply = NULL;
        _cleanup_free_ char *list = sysfs_get(CARD, "reset_method"), *state = device_state(bob, CARD);

        ck_assert_str_eq(list, METHODS);
        ck_assert_str_eq(state, "idle");
        wait_until(count_records() == 0);
        ck_assert_uint_le(model_count("begin", CARD), 1);

        rows = manager_call(bob, "GetHistory", "a{sv}", 0);
        ck_assert_uint_eq(reply_length(rows, "0"), 1);
        ck_assert_str_eq(reply_string(rows, "0.0.address"), CARD);
        ck_assert_str_eq(reply_string(rows, "0.0.method"), "flr");
        ck_assert_str_eq(reply_string(rows, "0.0.outcome"), "failed");
        ck_assert_str_eq(reply_string(rows, "0.0.why"), why);
        ck_assert_str_eq(reply_string(rows, "0.0.verdict"), "unverified");
        ck_assert_str_eq(reply_string(rows, "0.0.checks.0.check"), "answers");
        ck_assert_str_eq(reply_string(rows, "0.0.checks.0.result"), "ok");
        last = get_property(bob, device_path(CARD), DEVICE_INTERFACE, "LastReset");
        ck_assert_str_eq(reply_string(last, "0.verdict"), "unverified");

        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
}
