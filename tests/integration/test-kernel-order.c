/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * With kernel_order the kernel's own list is what the policy says: when a device comes, when its driver
 * changes, and when the policy does; but never while a reset has it narrowed.
 */

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

#define MESSAGE_ID_ORDERED "c84d6e0f7a2b4d1596b3f0e8d7c5a219"

#define RULE(id, match, methods)                                                                            \
        "{\"id\": \"" id "\", \"match\": {" match "}, \"settings\": {\"kernel_order\": true, "              \
        "\"methods\": [" methods "]}}"
#define RULES(rules) "{\"rules\": [" rules "]}\n"

static void start(const char *policy)
{
        if (policy) {
                policy_put(policy);
        }
        polkit_start(polkit_rules_everybody);
        fixture_devices();
        fixture_start();
        signals_watch(observer);
}

static bool reads(const char *address, const char *list)
{
        _cleanup_free_ char *text = sysfs_get(address, "reset_method");

        return text && strcmp(text, list) == 0;
}

/* ---- when ---- */

START_TEST(is_set_and_unset)
{
        _cleanup_reply_ Reply *set = NULL, *unset = NULL, *done = NULL;

        start(NULL);
        set = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", CARD, 2, "methods", "as", 2, "bus", "flr",
                           "kernel_order", "b", 1, 0);
        expect_success(set);
        wait_until(reads(CARD, "bus flr"));
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_ORDERED, "PCIRESETD_DEVICE", CARD, "PRIORITY", "6",
                                NULL));
        ck_assert(reads(CARD2, "flr pm bus"));

        /* A reset narrows it and puts back what the policy has made of it. */
        done = reset(alice, CARD, "any", NULL);
        expect_success(done);
        expect_methods_run(CARD, "bus");
        wait_until(reads(CARD, "bus flr"));

        unset = manager_call(alice, "UnsetPolicy", "sa{sv}", reply_string(set, "0"), 0);
        expect_success(unset);
        wait_until(reads(CARD, "flr pm bus"));
}
END_TEST

START_TEST(from_the_start)
{
        start(RULES(RULE("all", "", "\"pm\", \"flr\"")));
        wait_until(reads(CARD, "pm flr") && reads(CARD2, "pm flr"));
        daemon_stop();
        daemon_start();
        daemon_settle();
        ck_assert(reads(CARD, "pm flr"));
        /* No rule has it any more, and it was an earlier daemon's doing. */
        ck_assert_int_eq(unlink(POLICY_ADMIN_FILE), 0);
        process_signal(daemon_process(), SIGHUP);
        wait_until(reads(CARD, "flr pm bus") && reads(CARD2, "flr pm bus"));
}
END_TEST

START_TEST(plugged_and_replugged)
{
        start(RULES(RULE("one", "\"address\": \"" CARD "\"", "\"bus\"")));
        wait_until(reads(CARD, "bus"));
        hotplug_remove(CARD);
        hotplug_add(&mock_card);
        wait_until(reads(CARD, "bus"));
}
END_TEST

/* One by default, another for assignment. */
START_TEST(follows_the_driver)
{
        start(RULES(RULE("default", "", "\"flr\", \"pm\"") ", " RULE("guests", "\"assigned\": true",
                                                                     "\"bus\"")));
        wait_until(reads(CARD, "flr pm") && reads(CARD2, "flr pm"));
        hotplug_bind(CARD, "vfio-pci");
        wait_until(reads(CARD, "bus"));
        ck_assert(reads(CARD2, "flr pm"));
        hotplug_unbind(CARD);
        wait_until(reads(CARD, "flr pm"));
}
END_TEST

/* ---- what the kernel does not take ---- */

START_TEST(refusals_are_told_once)
{
        _cleanup_reply_ Reply *policy = NULL;
        const JournalEntry *entry;

        start(RULES(RULE("one", "\"address\": \"" CARD "\"", "\"acpi\", \"bus\", \"flr\"")));
        wait_until(reads(CARD, "bus flr"));
        wait_until(journal_find("MESSAGE_ID", MESSAGE_ID_ORDERED, "PRIORITY", "4", NULL));
        entry = journal_find("MESSAGE_ID", MESSAGE_ID_ORDERED, NULL);
        ck_assert_ptr_nonnull(strstr(journal_field(entry, "MESSAGE"), "refuses acpi"));
        ck_assert_ptr_nonnull(strstr(journal_field(entry, "MESSAGE"), POLICY_ADMIN_FILE));
        policy = manager_call(bob, "GetPolicy", "sa{sv}", CARD, 0);
        ck_assert_str_eq(reply_string(policy, "0.kernel_wanted.0"), "acpi");
        ck_assert_str_eq(reply_string(policy, "0.kernel_refused.0"), "acpi");
        ck_assert_uint_eq(reply_length(policy, "0.kernel_refused"), 1);

        /* It is not tried again, whatever else happens. */
        daemon_settle();
        model_forget();
        process_signal(daemon_process(), SIGHUP);
        hotplug_bind(CARD, "pci-stub");
        client_barrier(alice);
        daemon_settle();
        ck_assert_uint_eq(model_writes(), 0);
}
END_TEST

/* ---- beside resets ---- */

START_TEST(waits_for_a_reset)
{
        _cleanup_reply_ Reply *set = NULL, *reply = NULL;
        Call *running;
        int hold;

        start(NULL);
        hold = reset_hold(&running);
        set = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", CARD, 2, "methods", "as", 1, "pm",
                           "kernel_order", "b", 1, 0);
        expect_success(set);
        client_barrier(alice);
        ck_assert(reads(CARD, "flr"));
        model_release(&hold);
        reply = call_finish(running);
        expect_success(reply);
        wait_until(reads(CARD, "pm"));
}
END_TEST

/* The write does not come back, and a reset waits until it does. */
START_TEST(a_reset_waits_for_it)
{
        _cleanup_reply_ Reply *set = NULL, *reply = NULL;
        Call *waiting;
        int hold;

        start(NULL);
        hold = model_hold_list(CARD);
        set = manager_call(alice, "SetPolicy", "sa{sv}a{sv}", CARD, 2, "methods", "as", 2, "bus", "pm",
                           "kernel_order", "b", 1, 0);
        expect_success(set);
        (void) model_wait("listing", CARD, 0);
        waiting = reset_start(alice, CARD, "pm", NULL);
        wait_until(signal_nth("JobNew", 0));
        client_barrier(alice);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        model_release(&hold);
        reply = call_finish(waiting);
        expect_success(reply);
        expect_methods_run(CARD, "pm");
        wait_until(reads(CARD, "bus pm"));
}
END_TEST

int main(void)
{
        TestProgram program = program_new("kernel-order");

        program_add(&program, is_set_and_unset);
        program_add(&program, from_the_start);
        program_add(&program, plugged_and_replugged);
        program_add(&program, follows_the_driver);
        program_add(&program, refusals_are_told_once);
        program_add(&program, waits_for_a_reset);
        program_add(&program, a_reset_waits_for_it);
        return program_run(&program);
}
