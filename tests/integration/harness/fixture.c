/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Puts the world of a test together, and takes leave of it: a test that passed has also shown that the
 * daemon ends by itself when asked to, that its main process read nothing that can hang, and that nobody
 * wrote nonsense to the kernel.
 */

#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A test that ends leaves its clients to the kernel. What leaks in the daemon and its worker is found all
 * the same: they are programs of their own. */
int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
        return 1;
}

#define CASE_TIMEOUT_SEC 120.0

#define TIMER_SOON_SEC 60U

/* What systemd/pciresetd.service leaves it. */
#define UNIT_CAPABILITIES                                                                                   \
        (UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_SYS_PTRACE | UINT64_C(1) << CAP_DAC_READ_SEARCH)

const MockDevice mock_port = {.address = PORT, .is_bridge = true, .driver = "pcieport"};
const MockDevice mock_card = {.address = CARD, .parent = PORT, .methods = "flr pm bus"};
const MockDevice mock_port2 = {.address = PORT2, .is_bridge = true, .driver = "pcieport"};
const MockDevice mock_card2 = {.address = CARD2, .parent = PORT2, .methods = "flr pm bus"};

Client *observer, *alice, *bob;

static Process *bus_daemon, *tested;
static const char *daemon_extra_argument;

/* ---- the bus ---- */

/* The policy of the system bus (dbus' own system.conf), without everything that belongs to a real machine.
 */
static const char bus_config[] =
        "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN'\n"
        " 'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
        "<busconfig><type>system</type><auth>EXTERNAL</auth>\n"
        "<listen>unix:path=/run/dbus/system_bus_socket</listen>\n"
        /* Buses differ in this; the daemon has its own bound. */
        "<limit name='max_message_unix_fds'>64</limit>\n"
        "<policy context='default'>\n"
        "<allow user='*'/><deny own='*'/><deny send_type='method_call'/><allow send_type='signal'/>\n"
        "<allow send_requested_reply='true' send_type='method_return'/>\n"
        "<allow send_requested_reply='true' send_type='error'/>\n"
        "<allow receive_type='method_call'/><allow receive_type='method_return'/>\n"
        "<allow receive_type='error'/><allow receive_type='signal'/>\n"
        "<allow send_destination='org.freedesktop.DBus' send_interface='org.freedesktop.DBus'/>\n"
        "<allow send_destination='org.freedesktop.DBus' "
        "send_interface='org.freedesktop.DBus.Introspectable'/>\n"
        "<allow send_destination='org.freedesktop.DBus' send_interface='org.freedesktop.DBus.Properties'/>\n"
        "</policy>\n"
        /* For the mock polkit and the scripted agent. */
        "<policy user='root'><allow own='org.freedesktop.PolicyKit1'/>"
        /* What the measurements compare with. */
        "<allow own='org.pciresetd1.Echo'/><allow send_destination='org.pciresetd1.Echo'/></policy>\n"
        "<include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>\n"
        "<include>%s/dbus/org.pciresetd1.conf</include>\n"
        "</busconfig>\n";

static void bus_start(void)
{
        static const char config[] = "/run/dbus/test.conf";
        const char *argv[] = {"dbus-daemon", "--config-file=/run/dbus/test.conf",
                              "--nofork",    "--nopidfile",
                              "--nosyslog",  NULL};
        file_print(config, bus_config, tested_path("PCIRESETD_SOURCE"));
        bus_daemon = process_start("dbus-daemon", 0, argv, NULL);
}

static int on_owner_changed(sd_bus_message *message, void *data, sd_bus_error *error)
{
        (void) message, (void) data, (void) error;
        return 0; /* whoever waits looks again */
}

static void observer_new(void)
{
        observer = client_new(0);
        ck_assert_int_ge(sd_bus_match_signal_async(observer->bus, NULL, "org.freedesktop.DBus", NULL,
                                                   "org.freedesktop.DBus", "NameOwnerChanged",
                                                   on_owner_changed, NULL, NULL),
                         0);
}

/* ---- the daemon ---- */

bool name_is_owned(const char *name)
{
        _cleanup_reply_ Reply *reply = call_service(observer, "org.freedesktop.DBus", "/",
                                                    "org.freedesktop.DBus", "NameHasOwner", "s", name);

        return json_object_get_boolean(reply_at(reply, "0"));
}

void daemon_argument(const char *argument)
{
        daemon_extra_argument = argument;
}

/* Waits until it owns its name, or has ended. */
static void daemon_launch(void)
{
        _cleanup_free_ char *worker = NULL, *preload = NULL;
        const char *argv[4] = {tested_path("PCIRESETD")};
        const char *environment[4] = {"SYSTEMD_DEVICE_VERIFY_SYSFS=0"};

        worker = textf("--worker=%s", tested_path("PCIRESET_WORKER"));
        preload = textf("LD_PRELOAD=%s", tested_path("PCIRESETD_KERNEL_MODEL"));
        argv[1] = worker;
        argv[2] = daemon_extra_argument;
        environment[1] = preload;
        /* The library that is loaded first is the kernel model, and that is no mistake. */
        environment[2] = "ASAN_OPTIONS=verify_asan_link_order=0";
        tested = process_start_bounded("pciresetd", UNIT_CAPABILITIES, argv, environment);
        wait_until(name_is_owned(SERVICE) || tested->ended);
}

void daemon_start(void)
{
        daemon_launch();
        ck_assert_msg(!tested->ended, "pciresetd has ended at its start, see its log");
}

void daemon_start_fails(void)
{
        daemon_launch();
        ck_assert_msg(tested->ended, "pciresetd has started");
        ck_assert_int_gt(process_wait(tested), 0);
        tested = process_free(tested);
}

Process *daemon_process(void)
{
        return tested;
}

static char *daemon_proc(const char *name)
{
        _cleanup_free_ char *path = textf("/proc/%d/%s", daemon_process()->pid, name);
        char *text = file_read(path, NULL);

        ck_assert_msg(text, "%s: %s", path, strerror(errno));
        return text;
}

static bool daemon_sleeps(void)
{
        _cleanup_free_ char *stat = daemon_proc("stat");

        return strncmp(strrchr(stat, ')'), ") S", 3) == 0;
}

static bool workers_run(void)
{
        _cleanup_free_ char *name = textf("task/%d/children", daemon_process()->pid),
                            *children = daemon_proc(name);

        return children[0] != '\0';
}

/* Whether the text of a descriptor in fdinfo is that of a timer that goes off soon. Calls have their
 * deadlines on CLOCK_BOOTTIME; what polkit is given is minutes. */
static bool is_soon(const char *info)
{
        const char *clock = strstr(info, "clockid:"), *value = strstr(info, "it_value:");
        unsigned long long seconds, nanoseconds;

        if (!clock || !value || strtol(clock + strlen("clockid:"), NULL, 10) == CLOCK_BOOTTIME)
                return false;
        ck_assert_int_eq(sscanf(value, "it_value: (%llu, %llu)", &seconds, &nanoseconds), 2);
        return (seconds > 0 || nanoseconds > 0) && seconds < TIMER_SOON_SEC;
}

static bool timers_run(void)
{
        _cleanup_free_ char *path = textf("/proc/%d/fdinfo", daemon_process()->pid);
        DIR *directory = opendir(path);
        bool found = false;

        ck_assert_ptr_nonnull(directory);
        for (struct dirent *entry; !found && (entry = readdir(directory));) {
                _cleanup_free_ char *file = textf("%s/%s", path, entry->d_name),
                                    *info = file_read(file, NULL);

                found = info && is_soon(info);
        }
        (void) closedir(directory);
        return found;
}

/* It looks at devices in a moment, or with the next worker: as long as that is so it does not sleep, or a
 * worker or a timer runs. What is on its way to it comes before the answer to a ping. */
static bool is_settled(void)
{
        client_barrier(observer);
        return daemon_sleeps() && !workers_run() && !timers_run() && daemon_sleeps();
}

void daemon_settle(void)
{
        wait_until(is_settled());
}

void daemon_stop(void)
{
        int status;

        process_signal(tested, SIGTERM);
        status = process_wait(tested);
        ck_assert_msg(status == 0, "pciresetd ended with %s %d", status < 0 ? "signal" : "status",
                      abs(status));
        tested = process_free(tested);
        /* The next daemon's name must not be taken for this one's. */
        wait_until(!name_is_owned(SERVICE));
}

void daemon_kill(void)
{
        tested = process_free(tested);
        wait_until(!name_is_owned(SERVICE));
}

void bus_kill(void)
{
        bus_daemon = process_free(bus_daemon);
        ck_assert_int_gt(process_wait(tested), 0);
        tested = process_free(tested);
        signals_forget();
        observer = client_free(observer);
        alice = client_free(alice);
        bob = client_free(bob);
}

void bus_start_again(const char *rules)
{
        bus_start();
        observer_new();
        polkit_stop();
        polkit_start(rules);
        daemon_start();
        alice = client_new(UID_ALICE);
        bob = client_new(UID_BOB);
}

/* ---- the fixture ---- */

void fixture_devices(void)
{
        sysfs_add(&mock_port);
        sysfs_add(&mock_card);
        sysfs_add(&mock_port2);
        sysfs_add(&mock_card2);
}

void fixture_start(void)
{
        if (!name_is_owned("org.freedesktop.PolicyKit1"))
                polkit_start(polkit_rules_default);
        daemon_start();
        alice = client_new(UID_ALICE);
        bob = client_new(UID_BOB);
}

static void setup(void)
{
        sandbox_enter();
        loop_init();
        sysfs_init();
        model_init();
        journal_init();
        bus_start();
        observer_new();
}

static void teardown(void)
{
        ModelEvent event;

        if (tested && !tested->ended) {
                client_barrier(observer);
                daemon_stop();
        }
        for (size_t i = 0; model_event("touch", NULL, i, &event); i++)
                ck_assert_msg(!strstr(event.rest, "pciresetd"),
                              "the daemon's main process opened %s of %s, which can hang", event.rest,
                              event.address);
        if (model_event("bad", NULL, 0, &event))
                ck_abort_msg("a bad write to %s of %s", event.rest, event.address);
}

void expect_nothing_written(void)
{
        ModelEvent event;

        for (size_t i = 0; model_event(NULL, NULL, i, &event); i++)
                ck_assert_msg(strcmp(event.what, "touch") == 0 || strcmp(event.what, "keep-off") == 0,
                              "written: %s %s %s", event.what, event.address, event.rest);
}

void expect_methods_run(const char *address, const char *methods)
{
        char run[256] = "";
        ModelEvent event;

        for (size_t i = 0; model_event("method", address, i, &event); i++) {
                event.rest[strcspn(event.rest, " ")] = '\0';
                ck_assert_uint_lt(strlen(run) + strlen(event.rest) + 2, sizeof(run));
                (void) stpcpy(stpcpy(run + strlen(run), i ? " " : ""), event.rest);
        }
        ck_assert_str_eq(run, methods);
}

void expect_question(Client *client, size_t index, const char *action, const char *owner)
{
        _cleanup_reply_ Reply *reply = reset(client, CARD, "flr", NULL);

        expect_error(reply, ERROR_ACCESS_DENIED, CARD);
        ck_assert_str_eq(mock_polkit_request(index)->action, action);
        ck_assert_str_eq(mock_polkit_detail(mock_polkit_request(index), "owner"), owner);
}

/* ---- programs ---- */

TestProgram program_new(const char *name)
{
        TestProgram program = {.name = name, .suite = suite_create(name), .cases = tcase_create(name)};

        tcase_set_timeout(program.cases, CASE_TIMEOUT_SEC);
        tcase_add_checked_fixture(program.cases, setup, teardown);
        suite_add_tcase(program.suite, program.cases);
        return program;
}

bool program_wants(const char *test)
{
        const char *only = getenv("PCIRESETD_TEST");

        return !only || strcmp(only, test) == 0;
}

int program_run(TestProgram *program)
{
        SRunner *runner = srunner_create(program->suite);
        int failed;

        srunner_set_tap(runner, "-");
        srunner_run_all(runner, CK_SILENT);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
