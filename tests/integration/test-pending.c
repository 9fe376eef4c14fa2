/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What may happen while polkit thinks: devices go, come back, change hands; callers leave; time passes.
 * polkit is the mock, which answers when the test says so, so nothing here depends on who is faster.
 */

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "harness/fixture.h"

#define MESSAGE_ID_FINISHED "1e0849b671b3456b990ae567c73187df"

/* alice asks for a reset by `method`; returns when polkit has been asked. */
static Call *start_asking(const char *method)
{
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        signals_watch(observer);
        asked = reset_start(alice, CARD, method, NULL);
        (void) mock_polkit_request(0);
        return asked;
}

static void finish_with_error(Call *asked, const char *error, const char *part)
{
        _cleanup_reply_ Reply *reply = call_finish(asked);

        expect_error(reply, error, part);
        expect_nothing_written();
}

/* ---- nobody else notices ---- */

static const char *const reads[] = {"ListDevices", "GetDevice", "GetMethods", "Plan", "ListJobs"};

START_TEST(reads_go_on)
{
        Call *asked = start_asking("flr");
        const char *member = reads[_i];
        sd_bus_message *message = call_message(bob, MANAGER_PATH, MANAGER_INTERFACE, member, NULL);
        _cleanup_reply_ Reply *reply = NULL, *reset_reply = NULL;
        int r = 0;

        if (strcmp(member, "GetDevice") == 0)
                r = sd_bus_message_append(message, "s", CARD);
        else if (strcmp(member, "GetMethods") == 0)
                r = sd_bus_message_append(message, "sa{sv}", CARD, 0);
        else if (strcmp(member, "Plan") == 0)
                r = sd_bus_message_append(message, "ssa{sv}", CARD, "any", 0);
        else if (strcmp(member, "ListJobs") == 0)
                r = sd_bus_message_append(message, "a{sv}", 0);
        ck_assert_int_ge(r, 0);
        reply = call_finish(call_send(bob, message));
        expect_success(reply);
        ck_assert(!call_done(asked));
        mock_polkit_answer(0, true, false);
        reset_reply = call_finish(asked);
        expect_success(reset_reply);
}
END_TEST

/* Only what was authorised is news. */
START_TEST(nothing_is_announced_before_the_answer)
{
        Call *asked = start_asking("flr");
        _cleanup_free_ char *state = device_state(bob, CARD);
        _cleanup_reply_ Reply *jobs = manager_call(bob, "ListJobs", "a{sv}", 0), *reply = NULL;

        ck_assert_str_eq(state, "idle");
        ck_assert_uint_eq(reply_length(jobs, "0"), 0);
        ck_assert_ptr_null(signal_find("JobNew", NULL, NULL));
        ck_assert_ptr_null(signal_find("InterfacesAdded", NULL, NULL));
        ck_assert_ptr_null(signal_find("PropertiesChanged", NULL, "State"));

        mock_polkit_answer(0, false, false);
        finish_with_error(asked, ERROR_ACCESS_DENIED, CARD);
        client_barrier(observer);
        ck_assert_ptr_null(signal_find("JobNew", NULL, NULL));
        ck_assert_ptr_null(signal_find("JobRemoved", NULL, NULL));

        mock_polkit_mode(MOCK_POLKIT_YES);
        reply = reset(alice, CARD, "flr", NULL);
        expect_success(reply);
        (void) signal_wait("JobNew", MANAGER_PATH, CARD);
}
END_TEST

/* A question holds no lane. */
START_TEST(others_overtake)
{
        Call *asked = start_asking("flr");
        _cleanup_reply_ Reply *overtaking = NULL, *reply = NULL;
        Call *second = reset_start(bob, CARD, "flr", NULL);

        (void) mock_polkit_request(1);
        mock_polkit_answer(1, true, false);
        overtaking = call_finish(second);
        expect_success(overtaking);
        ck_assert(!call_done(asked));
        mock_polkit_answer(0, true, false);
        reply = call_finish(asked);
        expect_success(reply);
}
END_TEST

/* ---- the caller ---- */

START_TEST(caller_leaves)
{
        Call *asked = start_asking("flr");

        call_abandon(asked);
        alice = client_free(alice);
        wait_until(mock_polkit_request(0)->cancelled);
        wait_until(journal_count("MESSAGE_ID", MESSAGE_ID_FINISHED, "PCIRESETD_RESULT", "Cancelled", NULL) ==
                   1);
        /* The answer comes too late. */
        mock_polkit_answer(0, true, false);
        client_barrier(bob);
        client_barrier(observer);
        expect_nothing_written();
        ck_assert_ptr_null(signal_find("JobNew", NULL, NULL));
}
END_TEST

/* Whoever is gone before the daemon even looks has no uid any more, and no rights. */
START_TEST(caller_is_gone_at_once)
{
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        fixture_start();
        process_signal(daemon_process(), SIGSTOP);
        asked = reset_start(alice, CARD, "flr", NULL);
        ck_assert_int_ge(sd_bus_flush(alice->bus), 0);
        call_abandon(asked);
        {
                _cleanup_free_ char *name = strdup(client_name(alice));

                alice = client_free(alice);
                wait_until(!name_is_owned(name));
        }
        process_signal(daemon_process(), SIGCONT);
        client_barrier(bob);
        client_barrier(bob);
        ck_assert_uint_eq(mock_polkit_requests(), 0);
        expect_nothing_written();
}
END_TEST

START_TEST(one_connection_leaves_another_stays)
{
        _cleanup_client_ Client *other = NULL;
        _cleanup_reply_ Reply *reply = NULL;
        Call *mine, *others;

        mine = start_asking("flr");
        other = client_new(UID_ALICE);
        others = reset_start(other, CARD2, "flr", NULL);
        (void) mock_polkit_request(1);
        call_abandon(mine);
        alice = client_free(alice);
        wait_until(mock_polkit_request(0)->cancelled);
        ck_assert(!mock_polkit_request(1)->cancelled);
        mock_polkit_answer(1, true, false);
        reply = call_finish(others);
        expect_success(reply);
        ck_assert_uint_eq(model_count("begin", CARD), 0);
}
END_TEST

START_TEST(time_is_over)
{
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_start(alice, CARD, "flr", "timeout_usec", "t", UINT64_C(1000000), NULL);
        (void) mock_polkit_request(0);
        finish_with_error(asked, "TimedOut", CARD);
        wait_until(mock_polkit_request(0)->cancelled);
}
END_TEST

/* ---- the device ---- */

typedef enum Change {
        REMOVED,
        REPLACED, /* by another one of the same make */
        REPLACED_BY_OTHER, /* by one of another make */
        REMOVED_SILENTLY, /* the event has not come yet */
        REPLACED_SILENTLY,
        BRIDGE_REMOVED,
        BRIDGE_REPLACED,
} Change;

static const struct {
        Change change;
        const char *method;
} change_cases[] = {
        {REMOVED, "flr"},           {REPLACED, "flr"},          {REPLACED_BY_OTHER, "flr"},
        {REMOVED_SILENTLY, "flr"},  {REPLACED_SILENTLY, "flr"}, {BRIDGE_REMOVED, "flr"},
        {BRIDGE_REPLACED, "flr"},   {REMOVED, "bus"},           {REPLACED, "bus"},
        {REPLACED_SILENTLY, "bus"}, {BRIDGE_REMOVED, "bus"},    {BRIDGE_REPLACED, "bus"},
        {REPLACED, "any"},          {REPLACED_SILENTLY, "any"},
};

static void make_change(Change change)
{
        MockDevice other = mock_card;

        other.device = 0x1533;
        switch (change) {
        case REMOVED:
                hotplug_remove(CARD);
                break;
        case REPLACED:
                hotplug_remove(CARD);
                hotplug_add(&mock_card);
                break;
        case REPLACED_BY_OTHER:
                hotplug_remove(CARD);
                hotplug_add(&other);
                break;
        case REMOVED_SILENTLY:
                sysfs_remove(CARD);
                break;
        case REPLACED_SILENTLY:
                sysfs_remove(CARD);
                sysfs_add(&mock_card);
                break;
        case BRIDGE_REMOVED:
                hotplug_remove(CARD);
                hotplug_remove(PORT);
                break;
        case BRIDGE_REPLACED:
                hotplug_remove(CARD);
                hotplug_remove(PORT);
                hotplug_add(&mock_port);
                hotplug_add(&mock_card);
                break;
        }
}

START_TEST(device_changes_under_the_question)
{
        Call *asked = start_asking(change_cases[_i].method);

        make_change(change_cases[_i].change);
        /* Behind the events, so that they are looked at first. */
        client_barrier(bob);
        mock_polkit_answer(0, true, false);
        finish_with_error(asked, "DeviceGone", CARD);
        ck_assert_uint_eq(mock_polkit_requests(), 1);
        /* Nobody heard of it, and it stood in no queue. */
        client_barrier(observer);
        ck_assert_ptr_null(signal_find("JobNew", NULL, NULL));
}
END_TEST

/* Does the daemon have this folder of sysfs open? That is what keeps its inode number from being given
 * again. */
static bool daemon_holds(const char *path)
{
        _cleanup_free_ char *folder = textf("/proc/%d/fd", daemon_process()->pid);
        DIR *directory = opendir(folder);
        bool found = false;

        ck_assert_ptr_nonnull(directory);
        for (struct dirent *entry; (entry = readdir(directory));) {
                char target[PATH_MAX] = "";

                if (readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1) > 0)
                        found = found || strcmp(target, path) == 0;
        }
        (void) closedir(directory);
        return found;
}

START_TEST(devices_are_held_fast)
{
        Call *asked = start_asking("bus");
        _cleanup_free_ char *card = strdup(sysfs_path(CARD)), *port = strdup(sysfs_path(PORT));
        _cleanup_reply_ Reply *after = NULL;

        ck_assert(daemon_holds(card));
        ck_assert(daemon_holds(port));
        mock_polkit_answer(0, false, false);
        finish_with_error(asked, ERROR_ACCESS_DENIED, CARD);
        /* The job is cleared away after its answer, and before the next call is looked at. */
        after = manager_call(bob, "ListDevices", NULL);
        expect_success(after);
        ck_assert(!daemon_holds(card));
        ck_assert(!daemon_holds(port));
}
END_TEST

/* The same, with the answer in the daemon's hands before the events are. */
START_TEST(device_changes_as_the_answer_comes)
{
        Call *asked = start_asking(change_cases[_i].method);

        process_signal(daemon_process(), SIGSTOP);
        mock_polkit_answer(0, true, false);
        /* The bus has passed the answer on: it treats each connection's messages in their order. */
        mock_polkit_flush();
        make_change(change_cases[_i].change);
        process_signal(daemon_process(), SIGCONT);
        finish_with_error(asked, "DeviceGone", CARD);
}
END_TEST

/* ---- its use ---- */

static const struct {
        const char *label;
        const char *before, *after; /* the driver */
        unsigned enable;
        bool in_use;
        const char *error; /* NULL: polkit is asked again */
        const char *action; /* that it is then asked */
} use_cases[] = {
        {"a host driver comes", NULL, "e1000e", 1, false, "InUse", NULL},
        {"a host driver comes, and that is fine", NULL, "e1000e", 1, true, NULL,
         "org.pciresetd1.reset-in-use"},
        {"vfio-pci comes", NULL, "vfio-pci", 0, false, NULL, "org.pciresetd1.reset"},
        {"vfio-pci comes and is opened", NULL, "vfio-pci", 1, false, "InUse", NULL},
        {"vfio-pci is opened", "vfio-pci", "vfio-pci", 1, false, "InUse", NULL},
        {"vfio-pci is opened, in_use does not help", "vfio-pci", "vfio-pci", 1, true, "InUse", NULL},
        {"pciback comes", NULL, "pciback", 0, false, "InUse", NULL},
        {"pciback comes, in_use does not help", NULL, "pciback", 0, true, "InUse", NULL},
        {"vfio-pci goes", "vfio-pci", NULL, 0, false, NULL, "org.pciresetd1.reset"},
        {"one host driver for another", "e1000e", "igb", 1, true, NULL, "org.pciresetd1.reset-in-use"},
        {"a host driver goes", "e1000e", NULL, 0, true, NULL, "org.pciresetd1.reset"},
};

/* The daemon learns of it by an event. */
static bool has_driver(const char *driver)
{
        _cleanup_free_ char *text = get_property_string(observer, device_path(CARD), DEVICE_INTERFACE,
                                                        "Driver");

        return strcmp(text, driver) == 0;
}

static void change_driver(const char *before, const char *after, unsigned enable)
{
        if (before && (!after || strcmp(before, after) != 0))
                hotplug_unbind(CARD);
        if (after && (!before || strcmp(before, after) != 0))
                hotplug_bind(CARD, after);
        sysfs_set(CARD, "enable", "%u", enable);
}

START_TEST(use_changes_under_the_question)
{
        MockDevice card = mock_card;
        _cleanup_reply_ Reply *reply = NULL;
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        card.driver = use_cases[_i].before;
        sysfs_add(&mock_port);
        sysfs_add(&card);
        fixture_start();
        asked = reset_start(alice, CARD, "flr", "in_use", "b", use_cases[_i].in_use, NULL);
        (void) mock_polkit_request(0);
        change_driver(use_cases[_i].before, use_cases[_i].after, use_cases[_i].enable);
        wait_until(has_driver(use_cases[_i].after ? use_cases[_i].after : ""));
        mock_polkit_answer(0, true, false);
        if (use_cases[_i].error) {
                finish_with_error(asked, use_cases[_i].error, CARD);
                return;
        }
        /* What was granted was something else: a new question with what holds now. */
        ck_assert_str_eq(mock_polkit_request(1)->action, use_cases[_i].action);
        ck_assert_str_eq(mock_polkit_detail(mock_polkit_request(1), "driver"),
                         use_cases[_i].after ? use_cases[_i].after : "");
        ck_assert(!call_done(asked));
        expect_nothing_written();
        mock_polkit_answer(1, true, false);
        reply = call_finish(asked);
        expect_success(reply);
        ck_assert_uint_eq(mock_polkit_requests(), 2);
}
END_TEST

START_TEST(new_question_may_be_refused)
{
        Call *asked;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_start(alice, CARD, "flr", "in_use", "b", 1, NULL);
        (void) mock_polkit_request(0);
        hotplug_bind(CARD, "e1000e");
        client_barrier(bob);
        mock_polkit_answer(0, true, false);
        (void) mock_polkit_request(1);
        mock_polkit_answer(1, false, false);
        finish_with_error(asked, ERROR_ACCESS_DENIED, "reset-in-use");
}
END_TEST

/* Facts that change at every look do not make polkit be asked for ever. */
START_TEST(questions_have_an_end)
{
        Call *asked;
        size_t n = 0;

        mock_polkit_start(MOCK_POLKIT_HANG);
        fixture_devices();
        fixture_start();
        asked = reset_start(alice, CARD, "flr", "in_use", "b", 1, NULL);
        while (n < 16) {
                wait_until(mock_polkit_requests() > n || call_done(asked));
                if (call_done(asked))
                        break;
                if (n % 2 == 0)
                        hotplug_bind(CARD, "e1000e");
                else
                        hotplug_unbind(CARD);
                client_barrier(bob);
                mock_polkit_answer(n++, true, false);
        }
        ck_assert_uint_lt(n, 16);
        finish_with_error(asked, ERROR_ACCESS_DENIED, CARD);
}
END_TEST

START_TEST(sibling_appears_under_the_question)
{
        MockDevice sibling = mock_card;
        Call *asked = start_asking("bus");

        sibling.address = "0000:01:00.1";
        hotplug_add(&sibling);
        client_barrier(bob);
        mock_polkit_answer(0, true, false);
        finish_with_error(asked, "NotUsable", CARD);
}
END_TEST

START_TEST(virtual_function_appears_under_the_question)
{
        const MockDevice vf = {.address = "0000:01:10.0", .parent = PORT, .methods = "flr", .physfn = CARD};
        _cleanup_reply_ Reply *reply = NULL;
        Call *asked = start_asking("flr");

        hotplug_add(&vf);
        client_barrier(bob);
        mock_polkit_answer(0, true, false);
        ck_assert_str_eq(mock_polkit_request(1)->action, "org.pciresetd1.reset-shared");
        ck_assert_str_eq(mock_polkit_detail(mock_polkit_request(1), "reset_set"), CARD " 0000:01:10.0");
        expect_nothing_written();
        mock_polkit_answer(1, true, false);
        reply = call_finish(asked);
        expect_success(reply);
}
END_TEST

START_TEST(method_disappears_under_the_question)
{
        Call *asked = start_asking("flr");

        sysfs_set(CARD, "reset_method", "pm bus");
        mock_polkit_answer(0, true, false);
        finish_with_error(asked, "NotUsable", "flr");
}
END_TEST

/* What does not matter for the answer does not make a new question. */
START_TEST(other_changes_ask_nothing)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *asked = start_asking("flr");

        hotplug_bind(CARD2, "e1000e");
        uevent("change", CARD, NULL);
        sysfs_set(CARD, "reset_method", "bus flr");
        client_barrier(bob);
        mock_polkit_answer(0, true, false);
        reply = call_finish(asked);
        expect_success(reply);
        ck_assert_uint_eq(mock_polkit_requests(), 1);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("pending");

        program_add_table(&program, reads_go_on, reads);
        program_add(&program, nothing_is_announced_before_the_answer);
        program_add(&program, others_overtake);
        program_add(&program, caller_leaves);
        program_add(&program, caller_is_gone_at_once);
        program_add(&program, one_connection_leaves_another_stays);
        program_add(&program, time_is_over);
        program_add_table(&program, device_changes_under_the_question, change_cases);
        program_add_table(&program, device_changes_as_the_answer_comes, change_cases);
        program_add(&program, devices_are_held_fast);
        program_add_table(&program, use_changes_under_the_question, use_cases);
        program_add(&program, new_question_may_be_refused);
        program_add(&program, questions_have_an_end);
        program_add(&program, sibling_appears_under_the_question);
        program_add(&program, virtual_function_appears_under_the_question);
        program_add(&program, method_disappears_under_the_question);
        program_add(&program, other_changes_ask_nothing);
        return program_run(&program);
}
