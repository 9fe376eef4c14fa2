/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The comparison is a function of two findings, so each test changes one thing in the second and looks for
 * the one check that must notice.
 */

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "unit.h"
#include "worker/health.h"

DEFINE_CLEANUP(Health *, health_free);

/* One function with a link and a driver, below a root port. */
static WorkerMember members[2] = {
        {.address = {.bus = 1}, .vendor = 0x8086, .device = 0x10d3, .class = 0x020000, .driver = "e1000e"},
        {.address = {.bus = 1, .function = 1}, .vendor = 0x8086, .device = 0x10d3, .class = 0x020000},
};
static const WorkerRequest request = {
        .method = "flr",
        .members = members,
        .n_members = 1,
        .bridge.address.device = 0x1c,
        .has_bridge = true,
};

static const DeviceHealth endpoint = {
        .vendor = 0x8086,
        .device = 0x10d3,
        .subsystem = 0x00018086,
        .header_type = 0,
        .class_revision = 0x02000001,
        .command = 0x0406,
        .bars = {0xfebc0000, 0xfeb80000, 0x0000c001},
        .n_bars = 6,
        .has_link = true,
        .link = {.speed = 3, .width = 4},
        .has_fatal_status = true,
        .has_fatal_count = true,
        .has_driver = true,
        .driver = "e1000e",
};

static const DeviceHealth root_port = {
        .vendor = 0x8086,
        .device = 0x3420,
        .header_type = 1,
        .has_link = true,
        .link = {.speed = 3, .width = 4, .reports_active = true, .active = true},
        .has_fatal_count = true,
        .has_port_fatal_count = true,
        .has_driver = true,
        .driver = "pcieport",
};

static Health *before, *after;
static WorkerResult result;

static void setup(void)
{
        before = health_new(1);
        after = health_new(1);
        ck_assert(before && after);
        before->members[0] = after->members[0] = endpoint;
        before->bridge = after->bridge = root_port;
        before->has_bridge = after->has_bridge = true;
        result = (WorkerResult){};
        ck_assert_int_eq(health_prepare_result(&request, &result), 0);
}

static void teardown(void)
{
        before = health_free(before);
        after = health_free(after);
        free(result.checks);
}

/* The checks in the form `answers ids! header- …`: failed with an exclamation mark, skipped with a dash. */
static const char *summary(void)
{
        static char text[512];
        static const char *const marks[] = {[CHECK_OK] = "", [CHECK_FAILED] = "!", [CHECK_SKIPPED] = "-"};

        text[0] = '\0';
        for (size_t i = 0; i < result.n_checks; i++) {
                if (i > 0)
                        (void) strcat(text, " ");
                (void) strcat(strcat(text, result.checks[i].check), marks[result.checks[i].result]);
        }
        return text;
}

static const WorkerCheck *find(const char *name)
{
        for (size_t i = 0; i < result.n_checks; i++)
                if (strcmp(result.checks[i].check, name) == 0)
                        return &result.checks[i];
        ck_abort_msg("no check '%s'", name);
}

static void expect(Verdict verdict, const char *checks)
{
        health_compare(&request, before, after, &result);
        ck_assert_str_eq(summary(), checks);
        ck_assert_str_eq(verdict_to_string(result.verdict), verdict_to_string(verdict));
}

#define ALL_OK "answers ids header command bars link aer driver link aer"

START_TEST(nothing_changed)
{
        expect(VERDICT_OK, ALL_OK);
        ck_assert_str_eq(find("ids")->before, "8086:10d3 8086:0001");
        ck_assert_str_eq(find("header")->after, "type 0x00, class 0x020000, revision 0x01");
        ck_assert_str_eq(find("command")->after, "0x0406");
        ck_assert_str_eq(find("bars")->after,
                         "0xfebc0000 0xfeb80000 0x0000c001 0x00000000 0x00000000 0x00000000");
        ck_assert_str_eq(find("link")->after, "x4, 8 GT/s");
        ck_assert_str_eq(find("aer")->after, "fatal 0, nonfatal 0, pending 0x00000000");
        ck_assert_str_eq(find("driver")->after, "e1000e");
        ck_assert_str_eq(result.checks[8].after, "x4, 8 GT/s, up");
        ck_assert_str_eq(result.checks[9].after, "fatal 0, nonfatal 0, below fatal 0");
        ck_assert_uint_eq(result.checks[9].device.device, 0x1c);
}
END_TEST

START_TEST(compared_again)
{
        after->members[0].command = 0;
        expect(VERDICT_DEGRADED, "answers ids header command! bars link aer driver link aer");
        after->members[0].command = before->members[0].command;
        expect(VERDICT_OK, ALL_OK);
}
END_TEST

START_TEST(dead)
{
        static const struct {
                int error;
                ConfigAnswer answer;
                const char *text;
        } deaths[] = {
                {0, CONFIG_ALL_ONES, "all ones"},     {0, CONFIG_NOT_READY, "not ready"},
                {0, CONFIG_EMPTY, "zeros"},           {-ENODEV, CONFIG_ANSWERS, "gone"},
                {-EIO, CONFIG_ANSWERS, "unreadable"},
        };

        for (size_t i = 0; i < ELEMENTSOF(deaths); i++) {
                after->members[0].error = deaths[i].error;
                after->members[0].answer = deaths[i].answer;
                expect(VERDICT_DEAD, "answers! aer driver link aer");
                ck_assert_str_eq(find("answers")->before, "answers");
                ck_assert_str_eq(find("answers")->after, deaths[i].text);
        }
}
END_TEST

/* Each change of one value makes one check fail. */
START_TEST(other_ids)
{
        after->members[0].device = 0x10d4;
        expect(VERDICT_DEGRADED, "answers ids! header command bars link aer driver link aer");
        after->members[0] = endpoint;
        after->members[0].subsystem = 0;
        expect(VERDICT_DEGRADED, "answers ids! header command bars link aer driver link aer");
}
END_TEST

START_TEST(other_header)
{
        after->members[0].header_type = 0x80;
        expect(VERDICT_DEGRADED, "answers ids header! command bars link aer driver link aer");
        after->members[0] = endpoint;
        after->members[0].class_revision++;
        expect(VERDICT_DEGRADED, "answers ids header! command bars link aer driver link aer");
}
END_TEST

START_TEST(other_bars)
{
        after->members[0].bars[5] = 1;
        expect(VERDICT_DEGRADED, "answers ids header command bars! link aer driver link aer");
}
END_TEST

START_TEST(other_driver)
{
        (void) strcpy(after->members[0].driver, "vfio-pci");
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer driver! link aer");
        after->members[0].driver[0] = '\0';
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer driver! link aer");
        after->members[0] = endpoint;
        after->members[0].has_driver = false;
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer driver! link aer");
        ck_assert_str_eq(find("driver")->after, "unreadable");
}
END_TEST

START_TEST(link_changes)
{
        ConfigLink *link = &after->members[0].link;

        link->width = 2;
        expect(VERDICT_DEGRADED, "answers ids header command bars link! aer driver link aer");
        link->width = 8;
        expect(VERDICT_OK, ALL_OK);

        /* An idle GPU lowers its speed by itself. */
        link->speed = 1;
        expect(VERDICT_OK, ALL_OK);
        ck_assert_str_eq(find("link")->after, "x8, 2.5 GT/s");
        link->speed = 15;
        expect(VERDICT_OK, ALL_OK);
        ck_assert_str_eq(find("link")->after, "x8, unknown speed");

        after->members[0].has_link = false;
        expect(VERDICT_DEGRADED, "answers ids header command bars link! aer driver link aer");
        ck_assert_str_eq(find("link")->after, "none");
}
END_TEST

START_TEST(link_of_the_bridge)
{
        after->bridge.link.active = false;
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer driver link! aer");
        ck_assert_str_eq(result.checks[8].after, "x4, 8 GT/s, down");

        /* A port below which nothing was needs no link. */
        before->bridge.link.active = false;
        expect(VERDICT_OK, ALL_OK);

        after->bridge.answer = CONFIG_ALL_ONES;
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer driver link! aer");
        before->bridge.answer = CONFIG_ALL_ONES;
        expect(VERDICT_OK, "answers ids header command bars link aer driver link- aer");
}
END_TEST

START_TEST(aer_of_the_device)
{
        after->members[0].nonfatal_count = 3;
        expect(VERDICT_OK, ALL_OK);
        after->members[0].fatal_count = 1;
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer! driver link aer");
        before->members[0].fatal_count = 1;
        expect(VERDICT_OK, ALL_OK);

        after->members[0].fatal_status = PCI_ERR_UNC_DLP;
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer! driver link aer");
        before->members[0].fatal_status = PCI_ERR_UNC_DLP;
        expect(VERDICT_OK, ALL_OK);
        after->members[0].fatal_status = 0;
        expect(VERDICT_OK, ALL_OK);

        after->members[0].has_fatal_count = false;
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer! driver link aer");
}
END_TEST

START_TEST(aer_of_the_bridge)
{
        after->bridge.port_fatal_count = 1;
        expect(VERDICT_DEGRADED, "answers ids header command bars link aer driver link aer!");
        ck_assert_str_eq(result.checks[9].after, "fatal 0, nonfatal 0, below fatal 1");
}
END_TEST

START_TEST(aer_that_is_not_there)
{
        before->members[0].has_fatal_count = after->members[0].has_fatal_count = false;
        expect(VERDICT_OK, ALL_OK);
        before->members[0].has_fatal_status = after->members[0].has_fatal_status = false;
        expect(VERDICT_OK, "answers ids header command bars link aer- driver link aer");
}
END_TEST

/* Without CAP_SYS_ADMIN the registers are out of sight; what the counters say still counts against the
 * device. */
START_TEST(unprivileged)
{
        before->members[0].is_limited = after->members[0].is_limited = true;
        before->members[0].has_link = after->members[0].has_link = false;
        before->members[0].has_fatal_status = after->members[0].has_fatal_status = false;
        expect(VERDICT_OK, "answers ids header command bars link- aer- driver link aer");
        ck_assert_str_eq(find("link")->before, "not visible");
        after->members[0].fatal_count = 1;
        expect(VERDICT_DEGRADED, "answers ids header command bars link- aer! driver link aer");
}
END_TEST

START_TEST(virtual_function)
{
        DeviceHealth *now = &after->members[0];

        before->members[0] = (DeviceHealth){
                .is_virtual = true,
                .vendor = 0xffff,
                .device = 0xffff,
                .class_revision = 0x02000001,
                .command = 0x0004,
                .n_bars = 6,
                .has_driver = true,
        };
        *now = before->members[0];
        expect(VERDICT_OK, "answers ids- header command bars- link- aer- driver link aer");

        now->command = 0;
        expect(VERDICT_DEGRADED, "answers ids- header command! bars- link- aer- driver link aer");
        now->class_revision = 0;
        expect(VERDICT_DEGRADED, "answers ids- header! command! bars- link- aer- driver link aer");
        now->answer = CONFIG_ALL_ONES;
        expect(VERDICT_DEAD, "answers! aer- driver link aer");
}
END_TEST

/* Brought back by a link reset: the kernel has restored what it had saved of a dead device. */
START_TEST(dead_before)
{
        before->members[0] = (DeviceHealth){
                .answer = CONFIG_ALL_ONES, .has_driver = true, .driver = "e1000e"};
        expect(VERDICT_DEGRADED, "answers ids command! link- aer- driver link aer");
        ck_assert_str_eq(find("answers")->before, "all ones");
        ck_assert_str_eq(find("command")->before, "all ones");

        after->members[0].vendor = 0x1234;
        expect(VERDICT_DEGRADED, "answers ids! command! link- aer- driver link aer");

        after->members[0] = before->members[0];
        expect(VERDICT_DEAD, "answers! aer- driver link aer");
}
END_TEST

START_TEST(no_bridge)
{
        WorkerRequest alone = request;

        alone.has_bridge = false;
        before->has_bridge = after->has_bridge = false;
        health_compare(&alone, before, after, &result);
        ck_assert_str_eq(summary(), "answers ids header command bars link aer driver");
}
END_TEST

START_TEST(every_member_counts)
{
        WorkerRequest both = request;
        _cleanup_(cleanup_health_free) Health *before_both = health_new(2), *after_both = health_new(2);
        WorkerResult many = {};

        both.n_members = 2;
        both.has_bridge = false;
        ck_assert_int_eq(health_prepare_result(&both, &many), 0);
        for (size_t i = 0; i < 2; i++)
                before_both->members[i] = after_both->members[i] = endpoint;

        health_compare(&both, before_both, after_both, &many);
        ck_assert_int_eq(many.verdict, VERDICT_OK);
        ck_assert_uint_eq(many.n_checks, 16);
        ck_assert_uint_eq(many.checks[8].device.function, 1);

        /* dead outweighs degraded, in either order */
        after_both->members[0].command = 0;
        after_both->members[1].answer = CONFIG_ALL_ONES;
        health_compare(&both, before_both, after_both, &many);
        ck_assert_int_eq(many.verdict, VERDICT_DEAD);
        after_both->members[0].answer = CONFIG_ALL_ONES;
        after_both->members[1] = endpoint;
        after_both->members[1].command = 0;
        health_compare(&both, before_both, after_both, &many);
        ck_assert_int_eq(many.verdict, VERDICT_DEAD);
        free(many.checks);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("health");
        TCase *comparison = tcase_create("comparison");

        tcase_add_checked_fixture(comparison, setup, teardown);
        tcase_add_test(comparison, nothing_changed);
        tcase_add_test(comparison, compared_again);
        tcase_add_test(comparison, dead);
        tcase_add_test(comparison, other_ids);
        tcase_add_test(comparison, other_header);
        tcase_add_test(comparison, other_bars);
        tcase_add_test(comparison, other_driver);
        tcase_add_test(comparison, link_changes);
        tcase_add_test(comparison, link_of_the_bridge);
        tcase_add_test(comparison, aer_of_the_device);
        tcase_add_test(comparison, aer_of_the_bridge);
        tcase_add_test(comparison, aer_that_is_not_there);
        tcase_add_test(comparison, unprivileged);
        tcase_add_test(comparison, virtual_function);
        tcase_add_test(comparison, dead_before);
        tcase_add_test(comparison, no_bridge);
        suite_add_tcase(suite, comparison);
        unit_add(suite, every_member_counts);
        return unit_run(suite);
}
