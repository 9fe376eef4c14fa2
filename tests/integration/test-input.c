/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Bad input. alice may do everything here, so that nothing but the input can be what is refused: each case
 * is a clear error that names the thing, and nothing was written.
 */

#include <string.h>

#include "harness/fixture.h"

#define X16  "xxxxxxxxxxxxxxxx"
#define X256 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16 X16

/* ---- addresses ---- */

static const struct {
        const char *address, *error, *part;
} address_cases[] = {
        {"", ERROR_INVALID_ARGS, "''"},
        {" ", ERROR_INVALID_ARGS, "' '"},
        {"0", ERROR_INVALID_ARGS, "'0'"},
        {"nonsense", ERROR_INVALID_ARGS, "nonsense"},
        {"01:00.0", ERROR_INVALID_ARGS, "01:00.0"},
        {"0000:01:00", ERROR_INVALID_ARGS, "0000:01:00"},
        {"0000:01:00.", ERROR_INVALID_ARGS, "0000:01:00."},
        {"0000:01:00.8", ERROR_INVALID_ARGS, "0000:01:00.8"},
        {"0000:01:00.00", ERROR_INVALID_ARGS, "0000:01:00.00"},
        {"0000:01:20.0", ERROR_INVALID_ARGS, "0000:01:20.0"},
        {"0000:1:00.0", ERROR_INVALID_ARGS, "0000:1:00.0"},
        {"000:01:00.0", ERROR_INVALID_ARGS, "000:01:00.0"},
        {"00000:01:00.0", ERROR_INVALID_ARGS, "00000:01:00.0"},
        {"0000:0A:00.0", ERROR_INVALID_ARGS, "0000:0A:00.0"},
        {"0000:FF:1F.7", ERROR_INVALID_ARGS, "0000:FF:1F.7"},
        {"ABCD:01:00.0", ERROR_INVALID_ARGS, "ABCD:01:00.0"},
        {"-001:01:00.0", ERROR_INVALID_ARGS, "-001:01:00.0"},
        {"0000:-1:00.0", ERROR_INVALID_ARGS, "0000:-1:00.0"},
        {"+000:01:00.0", ERROR_INVALID_ARGS, "+000:01:00.0"},
        {"0x00:01:00.0", ERROR_INVALID_ARGS, "0x00:01:00.0"},
        {" 0000:01:00.0", ERROR_INVALID_ARGS, " 0000:01:00.0"},
        {"0000:01:00.0 ", ERROR_INVALID_ARGS, "0000:01:00.0 "},
        {"0000:01:00.0\n", ERROR_INVALID_ARGS, "0000:01:00.0"},
        {"0000: 1:00.0", ERROR_INVALID_ARGS, "0000: 1:00.0"},
        {"0000:01:00.0/", ERROR_INVALID_ARGS, "0000:01:00.0/"},
        {"0000:01:00.0/../0000:02:00.0", ERROR_INVALID_ARGS, "0000:01:00.0/"},
        {"../devices/0000:01:00.0", ERROR_INVALID_ARGS, "../devices"},
        {"/sys/bus/pci/devices/0000:01:00.0", ERROR_INVALID_ARGS, "/sys/bus"},
        {"..", ERROR_INVALID_ARGS, ".."},
        {"*", ERROR_INVALID_ARGS, "*"},
        {"0000:01:00.*", ERROR_INVALID_ARGS, "0000:01:00.*"},
        {"0000-01-00.0", ERROR_INVALID_ARGS, "0000-01-00.0"},
        {"0000.01.00:0", ERROR_INVALID_ARGS, "0000.01.00:0"},
        {"pci_0000_01_00_0", ERROR_INVALID_ARGS, "pci_0000"},
        {"0000:01:00.0\x7f", ERROR_INVALID_ARGS, "0000:01:00.0"},
        {"０000:01:00.0", ERROR_INVALID_ARGS, "０000"}, /* a full-width digit */
        {"0000:01:00․0", ERROR_INVALID_ARGS, "0000:01:00"}, /* U+2024 */
        {"0000:01:00.0\xe2\x80\xae", ERROR_INVALID_ARGS, "0000:01:00.0"}, /* U+202E turns the text around */
        {"%s%n%s", ERROR_INVALID_ARGS, "%s%n%s"},
        {"100000000:01:00.0", ERROR_INVALID_ARGS, "100000000:01"},
        {"ffffffffffffffff:01:00.0", ERROR_INVALID_ARGS, "ffffffff"},
        {X256, ERROR_INVALID_ARGS, X16},
        /* Cut after so many bytes, it would be cut within a character, and no answer could be sent. */
        {X16 X16 X16 "xxxxxxxxxxxxxxx\xc3\xa9x", ERROR_INVALID_ARGS, X16},
        {"0000:03:00.0", "NoSuchDevice", "0000:03:00.0"},
        {"0000:01:00.1", "NoSuchDevice", "0000:01:00.1"},
        {"0001:01:00.0", "NoSuchDevice", "0001:01:00.0"},
        {"0000:ff:1f.7", "NoSuchDevice", "0000:ff:1f.7"},
        {"ffffffff:ff:1f.7", "NoSuchDevice", "ffffffff:ff:1f.7"},
};

START_TEST(bad_addresses)
{
        const char *address = address_cases[_i].address, *error = address_cases[_i].error;
        _cleanup_reply_ Reply *get = NULL, *methods = NULL, *plan = NULL, *reset_reply = NULL;

        fixture_devices();
        fixture_start();
        get = manager_call(alice, "GetDevice", "s", address);
        expect_error(get, error, address_cases[_i].part);
        methods = manager_call(alice, "GetMethods", "sa{sv}", address, 0);
        expect_error(methods, error, address_cases[_i].part);
        plan = manager_call(alice, "Plan", "ssa{sv}", address, "flr", 0);
        expect_error(plan, error, address_cases[_i].part);
        reset_reply = reset(alice, address, "flr", NULL);
        expect_error(reset_reply, error, address_cases[_i].part);
        expect_nothing_written();
}
END_TEST

START_TEST(megabytes_of_address)
{
        _cleanup_free_ char *address = malloc(4 << 20);
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        memset(address, '0', 4 << 20);
        address[(4 << 20) - 1] = '\0';
        reply = reset(alice, address, "flr", NULL);
        expect_error(reply, ERROR_INVALID_ARGS, "0000");
        /* The text of an error is for people. */
        ck_assert_uint_lt(strlen(reply_string(reply, "0")), 1024);
        expect_nothing_written();
}
END_TEST

/* ---- object paths ---- */

static const struct {
        const char *path, *interface, *member, *types;
} path_cases[] = {
        {"/org/pciresetd1/device", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1/device/nonsense", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1/device/_30000_3a03_3a00_2e0", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1/device/0000_3a01_3a00_2e0", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1/device/_30000_3A01_3A00_2E0", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1/device/_30000_3a01_3a00_2e0/x", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1/device/_30_30_30_30_3a_30_31_3a_30_30_2e_30", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1/device/_", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/org/pciresetd1", DEVICE_INTERFACE, "Reset", "sa{sv}"},
        {"/", MANAGER_INTERFACE, "Reset", "ssa{sv}"},
        {"/org/pciresetd1/device/_30000_3a01_3a00_2e0", MANAGER_INTERFACE, "Reset", "ssa{sv}"},
        {"/org/pciresetd1/job", JOB_INTERFACE, "Cancel", "a{sv}"},
        {"/org/pciresetd1/job/0", JOB_INTERFACE, "Cancel", "a{sv}"},
        {"/org/pciresetd1/job/4294967297", JOB_INTERFACE, "Cancel", "a{sv}"},
        {"/org/pciresetd1/job/_2d1", JOB_INTERFACE, "Cancel", "a{sv}"},
        {"/org/pciresetd1/job/01", JOB_INTERFACE, "Cancel", "a{sv}"},
        {"/org/pciresetd1/job/1x", JOB_INTERFACE, "Cancel", "a{sv}"},
        {"/org/pciresetd1/job/2", JOB_INTERFACE, "Cancel", "a{sv}"},
};

START_TEST(bad_paths)
{
        const char *types = path_cases[_i].types;
        _cleanup_reply_ Reply *reply = NULL, *running_reply = NULL;
        sd_bus_message *message;
        Call *running;
        int hold, r;

        fixture_devices();
        fixture_start();
        /* Job 1 is there, so that a path is not refused only because no job is. */
        hold = model_hold(CARD2);
        running = reset_start(alice, CARD2, "flr", NULL);
        (void) model_wait("begin", CARD2, 0);

        message = call_message(alice, path_cases[_i].path, path_cases[_i].interface, path_cases[_i].member,
                               NULL);
        r = strcmp(types, "ssa{sv}") == 0 ? sd_bus_message_append(message, types, CARD, "flr", 0)
            : *types == 's'               ? sd_bus_message_append(message, types, "flr", 0)
                                          : sd_bus_message_append(message, types, 0);
        ck_assert_int_ge(r, 0);
        reply = call_finish(call_send(alice, message));
        ck_assert_msg(reply->error && strncmp(reply->error, "org.freedesktop.DBus.Error.Unknown", 34) == 0,
                      "%s: %s", path_cases[_i].path, reply->error ? reply->error : "success");
        ck_assert_uint_eq(model_count("begin", CARD), 0);
        model_release(&hold);
        running_reply = call_finish(running);
        expect_success(running_reply);
}
END_TEST

/* ---- methods ---- */

static const struct {
        const char *method, *error, *part;
} method_cases[] = {
        {"", "InvalidMethod", "''"},
        {" ", "InvalidMethod", "' '"},
        {"FLR", "InvalidMethod", "'FLR'"},
        {"Flr", "InvalidMethod", "'Flr'"},
        {" flr", "InvalidMethod", "' flr'"},
        {"flr ", "InvalidMethod", "'flr '"},
        {"flr\n", "InvalidMethod", "'flr"},
        {"flr bus", "InvalidMethod", "'flr bus'"},
        {"flr,bus", "InvalidMethod", "'flr,bus'"},
        {"default", "InvalidMethod", "'default'"},
        {"ANY", "InvalidMethod", "'ANY'"},
        {"any ", "InvalidMethod", "'any '"},
        {"all", "InvalidMethod", "'all'"},
        {"1", "InvalidMethod", "'1'"},
        {"turbo", "InvalidMethod", "'turbo'"},
        {"power", "InvalidMethod", "'power'"},
        {"../reset", "InvalidMethod", "'../reset'"},
        {"flr/", "InvalidMethod", "'flr/'"},
        {"ﬂr", "InvalidMethod", "'ﬂr'"}, /* a ligature */
        {"%n", "InvalidMethod", "'%n'"},
        {X16 X16, "InvalidMethod", X16},
        {X16 "xxxxxxxxxxxxxxx", "InvalidMethod", X16}, /* one less: fits the kernel's form */
        {X256, "InvalidMethod", X16},
        {X16 X16 X16 "xxxxxxxxxxxxxxx\xc3\xa9x", "InvalidMethod", X16},
        /* Known to the kernel, but not for this device. */
        {"acpi", "NotUsable", "acpi"},
        {"af_flr", "NotUsable", "af_flr"},
        {"device_specific", "NotUsable", "device_specific"},
        {"cxl_bus", "NotUsable", "cxl_bus"},
};

START_TEST(bad_methods)
{
        const char *method = method_cases[_i].method, *part = method_cases[_i].part;
        _cleanup_reply_ Reply *by_address = NULL, *by_object = NULL, *plan = NULL;

        fixture_devices();
        fixture_start();
        by_address = reset(alice, CARD, method, NULL);
        expect_error(by_address, method_cases[_i].error, part);
        expect_error(by_address, method_cases[_i].error, CARD);
        by_object = call(alice, device_path(CARD), DEVICE_INTERFACE, "Reset", "sa{sv}", method, 0);
        expect_error(by_object, method_cases[_i].error, part);
        plan = manager_call(alice, "Plan", "ssa{sv}", CARD, method, 0);
        if (strcmp(method_cases[_i].error, "InvalidMethod") == 0)
                expect_error(plan, "InvalidMethod", part);
        else
                expect_success(plan); /* that is what a plan is there to tell */
        expect_nothing_written();
        /* Nobody writes lines into the journal. */
        ck_assert_ptr_null(journal_find("PCIRESETD_METHOD", "flr\n", NULL));
}
END_TEST

/* ---- options ---- */

static const struct {
        const char *member, *key, *type;
        const char *part;
        uint64_t number;
} option_cases[] = {
        {"Reset", "nonsense", "b", "nonsense", 1},
        {"Reset", "", "b", "''", 1},
        {"Reset", "IN_USE", "b", "IN_USE", 1},
        {"Reset", "in-use", "b", "in-use", 1},
        {"Reset", "in_use ", "b", "in_use ", 1},
        {"Reset", "force", "b", "force", 1},
        {"Reset", X256, "b", X16, 1},
        {"Reset", X16 X16 X16 "xxxxxxxxxxxxxxx\xc3\xa9x", "b", X16, 1},
        {"Reset", "when_idle", "s", "when_idle", 0},
        {"Reset", "lease", "b", "lease", 1},
        {"Reset", "lease_fd", "s", "lease_fd", 0},
        {"Reset", "fds", "b", "fds", 1},
        {"Reset", "fds", "as", "fds", 0},
        {"Reset", "in_use", "s", "in_use", 0},
        {"Reset", "in_use", "i", "in_use", 1},
        {"Reset", "in_use", "u", "in_use", 1},
        {"Reset", "in_use", "y", "in_use", 1},
        {"Reset", "in_use", "v", "in_use", 1},
        {"Reset", "in_use", "as", "in_use", 0},
        {"Reset", "in_use", "a{sv}", "in_use", 0},
        {"Reset", "no_wait", "s", "no_wait", 0},
        {"Reset", "no_wait", "t", "no_wait", 1},
        {"Reset", "timeout_usec", "s", "timeout_usec", 0},
        {"Reset", "timeout_usec", "u", "timeout_usec", 60000000},
        {"Reset", "timeout_usec", "x", "timeout_usec", 60000000},
        {"Reset", "timeout_usec", "i", "timeout_usec", 60000000},
        {"Reset", "timeout_usec", "d", "timeout_usec", 0},
        {"Reset", "timeout_usec", "t", "timeout_usec", 0},
        {"Reset", "timeout_usec", "t", "timeout_usec", 1},
        {"Reset", "timeout_usec", "t", "timeout_usec", 999999},
        {"Reset", "timeout_usec", "t", "timeout_usec", 3600000001},
        {"Reset", "timeout_usec", "t", "timeout_usec", UINT64_MAX},
        {"Plan", "nonsense", "b", "nonsense", 1},
        {"Plan", "no_wait", "b", "no_wait", 1},
        {"Plan", "in_use", "s", "in_use", 0},
        {"GetMethods", "nonsense", "b", "nonsense", 1},
        {"GetMethods", "in_use", "u", "in_use", 1},
        {"ListJobs", "nonsense", "b", "nonsense", 1},
        {"ListJobs", "in_use", "b", "in_use", 1},
};

static void append_value(sd_bus_message *message, const char *type, uint64_t number)
{
        int r;

        ck_assert_int_ge(sd_bus_message_open_container(message, 'v', type), 0);
        if (*type == 's')
                r = sd_bus_message_append(message, type, "text");
        else if (*type == 't' || *type == 'x')
                r = sd_bus_message_append(message, type, number);
        else if (*type == 'd')
                r = sd_bus_message_append(message, type, 1.5);
        else if (*type == 'a')
                r = sd_bus_message_append(message, type, 0);
        else if (*type == 'v')
                r = sd_bus_message_append(message, type, "b", 1);
        else
                r = sd_bus_message_append(message, type, (int) number);
        ck_assert_int_ge(r, 0);
        ck_assert_int_ge(sd_bus_message_close_container(message), 0);
}

static sd_bus_message *start_message(const char *path, const char *interface, const char *member)
{
        sd_bus_message *message = call_message(alice, path, interface, member, NULL);
        bool of_manager = strcmp(interface, MANAGER_INTERFACE) == 0,
             has_method = strcmp(member, "Plan") == 0;
        int r = 0;

        has_method = has_method || strcmp(member, "Reset") == 0;
        if (of_manager && strcmp(member, "ListJobs") != 0)
                r = sd_bus_message_append(message, "s", CARD);
        if (r >= 0 && has_method)
                r = sd_bus_message_append(message, "s", "flr");
        ck_assert_int_ge(r, 0);
        return message;
}

static Reply *call_with_option(const char *path, const char *interface, int row, unsigned times)
{
        sd_bus_message *message = start_message(path, interface, option_cases[row].member);

        ck_assert_int_ge(sd_bus_message_open_container(message, 'a', "{sv}"), 0);
        for (unsigned i = 0; i < times; i++) {
                ck_assert_int_ge(sd_bus_message_open_container(message, 'e', "sv"), 0);
                ck_assert_int_ge(sd_bus_message_append(message, "s", option_cases[row].key), 0);
                append_value(message, option_cases[row].type, option_cases[row].number);
                ck_assert_int_ge(sd_bus_message_close_container(message), 0);
        }
        ck_assert_int_ge(sd_bus_message_close_container(message), 0);
        return call_finish(call_send(alice, message));
}

START_TEST(bad_options)
{
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        reply = call_with_option(MANAGER_PATH, MANAGER_INTERFACE, _i, 1);
        expect_error(reply, ERROR_INVALID_ARGS, option_cases[_i].part);
        if (strcmp(option_cases[_i].member, "ListJobs") != 0) {
                _cleanup_reply_ Reply *of_device = call_with_option(device_path(CARD), DEVICE_INTERFACE, _i,
                                                                    1);

                expect_error(of_device, ERROR_INVALID_ARGS, option_cases[_i].part);
        }
        expect_nothing_written();
}
END_TEST

static const char *const twice[] = {"in_use", "no_wait"};

START_TEST(options_twice)
{
        sd_bus_message *message = NULL;
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        message = call_message(alice, MANAGER_PATH, MANAGER_INTERFACE, "Reset", "ssa{sv}", CARD, "flr", 2,
                               twice[_i], "b", 0, twice[_i], "b", 1);
        reply = call_finish(call_send(alice, message));
        expect_error(reply, ERROR_INVALID_ARGS, twice[_i]);
        expect_nothing_written();
}
END_TEST

START_TEST(thousands_of_options)
{
        sd_bus_message *message;
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        message = start_message(MANAGER_PATH, MANAGER_INTERFACE, "Reset");
        ck_assert_int_ge(sd_bus_message_open_container(message, 'a', "{sv}"), 0);
        for (unsigned i = 0; i < 50000; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "option%u", i);
                ck_assert_int_ge(sd_bus_message_append(message, "{sv}", key, "b", 1), 0);
        }
        ck_assert_int_ge(sd_bus_message_close_container(message), 0);
        reply = call_finish(call_send(alice, message));
        expect_error(reply, ERROR_INVALID_ARGS, "option0");
        expect_nothing_written();
}
END_TEST

/* ---- wrong signatures ---- */

static const struct {
        const char *member, *types;
} signature_cases[] = {
        {"Reset", ""},         {"Reset", "s"},           {"Reset", "ss"},      {"Reset", "ssa{ss}"},
        {"Reset", "ssa{sv}s"}, {"Reset", "sa{sv}"},      {"Reset", "osa{sv}"}, {"Reset", "ssav"},
        {"Reset", "sss"},      {"Reset", "(ssa{sv})"},   {"GetDevice", ""},    {"GetDevice", "o"},
        {"GetDevice", "ss"},   {"GetDevice", "u"},       {"GetMethods", "s"},  {"Plan", "sa{sv}"},
        {"ListDevices", "s"},  {"ListDevices", "a{sv}"}, {"ListJobs", ""},
};

static void append_by_type(sd_bus_message *message, const char *types)
{
        for (const char *p = types; *p; p++) {
                int r;

                if (*p == 's')
                        r = sd_bus_message_append(message, "s", CARD);
                else if (*p == 'o')
                        r = sd_bus_message_append(message, "o", "/x");
                else if (*p == 'u')
                        r = sd_bus_message_append(message, "u", 1);
                else if (*p == '(') {
                        r = sd_bus_message_append(message, p, CARD, "flr", 0);
                        p += strlen(p) - 1;
                } else {
                        const char *end = p[1] == '{' ? strchr(p, '}') : p + 1;
                        _cleanup_free_ char *array = strndup(p, (size_t) (end - p) + 1);

                        r = sd_bus_message_append(message, array, 0);
                        p = end;
                }
                ck_assert_int_ge(r, 0);
        }
}

START_TEST(wrong_signatures)
{
        sd_bus_message *message;
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        message = call_message(alice, MANAGER_PATH, MANAGER_INTERFACE, signature_cases[_i].member, NULL);
        append_by_type(message, signature_cases[_i].types);
        reply = call_finish(call_send(alice, message));
        expect_error(reply, ERROR_INVALID_ARGS, "");
        expect_nothing_written();
}
END_TEST

/* ---- good input that looks odd ---- */

START_TEST(limits_of_the_timeout_are_good)
{
        _cleanup_reply_ Reply *shortest = NULL, *longest = NULL;

        fixture_devices();
        fixture_start();
        shortest = reset(alice, CARD, "flr", "timeout_usec", "t", UINT64_C(1000000), "in_use", "b", 0, NULL);
        expect_success(shortest);
        longest = reset(alice, CARD, "flr", "timeout_usec", "t", UINT64_C(3600000000), "no_wait", "b", 1,
                        NULL);
        expect_success(longest);
}
END_TEST

START_TEST(empty_interface_names_are_not_guessed)
{
        sd_bus_message *message;
        _cleanup_reply_ Reply *reply = NULL;

        fixture_devices();
        fixture_start();
        message = call_message(alice, MANAGER_PATH, NULL, "Reset", "ssa{sv}", CARD, "flr", 0);
        reply = call_finish(call_send(alice, message));
        expect_error(reply, ERROR_UNKNOWN_METHOD, "Reset");
        expect_nothing_written();
}
END_TEST

START_TEST(daemon_survives_it_all)
{
        Process *daemon;

        fixture_devices();
        fixture_start();
        daemon = daemon_process();
        for (size_t i = 0; i < ELEMENTSOF(address_cases); i++) {
                _cleanup_reply_ Reply *reply = reset(alice, address_cases[i].address, "flr", NULL);

                ck_assert_ptr_nonnull(reply->error);
        }
        for (size_t i = 0; i < ELEMENTSOF(method_cases); i++) {
                _cleanup_reply_ Reply *reply = reset(alice, CARD, method_cases[i].method, NULL);

                ck_assert_ptr_nonnull(reply->error);
        }
        ck_assert(!daemon->ended);
        expect_nothing_written();
}
END_TEST

int main(void)
{
        TestProgram program = program_new("input");

        program_add_table(&program, bad_addresses, address_cases);
        program_add(&program, megabytes_of_address);
        program_add_table(&program, bad_paths, path_cases);
        program_add_table(&program, bad_methods, method_cases);
        program_add_table(&program, bad_options, option_cases);
        program_add_table(&program, options_twice, twice);
        program_add(&program, thousands_of_options);
        program_add_table(&program, wrong_signatures, signature_cases);
        program_add(&program, limits_of_the_timeout_are_good);
        program_add(&program, empty_interface_names_are_not_guessed);
        program_add(&program, daemon_survives_it_all);
        return program_run(&program);
}
