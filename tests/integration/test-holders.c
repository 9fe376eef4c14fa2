/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Who uses a device: found when it is asked, told as far as the one who asks may know it, and in the way of
 * a reset until the last moment before it.
 */

#include <string.h>
#include <sys/mount.h>

#include "harness/claims.h"
#include "harness/holders.h"
#include "shared/holder.h"

/* ---- who may see whom ---- */

START_TEST(processes_are_told_to_their_user_and_to_root)
{
        _cleanup_reply_ Reply *by_bob = NULL, *by_alice = NULL, *by_root = NULL, *gone = NULL;
        _cleanup_(cleanup_process_free) Process *first = NULL, *second = NULL;

        card_with_node();
        fixture_start();
        signals_watch(observer);
        first = node_hold(NODE, UID_BOB);
        second = node_hold(NODE, UID_BOB);

        by_bob = get_holders(bob, CARD);
        ck_assert_uint_eq(reply_length(by_bob, "0"), 2);
        expect_process(reply_at(by_bob, "0.0"), first, UID_BOB, "process", "/dev/" NODE);
        expect_process(reply_at(by_bob, "0.1"), second, UID_BOB, "process", "/dev/" NODE);
        by_root = get_holders(observer, CARD);
        ck_assert_uint_eq(reply_length(by_root, "0"), 2);
        expect_process(reply_at(by_root, "0.0"), first, UID_BOB, "process", "/dev/" NODE);
        by_alice = get_holders(alice, CARD);
        ck_assert_uint_eq(reply_length(by_alice, "0"), 1);
        expect_hidden(reply_at(by_alice, "0.0"), "process", 2);

        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"InUse\":true");
        first = process_free(first);
        second = process_free(second);
        gone = get_holders(bob, CARD);
        ck_assert_uint_eq(reply_length(gone, "0"), 0);
        (void) signal_wait("PropertiesChanged", device_path(CARD), "\"InUse\":false");
}
END_TEST

/* The error and its text say no more than GetHolders. */
START_TEST(refusals_name_them)
{
        _cleanup_reply_ Reply *by_bob = NULL, *by_alice = NULL;
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        _cleanup_free_ char *name = NULL;

        card_with_node();
        polkit_start(polkit_rules_everybody);
        fixture_start();
        holder = node_hold(NODE, UID_BOB);
        name = textf("process %d (", holder->pid);

        by_bob = reset(bob, CARD, "flr", NULL);
        expect_error(by_bob, "InUse", name);
        expect_error(by_bob, "InUse", "has /dev/" NODE " open");
        expect_error(by_bob, "InUse", "when_idle");
        expect_process(reply_at(by_bob, "1.holders.0"), holder, UID_BOB, "process", "/dev/" NODE);
        ck_assert_str_eq(reply_string(by_bob, "1.attempts.0.why"), "held");

        by_alice = reset(alice, CARD, "flr", NULL);
        expect_error(by_alice, "InUse", "1 process of others has it open");
        ck_assert_ptr_null(strstr(reply_string(by_alice, "0"), "/dev/"));
        ck_assert_ptr_null(strstr(reply_string(by_alice, "0"), "uid"));
        expect_hidden(reply_at(by_alice, "1.holders.0"), "process", 1);
        expect_nothing_written();
}
END_TEST

/* More than are told: each that is says so. */
START_TEST(crowds)
{
        _cleanup_reply_ Reply *by_bob = NULL, *by_alice = NULL, *plan = NULL, *refusal = NULL, *fewer = NULL;
        Process *holders[HOLDERS_PER_DEVICE_MAX + 1];

        polkit_start(polkit_rules_everybody);
        card_with_node();
        fixture_start();
        for (size_t i = 0; i < ELEMENTSOF(holders); i++)
                holders[i] = node_hold(NODE, UID_BOB);

        by_bob = get_holders(bob, CARD);
        ck_assert_uint_eq(reply_length(by_bob, "0"), HOLDERS_PER_DEVICE_MAX);
        for (size_t i = 0; i < HOLDERS_PER_DEVICE_MAX; i++) {
                _cleanup_free_ char *path = textf("0.%zu.truncated", i);

                ck_assert(json_object_get_boolean(reply_at(by_bob, path)));
        }
        by_alice = get_holders(alice, CARD);
        ck_assert_uint_eq(reply_length(by_alice, "0"), 1);
        ck_assert(json_object_get_boolean(reply_at(by_alice, "0.0.truncated")));
        plan = manager_call(alice, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(plan);
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.0.holders.0.truncated")));
        refusal = reset(alice, CARD, "flr", NULL);
        expect_error(refusal, "InUse", "at least 32 processes of others have it open");
        ck_assert(json_object_get_boolean(reply_at(refusal, "1.holders.0.truncated")));

        (void) process_free(holders[0]);
        fewer = get_holders(alice, CARD);
        expect_hidden(reply_at(fewer, "0.0"), "process", HOLDERS_PER_DEVICE_MAX);
        for (size_t i = 1; i < ELEMENTSOF(holders); i++)
                (void) process_free(holders[i]);
}
END_TEST

START_TEST(in_use_goes_past_processes)
{
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        _cleanup_reply_ Reply *plan = NULL, *reply = NULL, *denied = NULL;

        card_with_node();
        polkit_start("polkit.addRule(function(action, subject) {\n"
                     "    return action.id == 'org.pciresetd1.reset-in-use' && subject.user == 'alice' &&\n"
                     "           action.lookup('in_use') == 'true' ? polkit.Result.YES : polkit.Result.NO;\n"
                     "});\n");
        fixture_start();
        holder = node_hold(NODE, UID_BOB);
        plan = manager_call(alice, "Plan", "ssa{sv}", CARD, "flr", 1, "in_use", "b", 1);
        expect_success(plan);
        ck_assert(json_object_get_boolean(reply_at(plan, "0.rungs.0.usable")));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.actions.0"), "org.pciresetd1.reset-in-use");
        expect_hidden(reply_at(plan, "0.rungs.0.holders.0"), "process", 1);
        reply = reset(alice, CARD, "flr", "in_use", "b", 1, NULL);
        expect_success(reply);
        ck_assert_uint_eq(reply_length(reply, "0.holders"), 0);
        denied = reset(bob, CARD, "flr", "in_use", "b", 1, NULL);
        expect_error(denied, ERROR_ACCESS_DENIED, "reset-in-use");
}
END_TEST

START_TEST(nobody_uses_it)
{
        static const char *const addresses[] = {PORT, CARD};
        _cleanup_reply_ Reply *unknown = NULL;

        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < ELEMENTSOF(addresses); i++) {
                _cleanup_reply_ Reply *reply = get_holders(bob, addresses[i]);

                ck_assert_uint_eq(reply_length(reply, "0"), 0);
        }
        unknown = call(bob, device_path(CARD), DEVICE_INTERFACE, "GetHolders", "a{sv}", 1, "all", "b", 1);
        expect_error(unknown, ERROR_INVALID_ARGS, "all");
}
END_TEST

START_TEST(virtual_functions_are_included)
{
        const MockDevice card = {
                .address = CARD, .parent = PORT, .methods = "flr", .driver = "nvme", .class = 0x030000};
        const MockDevice vf = {.address = "0000:01:10.0",
                               .parent = PORT,
                               .methods = "flr",
                               .driver = "nvme",
                               .class = 0x030000,
                               .physfn = CARD};
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        _cleanup_reply_ Reply *reply = NULL;

        nodes_init();
        sysfs_add(&mock_port);
        sysfs_add(&card);
        sysfs_add(&vf);
        node_of(vf.address, "drm/" NODE, NODE_ZERO);
        fixture_start();
        holder = node_hold(NODE, UID_BOB);
        reply = get_holders(bob, CARD);
        ck_assert_uint_eq(reply_length(reply, "0"), 1);
        ck_assert_str_eq(reply_string(reply, "0.0.device"), device_path(vf.address));
}
END_TEST

/* ---- file systems and the network ---- */

#define WHERE "/run/mnt"

static void expect_hard(json_object *holder, const char *kind, const char *what)
{
        ck_assert_str_eq(json_object_get_string(json_at(holder, "device")), device_path(CARD));
        ck_assert_str_eq(json_object_get_string(json_at(holder, "kind")), kind);
        ck_assert_str_eq(json_object_get_string(json_at(holder, "what")), what);
        ck_assert(json_object_get_boolean(json_at(holder, "hard")));
}

/* Nobody takes it from under a file system or an address, whatever he may do. */
static void expect_hard_refusal(const char *kind, const char *what)
{
        Client *const clients[] = {alice, observer};

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                _cleanup_reply_ Reply *reply = reset(clients[i], CARD, "flr", "in_use", "b", 1, NULL);

                expect_error(reply, "InUse", CARD);
                expect_error(reply, "InUse", what);
                expect_hard(reply_at(reply, "1.holders.0"), kind, what);
                ck_assert_uint_eq(reply_length(reply, "1.holders"), 1);
        }
        expect_nothing_written();
}

START_TEST(mounted_file_systems)
{
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start(polkit_rules_everybody);
        card_with_node();
        disk_of(CARD, "disk0");
        directory_make(WHERE);
        fixture_start();
        ck_assert_int_eq(mount("/dev/disk0", WHERE, "tmpfs", 0, NULL), 0);
        expect_hard_refusal("mount", "/dev/disk0 on " WHERE);
        ck_assert_int_eq(umount(WHERE), 0);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
}
END_TEST

START_TEST(addresses)
{
        _cleanup_reply_ Reply *reply = NULL;

        polkit_start(polkit_rules_everybody);
        card_with_node();
        interface_of(CARD, "lo");
        fixture_start();
        interface_set(CARD, "lo", true);
        expect_hard_refusal("network", "lo 127.0.0.1/8");
        interface_set(CARD, "lo", false);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
}
END_TEST

/* ---- the last moment ---- */

START_TEST(holder_comes_under_the_question)
{
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        _cleanup_reply_ Reply *reply = NULL;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        card_with_node();
        fixture_start();
        asked = reset_start(bob, CARD, "flr", NULL);
        (void) mock_polkit_request(0);
        holder = node_hold(NODE, UID_BOB);
        mock_polkit_answer(0, true, false);
        reply = call_finish(asked);
        expect_error(reply, "InUse", CARD);
        expect_process(reply_at(reply, "1.holders.0"), holder, UID_BOB, "process", "/dev/" NODE);
        expect_nothing_written();
}
END_TEST

START_TEST(holder_comes_in_the_queue)
{
        const MockDevice first = {.address = "0000:01:00.1", .parent = PORT, .methods = "flr"};
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        _cleanup_reply_ Reply *reply = NULL, *first_reply = NULL;
        Call *running, *queued;
        int hold;

        card_with_node();
        sysfs_add(&first);
        fixture_start();
        signals_watch(observer);
        hold = model_hold(first.address);
        running = reset_start(alice, first.address, "flr", NULL);
        (void) model_wait("begin", first.address, 0);
        queued = reset_start(alice, CARD, "flr", NULL);
        (void) signal_wait("JobNew", NULL, CARD);
        holder = node_hold(NODE, UID_BOB);
        model_release(&hold);
        first_reply = call_finish(running);
        expect_success(first_reply);
        reply = call_finish(queued);
        expect_error(reply, "InUse", CARD);
        expect_hidden(reply_at(reply, "1.holders.0"), "process", 1);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
}
END_TEST

/* Each of them makes a worker stand still: before it looks at the device, and before it writes. */
static int (*const gates[])(const char *address) = {model_hold_reads, model_hold_list};
static const char *const gate_events[] = {"touch", "listing"};

START_TEST(holder_comes_before_the_write)
{
        _cleanup_(cleanup_process_free) Process *holder = NULL;
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *list = NULL, *name = NULL;
        size_t n_open;
        Call *running;
        int hold;

        polkit_start(polkit_rules_everybody);
        card_with_node();
        fixture_start();
        /* The first call makes the daemon keep a clock. */
        reply = reset(bob, CARD, "flr", NULL);
        expect_success(reply);
        reply = reply_free(reply);
        model_forget();
        n_open = daemon_descriptors();
        hold = gates[_i](CARD);
        running = reset_start(bob, CARD, "flr", NULL);
        (void) model_wait(gate_events[_i], CARD, 0);
        holder = node_hold(NODE, UID_BOB);
        model_release(&hold);
        reply = call_finish(running);
        name = textf("process %d (", holder->pid);
        expect_error(reply, "InUse", CARD);
        expect_error(reply, "InUse", name);
        ck_assert_str_eq(reply_string(reply, "1.attempts.0.outcome"), "refused");
        expect_process(reply_at(reply, "1.holders.0"), holder, UID_BOB, "process", "/dev/" NODE);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        if (gates[_i] == model_hold_reads)
                expect_nothing_written();
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, "flr pm");
        holder = process_free(holder);
        wait_until(daemon_descriptors() <= n_open);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("holders");

        program_add(&program, processes_are_told_to_their_user_and_to_root);
        program_add(&program, refusals_name_them);
        program_add(&program, crowds);
        program_add(&program, in_use_goes_past_processes);
        program_add(&program, nobody_uses_it);
        program_add(&program, virtual_functions_are_included);
        program_add(&program, mounted_file_systems);
        program_add(&program, addresses);
        program_add(&program, holder_comes_under_the_question);
        program_add(&program, holder_comes_in_the_queue);
        program_add_table(&program, holder_comes_before_the_write, gates);
        return program_run(&program);
}
