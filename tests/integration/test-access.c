/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The door: every member that can be called has its rule, and what would change something wants a reply.
 */

#include <string.h>

#include "harness/fixture.h"
#include "harness/introspection.h"
#include "harness/resets.h"

/* ---- who may call what ---- */

typedef enum Rule {
        READ, /* anybody, and polkit hears nothing of it */
        CHANGE, /* polkit decides */
        REFUSED /* nobody, ever */
} Rule;

/* Every member that can be called. A member without a row here fails the test. */
static const struct {
        const char *interface, *member;
        Rule rule;
} rules[] = {
        {MANAGER_INTERFACE, "ListDevices", READ},
        {MANAGER_INTERFACE, "GetDevice", READ},
        {MANAGER_INTERFACE, "GetMethods", READ},
        {MANAGER_INTERFACE, "Plan", READ},
        {MANAGER_INTERFACE, "Reset", CHANGE},
        {MANAGER_INTERFACE, "ListJobs", READ},
        {MANAGER_INTERFACE, "GetHistory", READ},
        {MANAGER_INTERFACE, "ExportHistory", READ},
        {MANAGER_INTERFACE, "ImportHistory", CHANGE},
        {MANAGER_INTERFACE, "Acquire", CHANGE},
        {MANAGER_INTERFACE, "ListLeases", READ},
        {MANAGER_INTERFACE, "Inhibit", CHANGE},
        {MANAGER_INTERFACE, "ListInhibitors", READ},
        {MANAGER_INTERFACE, "SetPolicy", CHANGE},
        {MANAGER_INTERFACE, "UnsetPolicy", CHANGE},
        {MANAGER_INTERFACE, "GetPolicy", READ},
        {MANAGER_INTERFACE, "ListPolicies", READ},
        {DEVICE_INTERFACE, "SetPolicy", CHANGE},
        {DEVICE_INTERFACE, "GetPolicy", READ},
        {DEVICE_INTERFACE, "GetMethods", READ},
        {DEVICE_INTERFACE, "Plan", READ},
        {DEVICE_INTERFACE, "GetHolders", READ},
        {DEVICE_INTERFACE, "GetHistory", READ},
        {DEVICE_INTERFACE, "GetHealth", READ},
        {DEVICE_INTERFACE, "Reset", CHANGE},
        {DEVICE_INTERFACE, "Recover", CHANGE},
        {DEVICE_INTERFACE, "Quarantine", CHANGE},
        {DEVICE_INTERFACE, "ReleaseQuarantine", CHANGE},
        {JOB_INTERFACE, "Cancel", CHANGE},
        {"org.freedesktop.DBus.Peer", "Ping", READ},
        {"org.freedesktop.DBus.Peer", "GetMachineId", READ},
        {"org.freedesktop.DBus.Introspectable", "Introspect", READ},
        {"org.freedesktop.DBus.Properties", "Get", READ},
        {"org.freedesktop.DBus.Properties", "GetAll", READ},
        {"org.freedesktop.DBus.Properties", "Set", REFUSED},
        {"org.freedesktop.DBus.ObjectManager", "GetManagedObjects", READ},
};

static const char *called_path;
static bool rule_used[ELEMENTSOF(rules)];

/* Arguments that make sense for the member. */
static void append_arguments(sd_bus_message *message, const char *interface, const char *member,
                             const char *signature)
{
        int r = 0;

        if (strcmp(member, "Get") == 0 || strcmp(member, "GetAll") == 0 || strcmp(member, "Set") == 0) {
                const char *of = strstr(called_path, "/device/") ? DEVICE_INTERFACE
                                 : strstr(called_path, "/job/")  ? JOB_INTERFACE
                                                                 : MANAGER_INTERFACE;
                const char *property = strstr(called_path, "/device/") ? "Address"
                                       : strstr(called_path, "/job/")  ? "Phase"
                                                                       : "Version";

                r = sd_bus_message_append(message, "s", of);
                if (r >= 0 && strcmp(member, "GetAll") != 0)
                        r = sd_bus_message_append(message, "s", property);
                if (r >= 0 && strcmp(member, "Set") == 0)
                        r = sd_bus_message_append(message, "v", "s", "x");
        } else if (strcmp(member, "Acquire") == 0) {
                r = sd_bus_message_append(message, "asssa{sv}", 1, CARD2, "test", "to see", 0);
        } else if (strcmp(member, "ImportHistory") == 0) {
                _cleanup_close_ int fd = file_sealed("");

                r = sd_bus_message_append(message, "ha{sv}", fd, 0);
        } else if (strcmp(member, "ReleaseQuarantine") == 0) {
                r = sd_bus_message_append(message, "a{sv}", 1, "reason", "s", "to see");
        } else if (strcmp(member, "Inhibit") == 0) {
                r = sd_bus_message_append(message, "assssa{sv}", 1, CARD2, "test", "to see", "block", 0);
        } else if (strcmp(member, "SetPolicy") == 0) {
                if (strcmp(interface, MANAGER_INTERFACE) == 0)
                        r = sd_bus_message_append(message, "s", CARD2);
                if (r >= 0)
                        r = sd_bus_message_append(message, "a{sv}a{sv}", 1, "forbid", "as", 1, "flr", 0);
        } else if (strcmp(member, "UnsetPolicy") == 0) {
                r = sd_bus_message_append(message, "sa{sv}", "set-1", 0);
        } else {
                bool first = true;

                for (const char *p = signature; *p && r >= 0; p++) {
                        if (*p == 's') {
                                bool is_method = !first || strcmp(interface, DEVICE_INTERFACE) == 0;

                                r = sd_bus_message_append(message, "s", is_method ? "flr" : CARD2);
                                first = false;
                        } else {
                                ck_assert_str_eq(p, "a{sv}");
                                r = sd_bus_message_append(message, "a{sv}", 0);
                                break;
                        }
                }
        }
        ck_assert_int_ge(r, 0);
}

static void call_as_bob(const char *interface, const char *member, const char *signature)
{
        /* Once for each rung: of flr, pm and bus. */
        size_t n_questions = strcmp(member, "Recover") == 0 ? 3 : 1;
        size_t asked = mock_polkit_requests(), i;
        _cleanup_reply_ Reply *reply = NULL;
        sd_bus_message *message;

        for (i = 0; i < ELEMENTSOF(rules); i++)
                if (strcmp(rules[i].interface, interface) == 0 && strcmp(rules[i].member, member) == 0)
                        break;
        ck_assert_msg(i < ELEMENTSOF(rules), "%s.%s has no rule in this test", interface, member);
        rule_used[i] = true;

        message = call_message(bob, called_path, interface, member, NULL);
        append_arguments(message, interface, member, signature);
        reply = call_finish(call_send(bob, message));
        switch (rules[i].rule) {
        case READ:
                ck_assert_msg(!reply->error, "%s.%s: %s", interface, member, reply->error);
                ck_assert_msg(mock_polkit_requests() == asked, "%s.%s asks polkit", interface, member);
                break;
        case CHANGE:
                ck_assert_msg(reply->error && strcmp(reply->error, ERROR_ACCESS_DENIED) == 0, "%s.%s: %s",
                              interface, member, reply->error ? reply->error : "success");
                ck_assert_msg(mock_polkit_requests() == asked + n_questions, "%s.%s does not ask polkit",
                              interface, member);
                break;
        case REFUSED:
                ck_assert_msg(reply->error, "%s.%s succeeds", interface, member);
                break;
        }
}

START_TEST(every_member_has_its_rule)
{
        _cleanup_free_ char *job = NULL;
        Call *running;
        int hold;

        /* For UnsetPolicy. */
        file_print(POLICY_STORED_FILE,
                   "{\"rules\": [{\"id\": \"set-1\", \"match\": {\"driver\": \"none-such\"}, "
                   "\"settings\": {\"allow_link\": true}}]}\n");
        mock_polkit_start(MOCK_POLKIT_YES);
        hold = start_with_job(&running, &job);
        mock_polkit_mode(MOCK_POLKIT_NO);
        model_forget();
        for (int i = 0; i < 3; i++) {
                _cleanup_free_ char *path = strdup(i == 0   ? MANAGER_PATH
                                                   : i == 1 ? device_path(CARD2)
                                                            : job);
                _cleanup_free_ char *xml = introspect(path);

                called_path = path;
                introspection_for_each_method(xml, call_as_bob);
        }
        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                ck_assert_msg(rule_used[i], "%s.%s is not there any more", rules[i].interface,
                              rules[i].member);
        expect_nothing_written();
        finish_job(&hold, running);
}
END_TEST

static const char *const paths[] = {MANAGER_PATH, MANAGER_PATH "/device", "/", "/org",
                                    MANAGER_PATH "/nothing"};

START_TEST(unknown_members_are_refused)
{
        static const struct {
                const char *interface, *member;
        } unknown[] = {
                {MANAGER_INTERFACE, "Nonsense"},
                {MANAGER_INTERFACE, "reset"},
                {"org.pciresetd1.Other", "Reset"},
                {"org.freedesktop.DBus.Properties", "Delete"},
                {NULL, "Nonsense"},
                {NULL, "Reset"}, /* which one is not said */
        };

        fixture_devices();
        fixture_start();
        for (size_t i = 0; i < ELEMENTSOF(unknown); i++) {
                _cleanup_reply_ Reply *reply = call(alice, paths[_i], unknown[i].interface,
                                                    unknown[i].member, "ssa{sv}", CARD, "flr", 0);

                ck_assert_msg(reply->error &&
                                      strncmp(reply->error, "org.freedesktop.DBus.Error.Unknown", 34) == 0,
                              "%s.%s: %s", unknown[i].interface ? unknown[i].interface : "",
                              unknown[i].member, reply->error ? reply->error : "success");
        }
        expect_nothing_written();
}
END_TEST

/* ---- calls without reply ---- */

static const struct {
        const char *interface, *member;
} noreply_cases[] = {
        {MANAGER_INTERFACE, "Reset"},     {DEVICE_INTERFACE, "Reset"},
        {MANAGER_INTERFACE, "Acquire"},   {MANAGER_INTERFACE, "Inhibit"},
        {JOB_INTERFACE, "Cancel"},        {"org.freedesktop.DBus.Properties", "Set"},
        {MANAGER_INTERFACE, "SetPolicy"}, {MANAGER_INTERFACE, "UnsetPolicy"},
        {MANAGER_INTERFACE, "Nonsense"},
};

static void send_noreply(Client *client, const char *path, const char *interface, const char *member)
{
        bool names_device = strcmp(interface, MANAGER_INTERFACE) == 0;
        sd_bus_message *message = call_message(client, path, interface, member, NULL);
        int r;

        if (strcmp(member, "Set") == 0)
                r = sd_bus_message_append(message, "ssv", MANAGER_INTERFACE, "Version", "s", "x");
        else if (strcmp(member, "Acquire") == 0)
                r = sd_bus_message_append(message, "asssa{sv}", 1, CARD, "test", "to see", 0);
        else if (strcmp(member, "Inhibit") == 0)
                r = sd_bus_message_append(message, "assssa{sv}", 1, CARD, "test", "to see", "block", 0);
        else if (strcmp(member, "SetPolicy") == 0)
                r = sd_bus_message_append(message, "sa{sv}a{sv}", CARD, 1, "forbid", "as", 1, "flr", 0);
        else if (strcmp(member, "UnsetPolicy") == 0)
                r = sd_bus_message_append(message, "sa{sv}", "set-1", 0);
        else if (strcmp(member, "Cancel") == 0)
                r = sd_bus_message_append(message, "a{sv}", 0);
        else
                r = names_device ? sd_bus_message_append(message, "ssa{sv}", CARD, "flr", 0)
                                 : sd_bus_message_append(message, "sa{sv}", "flr", 0);
        ck_assert_int_ge(r, 0);
        ck_assert_int_ge(sd_bus_message_set_expect_reply(message, false), 0);
        ck_assert_int_ge(sd_bus_send(client->bus, message, NULL), 0);
        sd_bus_message_unref(message);
}

START_TEST(noreply_is_dropped_before_polkit)
{
        const char *interface = noreply_cases[_i].interface;

        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        fixture_start();
        send_noreply(alice,
                     strcmp(interface, DEVICE_INTERFACE) == 0 ? device_path(CARD)
                     : strcmp(interface, JOB_INTERFACE) == 0  ? MANAGER_PATH "/job/1"
                                                              : MANAGER_PATH,
                     interface, noreply_cases[_i].member);
        client_barrier(alice);
        client_barrier(observer);
        loop_drain();
        ck_assert_uint_eq(mock_polkit_requests(), 0);
        expect_nothing_written();
        ck_assert_uint_eq(journal_count("MESSAGE_ID", "e29617eb02dc478b81997ffc2987e3ca", NULL), 1);
}
END_TEST

START_TEST(noreply_does_not_flood_the_journal)
{
        mock_polkit_start(MOCK_POLKIT_YES);
        fixture_devices();
        fixture_start();
        for (int i = 0; i < 500; i++)
                send_noreply(alice, MANAGER_PATH, MANAGER_INTERFACE, "Reset");
        client_barrier(alice);
        loop_drain();
        ck_assert_uint_eq(journal_count("MESSAGE_ID", "e29617eb02dc478b81997ffc2987e3ca", NULL), 1);
        ck_assert_uint_eq(mock_polkit_requests(), 0);
        expect_nothing_written();
}
END_TEST

int main(void)
{
        TestProgram program = program_new("access");

        program_add(&program, every_member_has_its_rule);
        program_add_table(&program, unknown_members_are_refused, paths);
        program_add_table(&program, noreply_is_dropped_before_polkit, noreply_cases);
        program_add(&program, noreply_does_not_flood_the_journal);
        return program_run(&program);
}
