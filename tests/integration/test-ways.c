/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The methods beside the kernel's own, through the whole daemon: what the worker wrote, in which order, and
 * what is said of devices that came back, or did not.
 */

#include <string.h>

#include "harness/claims.h"
#include "harness/fixture.h"
#include "harness/resets.h"

#define SECOND "0000:01:00.1"

static void start(const char *driver)
{
        MockDevice port = mock_port;
        MockDevice card = {.address = CARD,
                           .parent = PORT,
                           .methods = "flr",
                           .multifunction = true,
                           .removable = true,
                           .driver = driver};
        MockDevice second = card;

        port.subordinate = port.removable = true;
        second.address = SECOND;
        sysfs_add(&port);
        sysfs_add(&card);
        sysfs_add(&second);
        sysfs_slot("3", "0000:01:00", PORT);
        fixture_start();
}

/* The kernel's log without its numbers, one line for each write of the worker. */
static char *writes(void)
{
        static const char *const wanted[] = {"begin", "power",  "removed", "found",
                                             "bind",  "unbind", "rescan",  "override"};
        char *text = strdup("");

        for (size_t i = 0;; i++) {
                char *longer;
                ModelEvent event;
                bool is_wanted = false;

                if (!model_event(NULL, NULL, i, &event))
                        return text;
                for (size_t k = 0; k < ELEMENTSOF(wanted); k++)
                        is_wanted |= strcmp(event.what, wanted[k]) == 0;
                if (!is_wanted)
                        continue;
                longer = textf("%s%s %s; ", text, event.what, event.address);
                free(text);
                text = longer;
        }
}

static void expect_writes(const char *expected)
{
        _cleanup_free_ char *text = writes();

        ck_assert_str_eq(text, expected);
}

static void expect_check(const Reply *reply, const char *device, const char *check, const char *result,
                         const char *after)
{
        json_object *entry = find_check(reply, "1", device, check);

        ck_assert_str_eq(json_object_get_string(json_at(entry, "result")), result);
        ck_assert_str_eq(json_object_get_string(json_at(entry, "after")), after);
}

START_TEST(subordinate)
{
        _cleanup_reply_ Reply *reply = NULL;

        start(NULL);
        reply = reset(alice, CARD, "subordinate", NULL);
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.verdict"), "ok");
        ck_assert_uint_eq(reply_length(reply, "0.reset_set"), 2);
        expect_writes("begin " PORT "; ");
}
END_TEST

START_TEST(locks_are_waited_for)
{
        _cleanup_reply_ Reply *reply = NULL;

        start(NULL);
        model_knob(PORT, "again", "3");
        reply = reset(alice, CARD, "subordinate", NULL);
        expect_success(reply);
        expect_writes("begin " PORT "; begin " PORT "; begin " PORT "; begin " PORT "; ");
        ck_assert_int_eq((int) reply_number(reply, "0.attempts.0.tries"), 4);
}
END_TEST

START_TEST(subordinate_kills_the_second)
{
        _cleanup_reply_ Reply *reply = NULL;

        start(NULL);
        model_dies(SECOND, "subordinate");
        reply = reset(alice, CARD, "subordinate", NULL);
        expect_error(reply, "DeviceDead", CARD);
        expect_check(reply, SECOND, "answers", "failed", "all ones");
        expect_check(reply, CARD, "answers", "ok", "answers");
}
END_TEST

static const char *const removing_methods[] = {"slot", "rescan"};

static const char *removal_of(const char *method)
{
        if (strcmp(method, "slot") == 0)
                return "power 3; removed " CARD "; removed " SECOND "; power 3; found " CARD
                       "; found " SECOND "; ";
        return "removed " CARD "; removed " SECOND "; rescan " PORT "; found " CARD "; found " SECOND "; ";
}

START_TEST(goes_and_comes)
{
        uint64_t inode;
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *text = NULL;

        start(NULL);
        inode = sysfs_inode(CARD);
        reply = reset(alice, CARD, removing_methods[_i], NULL);
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.verdict"), "ok");
        ck_assert_uint_ne(sysfs_inode(CARD), inode);

        /* In which order a folder is read is nobody's promise. */
        text = writes();
        ck_assert_uint_eq(strlen(text), strlen(removal_of(removing_methods[_i])));
        ck_assert_uint_eq(model_count("removed", NULL), 2);
        ck_assert_uint_eq(model_count("found", NULL), 2);
}
END_TEST

/* Of another make, whichever file tells it. */
static void let_a_stranger_come(const char *method)
{
        static const char vendor[] = "0x10de\n",
                          modalias[] = "pci:v000010DEd000010D3sv00008086sd000010D3bc02sc00i00\n";

        model_after(CARD, method, "vendor", vendor, strlen(vendor));
        model_after(CARD, method, "modalias", modalias, strlen(modalias));
}

START_TEST(a_stranger_comes_back)
{
        _cleanup_reply_ Reply *reply = NULL;

        start(NULL);
        let_a_stranger_come(removing_methods[_i]);
        reply = reset(alice, CARD, removing_methods[_i], NULL);
        expect_error(reply, "DeviceGone", "another one has its address");
        expect_check(reply, CARD, "ids", "failed", "another device, 10de:10d3");
}
END_TEST

START_TEST(gets_its_driver_back)
{
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *override = NULL;

        start("vfio-pci");
        sysfs_set(CARD, "driver_override", "vfio-pci");
        sysfs_set(SECOND, "driver_override", "vfio-pci");
        sysfs_driver("e1000e");
        model_knob(CARD, "autoprobe", "e1000e");
        reply = reset(alice, CARD, removing_methods[_i], NULL);
        expect_success(reply);
        override = sysfs_get(CARD, "driver_override");
        ck_assert_str_eq(override, "vfio-pci");
        ck_assert_uint_eq(model_count("unbind", CARD), 1);
        ck_assert_uint_eq(model_count("bind", CARD), 1);
        ck_assert_uint_eq(model_count("unbind", SECOND), 0);
}
END_TEST

/* The port's hotplug driver takes the reset for an unplugging. */
static void start_below_hotplug(void)
{
        start("vfio-pci");
        sysfs_hotplug(PORT);
        sysfs_set(CARD, "driver_override", "vfio-pci");
        sysfs_set(SECOND, "driver_override", "vfio-pci");
        sysfs_driver("e1000e");
        model_knob(PORT, "flaps", "1");
}

START_TEST(taken_for_an_unplugging)
{
        static const char *const functions[] = {CARD, SECOND, NULL};
        _cleanup_reply_ Reply *reply = NULL;
        _cleanup_free_ char *id = NULL;
        uint64_t inode;
        int lease;

        start_below_hotplug();
        model_knob(CARD, "autoprobe", "e1000e");
        inode = sysfs_inode(CARD);
        lease = claim_finish(acquire_start(alice, functions), &id);
        reply = reset(alice, CARD, "subordinate", NULL);
        expect_success(reply);
        ck_assert_str_eq(reply_string(reply, "0.verdict"), "ok");
        ck_assert_uint_ne(sysfs_inode(CARD), inode);
        ck_assert_uint_eq(model_count("removed", NULL), 2);
        ck_assert_uint_eq(model_count("bind", SECOND), 1);
        /* For clients it is the same device. */
        expect_lease(CARD, id);
        expect_lease(SECOND, id);
        claim_release(&lease);
}
END_TEST

START_TEST(taken_for_an_unplugging_and_replaced)
{
        _cleanup_reply_ Reply *reply = NULL;

        start_below_hotplug();
        let_a_stranger_come("subordinate");
        reply = reset(alice, CARD, "subordinate", NULL);
        expect_error(reply, "DeviceGone", "another one has its address");
        expect_check(reply, CARD, "ids", "failed", "another device, 10de:10d3");
        ck_assert_uint_eq(model_count("bind", CARD), 0);
        ck_assert_uint_eq(model_count("override", CARD), 0);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("ways");

        program_add(&program, subordinate);
        program_add(&program, locks_are_waited_for);
        program_add(&program, subordinate_kills_the_second);
        program_add(&program, taken_for_an_unplugging);
        program_add(&program, taken_for_an_unplugging_and_replaced);
        program_add_table(&program, goes_and_comes, removing_methods);
        program_add_table(&program, a_stranger_comes_back, removing_methods);
        program_add_table(&program, gets_its_driver_back, removing_methods);
        return program_run(&program);
}
