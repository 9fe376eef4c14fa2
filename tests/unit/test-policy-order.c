/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The ladder that rules make of what a device offers: its order, what is left out of it and why.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/domain/policy.h"
#include "policy-bed.h"
#include "shared/cleanup.h"
#include "unit.h"

static const struct {
        const char *methods, *forbid; /* NULL: not set */
        bool no_link;
        const char *bad, *good; /* methods that are known to be */
        const char *advertised;
        const char *steps;
        const char *left_out; /* with the reason of each */
        bool workaround;
} ladders[] = {
        {NULL, NULL, false, NULL, NULL, "", "", "", false},
        {NULL, NULL, false, NULL, NULL, "flr pm bus slot", "flr pm bus slot", "", false},
        {NULL, NULL, false, NULL, NULL, "flr bus rescan", "flr bus", "rescan:last-resort", false},
        {NULL, NULL, false, NULL, NULL, "d3cold flr", "flr", "d3cold:unknown-method", false},
        {NULL, NULL, false, NULL, NULL, "d3cold", "", "d3cold:unknown-method", false},
        {"bus flr", NULL, false, NULL, NULL, "flr bus", "bus flr", "", true},
        {"flr bus", NULL, false, NULL, NULL, "flr bus", "flr bus", "", false},
        {"bus", NULL, false, NULL, NULL, "flr pm bus", "bus", "flr:not-listed pm:not-listed", true},
        {"flr slot", NULL, false, NULL, NULL, "flr", "flr", "slot:not-advertised", false},
        {"flr rescan", NULL, false, NULL, NULL, "flr rescan", "flr rescan", "", true},
        {"", NULL, false, NULL, NULL, "flr", "", "flr:not-listed", true},
        {NULL, "flr", false, NULL, NULL, "flr pm bus", "pm bus", "flr:forbidden", true},
        {NULL, "slot", false, NULL, NULL, "flr bus", "flr bus", "", false},
        {NULL, "rescan", false, NULL, NULL, "flr rescan", "flr", "rescan:forbidden", false},
        {NULL, "", false, NULL, NULL, "flr", "flr", "", false},
        {"flr bus", "flr", false, NULL, NULL, "flr bus", "bus", "flr:forbidden", true},
        {NULL, NULL, true, NULL, NULL, "flr bus slot rescan", "flr",
         "bus:link-forbidden slot:link-forbidden rescan:link-forbidden", true},
        {"bus flr", NULL, true, NULL, NULL, "flr bus", "flr", "bus:link-forbidden", true},
        {NULL, "bus", true, NULL, NULL, "flr bus", "flr", "bus:forbidden", true},
        {NULL, NULL, false, "flr", NULL, "flr bus", "bus", "flr:known-bad", true},
        {NULL, NULL, false, "slot", "flr", "flr bus", "flr bus", "", false},
        {"flr bus", NULL, false, "flr", NULL, "flr bus", "flr bus", "", false},
        {"bus", NULL, false, "flr", NULL, "flr bus", "bus", "flr:not-listed", true},
        {NULL, "flr", false, "flr", NULL, "flr bus", "bus", "flr:forbidden", true},
};

static const char *join_steps(const PolicyOrder *order)
{
        static char text[1024];

        text[0] = '\0';
        for (size_t i = 0; i < order->n_steps; i++)
                (void) sprintf(text + strlen(text), "%s%s", i ? " " : "", order->steps[i].method);
        return text;
}

static const char *join_left_out(const PolicyOrder *order)
{
        static char text[1024];

        text[0] = '\0';
        for (size_t i = 0; i < order->n_left_out; i++)
                (void) sprintf(text + strlen(text), "%s%s:%s", i ? " " : "", order->left_out[i].method,
                               policy_why_to_string(order->left_out[i].why));
        return text;
}

/* Each key by a rule of its own, which is to be named. */
static void add_ladder_rules(int i)
{
        PolicyRule rule;

        if (ladders[i].methods) {
                rule = rule_new("methods");
                set_methods(&rule, ladders[i].methods);
                add(rule);
        }
        if (ladders[i].forbid) {
                rule = rule_new("forbid");
                set_forbid(&rule, ladders[i].forbid);
                add(rule);
        }
        if (ladders[i].no_link) {
                rule = rule_new("link");
                set_allow_link(&rule, false);
                add(rule);
        }
        if (ladders[i].bad || ladders[i].good) {
                rule = rule_new("known");
                if (ladders[i].bad)
                        know(&rule, ladders[i].bad, true, NULL);
                if (ladders[i].good)
                        know(&rule, ladders[i].good, false, NULL);
                add(rule);
        }
        merge();
}

static const char *rule_of(PolicyWhy why)
{
        switch (why) {
        case POLICY_WHY_FORBIDDEN:
                return "forbid";
        case POLICY_WHY_LINK:
                return "link";
        case POLICY_WHY_NOT_LISTED:
        case POLICY_WHY_NOT_ADVERTISED:
                return "methods";
        case POLICY_WHY_KNOWN_BAD:
                return "known";
        default:
                return NULL;
        }
}

START_TEST(ladder)
{
        ResetMethodList advertised;
        const char *names[RESET_METHODS_MAX];
        PolicyOrder order;

        ck_assert_int_eq(reset_method_list_parse(ladders[_i].advertised, &advertised), 0);
        for (size_t i = 0; i < advertised.n; i++)
                names[i] = advertised.names[i];
        add_ladder_rules(_i);
        policy_order(&effective, names, advertised.n, &order);
        ck_assert_str_eq(join_steps(&order), ladders[_i].steps);
        ck_assert_str_eq(join_left_out(&order), ladders[_i].left_out);
        ck_assert_int_eq(order.workaround != NULL, ladders[_i].workaround);
        for (size_t i = 0; i < order.n_steps; i++) {
                const PolicyFinding *finding = order.steps[i].finding;

                ck_assert_ptr_eq(finding, policy_finding(&effective, order.steps[i].method));
        }
        for (size_t i = 0; i < order.n_left_out; i++) {
                const char *expected = rule_of(order.left_out[i].why);

                if (expected)
                        ck_assert_str_eq(order.left_out[i].rule->id, expected);
                else
                        ck_assert_ptr_null(order.left_out[i].rule);
        }
}
END_TEST

START_TEST(workaround_is_named)
{
        const char *const names[] = {"flr", "bus"};
        PolicyRule rule = rule_new("order");
        PolicyOrder order;

        set_methods(&rule, "bus flr");
        add(rule);
        merge();
        policy_order(&effective, names, 2, &order);
        ck_assert_str_eq(order.workaround->id, "order");
        rule = rule_new("ban");
        set_forbid(&rule, "flr");
        add(rule);
        merge();
        policy_order(&effective, names, 2, &order);
        ck_assert_str_eq(order.workaround->id, "ban");
}
END_TEST

/* More than any device has, and longer names. */
START_TEST(ladder_is_bounded)
{
        char long_name[256];
        const char *names[1000];
        PolicyRule rule = rule_new("all");
        PolicyOrder order;

        memset(long_name, 'x', sizeof(long_name) - 1);
        long_name[sizeof(long_name) - 1] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                names[i] = long_name;
        set_methods(&rule, "device_specific acpi flr af_flr pm bus cxl_bus subordinate vfio_hot slot rescan "
                           "do_flr reset_device");
        add(rule);
        merge();
        policy_order(&effective, names, ELEMENTSOF(names), &order);
        ck_assert_uint_eq(order.n_steps, 0);
        ck_assert_uint_eq(order.n_left_out, 13 + 2 * RESET_METHODS_MAX);
        ck_assert_uint_le(order.n_left_out, POLICY_ORDER_MAX);
}
END_TEST

/* What is left out of the ladder may be asked for by name, what is forbidden may not. */
START_TEST(by_name)
{
        static const struct {
                const char *method;
                int result;
                PolicyWhy why;
                const char *rule;
        } table[] = {
                {"flr", 0, 0, NULL},
                {"pm", 0, 0, NULL},
                {"af_flr", -EPERM, POLICY_WHY_FORBIDDEN, "forbid"},
                {"bus", -EPERM, POLICY_WHY_LINK, "link"},
                {"rescan", -EPERM, POLICY_WHY_LINK, "link"},
                {"d3cold", -EPERM, POLICY_WHY_UNKNOWN, NULL},
        };
        PolicyRule rule = rule_new("methods");

        set_methods(&rule, "flr");
        know(&rule, "pm", true, NULL);
        add(rule);
        rule = rule_new("forbid");
        set_forbid(&rule, "af_flr");
        add(rule);
        rule = rule_new("link");
        set_allow_link(&rule, false);
        add(rule);
        merge();
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const PolicyRule *said = NULL;
                PolicyWhy why;

                ck_assert_int_eq(policy_allows_by_name(&effective, table[i].method, &why, &said),
                                 table[i].result);
                if (table[i].result == 0)
                        continue;
                ck_assert_int_eq(why, table[i].why);
                ck_assert_int_eq(said != NULL, table[i].rule != NULL);
                if (said)
                        ck_assert_str_eq(said->id, table[i].rule);
        }
}
END_TEST

static const struct {
        bool wanted;
        const char *methods, *forbid;
        bool no_link;
        const char *bad;
        const char *kernels;
        const char *list; /* NULL: left alone */
} kernel_orders[] = {
        {false, "bus flr", NULL, false, NULL, "flr bus", NULL},
        {true, NULL, NULL, false, NULL, "flr pm bus", "flr pm bus"},
        {true, "bus flr", NULL, false, NULL, "flr pm bus", "bus flr"},
        {true, "slot bus", NULL, false, NULL, "flr bus", "bus"},
        {true, "slot", NULL, false, NULL, "flr bus", ""},
        {true, NULL, "flr bus", false, NULL, "flr bus", ""},
        {true, NULL, "flr", false, NULL, "flr d3cold bus", "d3cold bus"},
        {true, "bus", NULL, false, NULL, "flr d3cold bus", "bus"},
        {true, NULL, NULL, true, NULL, "flr bus cxl_bus", "flr"},
        {true, NULL, NULL, false, "flr", "flr bus", "bus"},
        {true, "flr", NULL, false, "flr", "flr bus", "flr"},
        {true, NULL, NULL, false, NULL, "", ""},
};

START_TEST(kernel_order)
{
        PolicyRule rule = rule_new("order");
        char buffer[RESET_METHOD_LIST_STRING_MAX];
        ResetMethodList kernels, result;

        rule.settings.set |= 1U << POLICY_KERNEL_ORDER;
        rule.settings.kernel_order = kernel_orders[_i].wanted;
        if (kernel_orders[_i].methods)
                set_methods(&rule, kernel_orders[_i].methods);
        if (kernel_orders[_i].forbid)
                set_forbid(&rule, kernel_orders[_i].forbid);
        set_allow_link(&rule, !kernel_orders[_i].no_link);
        if (kernel_orders[_i].bad)
                know(&rule, kernel_orders[_i].bad, true, NULL);
        add(rule);
        merge();
        ck_assert_int_eq(reset_method_list_parse(kernel_orders[_i].kernels, &kernels), 0);
        ck_assert_int_eq(policy_kernel_order(&effective, &kernels, &result), kernel_orders[_i].list != NULL);
        if (kernel_orders[_i].list)
                ck_assert_str_eq(reset_method_list_format(&result, buffer), kernel_orders[_i].list);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("policy-order");
        TCase *tcase = tcase_create("policy-order");

        tcase_add_checked_fixture(tcase, policy_bed_setup, policy_bed_teardown);
        tcase_add_loop_test(tcase, ladder, 0, (int) ELEMENTSOF(ladders));
        tcase_add_test(tcase, workaround_is_named);
        tcase_add_test(tcase, ladder_is_bounded);
        tcase_add_test(tcase, by_name);
        tcase_add_loop_test(tcase, kernel_order, 0, (int) ELEMENTSOF(kernel_orders));
        suite_add_tcase(suite, tcase);
        return unit_run(suite);
}
