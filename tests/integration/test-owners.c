/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whose device it is: by a udev rule, by the seat, by a lease. The property Owner, the list and polkit are
 * told the same, and it follows what udev and logind write into /run.
 */

#include <stdio.h>
#include <string.h>

#include "harness/claims.h"
#include "harness/holders.h"
#include "harness/resets.h"

#define SEATS "/run/systemd/seats"

/* What udevd keeps of a device once its rules have run: for "+pci:ADDRESS" or "cMAJOR:MINOR". */
static void udev_database(const char *id, const char *lines)
{
        _cleanup_free_ char *path = textf("/run/udev/data/%s", id);

        file_print(path, "I:1\n%sV:1\n", lines);
}

/* As udevd does it: the database first, then the event. */
static void rule_sets(const char *owner)
{
        _cleanup_free_ char *line = owner ? textf("E:PCIRESETD_OWNER=%s\n", owner) : NULL;

        udev_database("+pci:" CARD, line ? line : "");
        uevent("change", CARD, NULL);
}

/* logind replaces the file as a whole. */
static void seat_is_of(uid_t uid)
{
        static const char new[] = "/run/systemd/.seat0";

        directory_make(SEATS);
        file_print(new, "# This is private data. Do not parse.\nIS_SEAT0=1\n");
        if (uid > 0)
                file_print(new, "IS_SEAT0=1\nACTIVE=c1\nACTIVE_UID=%u\n", uid);
        ck_assert_int_eq(rename(new, SEATS "/seat0"), 0);
}

static void node_has_tag(bool now)
{
        udev_database("c1:5", now ? "G:seat\nG:uaccess\nQ:seat\nQ:uaccess\n" : "G:uaccess\nQ:seat\n");
}

/* CARD's row of ListDevices. */
static json_object *row_of_card(const Reply *list)
{
        json_object *rows = reply_at(list, "0");

        for (size_t i = 0; i < json_object_array_length(rows); i++) {
                json_object *row = json_object_array_get_idx(rows, i);

                if (strcmp(json_object_get_string(json_at(row, "0")), CARD) == 0)
                        return row;
        }
        ck_abort_msg("ListDevices does not list %s", CARD);
}

/* The property, and the list. */
static void expect_owner(const char *owner)
{
        _cleanup_free_ char *found = get_property_string(observer, device_path(CARD), DEVICE_INTERFACE,
                                                         "Owner");
        _cleanup_reply_ Reply *list = manager_call(observer, "ListDevices", NULL);

        ck_assert_str_eq(found, owner);
        ck_assert_str_eq(json_object_get_string(json_at(row_of_card(list), "4")), owner);
}

/* The signal alone must do; who asks is told the same. */
static void expect_change(const char *owner)
{
        _cleanup_free_ char *part = textf("\"Owner\":\"%s\"", owner);

        (void) signal_wait("PropertiesChanged", device_path(CARD), part);
        expect_owner(owner);
        signals_forget();
}

static void start(void)
{
        signals_watch(observer);
        fixture_start();
}

/* ---- a udev rule ---- */

START_TEST(a_rule_says_so_from_the_start)
{
        _cleanup_reply_ Reply *plan = NULL;

        mock_polkit_start(MOCK_POLKIT_NO);
        fixture_devices();
        udev_database("+pci:" CARD, "E:ID_BUS=pci\nE:PCIRESETD_OWNER=alice\n");
        start();
        expect_change("alice");
        expect_question(bob, 0, "org.pciresetd1.reset", "alice");
        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(plan);
        ck_assert_uint_eq(reply_length(plan, "0.rungs.0.owners"), 1);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.device"), device_path(CARD));
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.owner"), "alice");
        ck_assert_ptr_null(json_at(reply_at(plan, "0.rungs.0.owners.0"), "lease"));
        expect_nothing_written();
}
END_TEST

/* What is no name makes nobody an owner, and takes the former one away. */
START_TEST(follows_the_rules)
{
        static const struct {
                const char *rule, *owner;
        } steps[] = {
                {"alice", "alice"}, {"@crowd1", "@crowd1"}, {NULL, ""}, {"bob", "bob"}, {"no name", ""},
        };

        mock_polkit_start(MOCK_POLKIT_NO);
        fixture_devices();
        start();
        expect_owner("");
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                rule_sets(steps[i].rule);
                expect_change(steps[i].owner);
                expect_question(bob, i, "org.pciresetd1.reset", steps[i].owner);
        }
        expect_nothing_written();
}
END_TEST

/* polkit's rules can rely on it, and on its end. */
START_TEST(a_rule_of_polkit_decides_by_it)
{
        _cleanup_reply_ Reply *before = NULL, *now = NULL, *after = NULL;

        polkit_start("polkit.addRule(function(action, subject) {\n"
                     "    if (action.id == 'org.pciresetd1.reset')\n"
                     "        return action.lookup('owner') == subject.user ? polkit.Result.YES\n"
                     "                                                      : polkit.Result.NO;\n"
                     "});\n");
        fixture_devices();
        start();
        before = reset(bob, CARD, "flr", NULL);
        expect_error(before, ERROR_ACCESS_DENIED, CARD);
        expect_nothing_written();
        rule_sets("bob");
        expect_change("bob");
        now = reset(bob, CARD, "flr", NULL);
        expect_success(now);
        rule_sets("alice");
        expect_change("alice");
        after = reset(bob, CARD, "flr", NULL);
        expect_error(after, ERROR_ACCESS_DENIED, CARD);
        expect_methods_run(CARD, "flr");
}
END_TEST

/* The device changes hands while it is being reset. */
START_TEST(follows_the_rules_during_a_reset)
{
        _cleanup_reply_ Reply *reply = NULL;
        Call *running;
        int hold;

        fixture_devices();
        start();
        hold = reset_hold(&running);
        rule_sets("bob");
        expect_change("bob");
        model_release(&hold);
        reply = call_finish(running);
        expect_success(reply);
        expect_owner("bob");
}
END_TEST

/* ---- the seat ---- */

static void start_at_seat(uid_t uid)
{
        card_with_node();
        node_has_tag(true);
        seat_is_of(uid);
        start();
}

START_TEST(whoever_is_at_the_seat)
{
        mock_polkit_start(MOCK_POLKIT_NO);
        start_at_seat(UID_ALICE);
        expect_change("alice");
        expect_question(bob, 0, "org.pciresetd1.reset", "alice");
        seat_is_of(UID_BOB);
        expect_change("bob");
        expect_question(bob, 1, "org.pciresetd1.reset", "bob");
        seat_is_of(0);
        expect_change("");
        expect_question(bob, 2, "org.pciresetd1.reset", "");
}
END_TEST

static void change_node(void)
{
        _cleanup_free_ char *path = textf("%s/drm/" NODE, sysfs_path(CARD));

        uevent_at("change", path + strlen("/sys"), NULL);
}

/* The event is the node's and not the device's. */
START_TEST(a_node_is_given_and_taken)
{
        start_at_seat(UID_ALICE);
        expect_change("alice");
        node_has_tag(false);
        change_node();
        expect_change("");
        node_has_tag(true);
        change_node();
        expect_change("alice");
}
END_TEST

START_TEST(a_rule_goes_before_the_seat)
{
        start_at_seat(UID_ALICE);
        expect_change("alice");
        rule_sets("@crowd1");
        expect_change("@crowd1");
        rule_sets(NULL);
        expect_change("alice");
}
END_TEST

/* ---- leases ---- */

/* A lease names its maker unless somebody else is named; and whoever is named, it protects. */
START_TEST(others_go_before_a_lease)
{
        _cleanup_reply_ Reply *refused = NULL, *plan = NULL;
        _cleanup_free_ char *id = NULL;
        int lease;

        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        start();
        lease = lease_take(alice, CARD, &id);
        expect_change("uid:1001");
        rule_sets("bob");
        expect_change("bob");

        plan = manager_call(bob, "Plan", "ssa{sv}", CARD, "flr", 0);
        expect_success(plan);
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.owner"), "bob");
        ck_assert_str_eq(reply_string(plan, "0.rungs.0.owners.0.lease"), id);
        ck_assert_int_eq(reply_number(plan, "0.rungs.0.owners.0.uid"), UID_ALICE);
        refused = reset(bob, CARD, "flr", NULL);
        expect_error(refused, "Leased", id);
        expect_nothing_written();
        ck_assert_uint_eq(mock_polkit_requests(), 1);
        mock_polkit_mode(MOCK_POLKIT_NO);
        expect_question(alice, 1, "org.pciresetd1.reset-owned", "bob");

        rule_sets(NULL);
        expect_change("uid:1001");
        expect_question(alice, 2, "org.pciresetd1.reset-owned", "uid:1001");
        claim_release(&lease);
        expect_change("");
}
END_TEST

int main(void)
{
        TestProgram program = program_new("owners");

        program_add(&program, a_rule_says_so_from_the_start);
        program_add(&program, follows_the_rules);
        program_add(&program, a_rule_of_polkit_decides_by_it);
        program_add(&program, follows_the_rules_during_a_reset);
        program_add(&program, whoever_is_at_the_seat);
        program_add(&program, a_node_is_given_and_taken);
        program_add(&program, a_rule_goes_before_the_seat);
        program_add(&program, others_go_before_a_lease);
        return program_run(&program);
}
