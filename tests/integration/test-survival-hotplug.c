/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Workers that are killed while a device is without its driver, or not there at all, alone or together with
 * the daemon: another one finds the devices again and makes of them what they were.
 */

#include <signal.h>
#include <string.h>

#include "harness/fixture.h"
#include "harness/kills.h"

#define SLOT "3"
/* The driver that the kernel binds by itself, and the one that an administrator has wished for. */
#define HOST_DRIVER "e1000e"
#define OVERRIDE    "vfio-pci"
/* What an administrator has left of what the kernel would list. */
#define SHORT_LIST "flr pm"

/* Two functions that can be removed, in a slot with a switch, with drivers that the kernel
 * would not bind and lists that it would not make. */
static void start(const char *driver)
{
        MockDevice port = mock_port;
        MockDevice card = {.address = CARD,
                           .parent = PORT,
                           .methods = SHORT_LIST,
                           .supported = SHORT_LIST " bus",
                           .multifunction = true,
                           .removable = true,
                           .driver = driver};
        MockDevice second = card;

        port.subordinate = port.removable = true;
        second.address = FUNCTION1;
        sysfs_add(&port);
        sysfs_add(&card);
        sysfs_add(&second);
        sysfs_slot(SLOT, "0000:01:00", PORT);
        sysfs_driver(HOST_DRIVER);
        model_knob(CARD, "autoprobe", HOST_DRIVER);
        model_knob(FUNCTION1, "autoprobe", HOST_DRIVER);
        fixture_start();
        signals_watch(observer);
}

static char *driver_of(const char *address)
{
        _cleanup_free_ char *link = textf("/sys/bus/pci/devices/%s/driver", address),
                            *path = realpath(link, NULL);

        return strdup(path ? strrchr(path, '/') + 1 : "");
}

static void expect_driver(const char *address, const char *expected)
{
        _cleanup_free_ char *driver = driver_of(address);

        ck_assert_str_eq(driver, expected);
}

/* An instant at which a worker stands still, and what shows that it is there. */
typedef struct Standstill {
        const char *method;
        const char *held; /* whose gate is shut; NULL: the lists of CARD */
        const char *event, *address;
        size_t index;
        size_t n_removed; /* by then */
} Standstill;

static int come_to_instant(const Standstill *instant, Call **ret_running, int *ret_worker)
{
        int hold = instant->held ? model_hold(instant->held) : model_hold_list(CARD);

        *ret_running = reset_start(alice, CARD, instant->method, "in_use", "b", 1, NULL);
        *ret_worker = model_wait(instant->event, instant->address, instant->index).pid;
        ck_assert_uint_eq(model_count("removed", NULL), instant->n_removed);
        return hold;
}

/* Until what its death has set off has ended, whoever is there to see to it. */
static void kill_worker(int worker, int *hold, Call *running, bool with_daemon)
{
        _cleanup_reply_ Reply *reply = NULL;

        if (with_daemon) {
                daemon_kill();
                signals_forget();
                call_abandon(running);
        }
        ck_assert_int_eq(kill(worker, SIGKILL), 0);
        wait_until_gone(worker);
        model_release(hold);
        if (with_daemon) {
                daemon_start();
        } else {
                reply = call_finish(running);
                expect_error(reply, "ResetFailed", CARD);
                ck_assert_str_eq(reply_string(reply, "1.attempts.0.why"), "worker-died");
        }
        wait_until(count_records() == 0);
}

/* The row says that nobody knows whether it was reset, and that both devices are well. */
static void expect_row(const char *method)
{
        _cleanup_reply_ Reply *rows = manager_call(bob, "GetHistory", "a{sv}", 0);

        ck_assert_uint_eq(reply_length(rows, "0"), 1);
        ck_assert_str_eq(reply_string(rows, "0.0.method"), method);
        ck_assert_str_eq(reply_string(rows, "0.0.outcome"), "failed");
        ck_assert_str_eq(reply_string(rows, "0.0.why"), "worker-died");
        ck_assert_str_eq(reply_string(rows, "0.0.verdict"), "unverified");
        ck_assert_str_eq(reply_string(rows, "0.0.checks.0.check"), "answers");
        ck_assert_str_eq(reply_string(rows, "0.0.checks.0.result"), "ok");
}

/* ---- without its driver ---- */

static const Standstill driverless[] = {
        {.method = "flr", .event = "listing", .address = CARD},
        {.method = "flr", .held = CARD, .event = "begin", .address = CARD},
        {.method = "subordinate", .held = PORT, .event = "begin", .address = PORT},
};

static void driver_is_put_back(const Standstill *instant, bool with_daemon)
{
        bool is_shared = instant->held && strcmp(instant->held, PORT) == 0;
        _cleanup_free_ char *list = NULL;
        Call *running;
        int worker, hold;

        start(HOST_DRIVER);
        hold = come_to_instant(instant, &running, &worker);
        expect_driver(CARD, "");
        expect_driver(FUNCTION1, is_shared ? "" : HOST_DRIVER);
        kill_worker(worker, &hold, running, with_daemon);
        expect_driver(CARD, HOST_DRIVER);
        expect_driver(FUNCTION1, HOST_DRIVER);
        ck_assert_uint_eq(model_count("bind", CARD), 1);
        ck_assert_uint_eq(model_count("bind", FUNCTION1), is_shared);
        list = sysfs_get(CARD, "reset_method");
        ck_assert_str_eq(list, SHORT_LIST);
        expect_row(instant->method);
}

START_TEST(killed_without_driver)
{
        driver_is_put_back(&driverless[_i], false);
}
END_TEST

START_TEST(killed_without_driver_with_the_daemon)
{
        driver_is_put_back(&driverless[_i], true);
}
END_TEST

/* Nobody binds a driver to what has died with the worker. */
START_TEST(dead_without_driver)
{
        static uint8_t ones[CONFIG_SIZE];
        _cleanup_free_ char *state = NULL;
        Call *running;
        int worker, hold;

        memset(ones, 0xff, sizeof(ones));
        start(HOST_DRIVER);
        hold = come_to_instant(&driverless[1], &running, &worker);
        sysfs_config_write(CARD, 0, ones, sizeof(ones));
        kill_worker(worker, &hold, running, true);
        expect_driver(CARD, "");
        ck_assert_uint_eq(model_count("bind", CARD), 0);
        state = device_state(bob, CARD);
        ck_assert_str_eq(state, "quarantined");
}
END_TEST

/* ---- not there at all ---- */

static const Standstill removed[] = {
        {.method = "rescan", .held = CARD, .event = "removing", .address = CARD, .n_removed = 0},
        {.method = "rescan", .held = FUNCTION1, .event = "removing", .address = FUNCTION1, .n_removed = 1},
        {.method = "rescan", .held = PORT, .event = "rescan", .address = PORT, .n_removed = 2},
        /* Found again, and still with what the kernel makes of it. */
        {.method = "rescan", .event = "listing", .address = CARD, .n_removed = 2},
        {.method = "slot", .held = SLOT, .event = "power", .address = SLOT, .index = 1, .n_removed = 2},
};

static void device_is_found_again(const Standstill *instant, bool with_daemon)
{
        static const char *const functions[] = {CARD, FUNCTION1};
        Call *running;
        int worker, hold;

        start(OVERRIDE);
        for (size_t i = 0; i < ELEMENTSOF(functions); i++)
                sysfs_set(functions[i], "driver_override", OVERRIDE);
        hold = come_to_instant(instant, &running, &worker);
        kill_worker(worker, &hold, running, with_daemon);
        ck_assert_uint_eq(model_count("found", NULL), instant->n_removed);
        for (size_t i = 0; i < ELEMENTSOF(functions); i++) {
                _cleanup_free_ char *override = sysfs_get(functions[i], "driver_override"),
                                    *list = sysfs_get(functions[i], "reset_method");

                ck_assert_ptr_nonnull(override);
                ck_assert_str_eq(override, OVERRIDE);
                ck_assert_str_eq(list, SHORT_LIST);
                expect_driver(functions[i], OVERRIDE);
        }
        expect_row(instant->method);
}

START_TEST(killed_with_the_device_away)
{
        device_is_found_again(&removed[_i], false);
}
END_TEST

START_TEST(killed_with_the_device_away_and_the_daemon)
{
        device_is_found_again(&removed[_i], true);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("survival-hotplug");

        program_add_table(&program, killed_without_driver, driverless);
        program_add_table(&program, killed_without_driver_with_the_daemon, driverless);
        program_add(&program, dead_without_driver);
        program_add_table(&program, killed_with_the_device_away, removed);
        program_add_table(&program, killed_with_the_device_away_and_the_daemon, removed);
        return program_run(&program);
}
