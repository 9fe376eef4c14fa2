/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * GetManagedObjects, which is answered in pieces: everything is there as the objects themselves say it, and
 * who follows the signals from then on misses nothing.
 */

#include <check.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "harness/fixture.h"

#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"
#define PROPERTIES     "org.freedesktop.DBus.Properties"

#define FIRST "0000:00:02.0"
#define LAST  "0002:00:00.0"

static const MockDevice first = {.address = FIRST, .methods = "flr"};
static const MockDevice last = {.address = LAST, .methods = "flr"};

static Call *tree_start(Client *client)
{
        return call_start(client, MANAGER_PATH, OBJECT_MANAGER, "GetManagedObjects", NULL);
}

static void expect_as_it_says(const char *path, json_object *object)
{
        const char *interface = strstr(path, "/job/") ? JOB_INTERFACE : DEVICE_INTERFACE;
        static const char *const others[] = {"org.freedesktop.DBus.Peer",
                                             "org.freedesktop.DBus.Introspectable", PROPERTIES};
        _cleanup_reply_ Reply *all = call(bob, path, PROPERTIES, "GetAll", "s", interface);
        json_object *told;

        expect_success(all);
        ck_assert_int_eq(json_object_object_length(object), ELEMENTSOF(others) + 1);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                ck_assert(json_object_object_get_ex(object, others[i], &told));
                ck_assert_int_eq(json_object_object_length(told), 0);
        }
        ck_assert(json_object_object_get_ex(object, interface, &told));
        ck_assert_str_eq(json_object_to_json_string(told), json_object_to_json_string(reply_at(all, "0")));
}

START_TEST(says_what_its_objects_say)
{
        _cleanup_reply_ Reply *tree = NULL, *reset_reply = NULL;
        unsigned n_jobs = 0, n_devices = 0;
        Call *running;
        int hold;

        fixture_devices();
        sysfs_add(&first);
        fixture_start();
        daemon_settle();
        signals_watch(observer);
        hold = model_hold(CARD);
        running = reset_start(alice, CARD, "flr", NULL);
        (void) signal_wait("JobNew", NULL, CARD);
        (void) signal_wait("PropertiesChanged", NULL, "\"resetting\"");

        tree = call_finish(tree_start(bob));
        expect_success(tree);
        ck_assert_str_eq(tree->signature, "a{oa{sa{sv}}}");
        json_object_object_foreach(reply_at(tree, "0"), path, object)
        {
                expect_as_it_says(path, object);
                if (strstr(path, "/job/"))
                        n_jobs++;
                else
                        n_devices++;
        }
        ck_assert_uint_eq(n_jobs, 1);
        ck_assert_uint_eq(n_devices, 5);
        model_release(&hold);
        reset_reply = call_finish(running);
        expect_success(reset_reply);
}
END_TEST

static const char *const changing[] = {FIRST, LAST};

/* Whatever was announced before the answer came is in the answer. */
START_TEST(is_never_older_than_the_signals)
{
        enum { N = 400, ROUNDS = 60 };
        const char *address = changing[_i];
        _cleanup_free_ char *path = NULL;

        for (unsigned i = 0; i < N; i++) {
                char other[16];
                MockDevice device = {.address = other, .methods = "flr"};

                (void) snprintf(other, sizeof(other), "0001:%02x:%02x.0", i / 32, i % 32);
                sysfs_add(&device);
        }
        sysfs_add(&first);
        sysfs_add(&last);
        fixture_start();
        daemon_settle();
        signals_watch(bob);
        path = strdup(device_path(address));

        for (unsigned i = 0; i < ROUNDS; i++) {
                /* At some time while the answer is built, or before or after it. */
                const struct timespec pause = {.tv_nsec = (i / 2 % 15) * 500000L};
                _cleanup_reply_ Reply *tree = NULL;
                _cleanup_free_ char *place = textf("0.%s", path);
                bool binds = i % 2 == 0, announced;
                json_object *device;
                Call *call;

                signals_forget();
                call = tree_start(bob);
                (void) sd_bus_flush(bob->bus);
                (void) nanosleep(&pause, NULL);
                if (binds)
                        hotplug_bind(address, "e1000e");
                else
                        hotplug_unbind(address);
                wait_until(call_done(call));
                announced = signal_count("PropertiesChanged", path, "Driver") > 0;
                tree = call_finish(call);
                expect_success(tree);
                ck_assert_int_eq(json_object_object_length(reply_at(tree, "0")), N + 2);
                ck_assert(json_object_object_get_ex(reply_at(tree, place), DEVICE_INTERFACE, &device));
                if (announced)
                        ck_assert_str_eq(json_object_get_string(json_at(device, "Driver")),
                                         binds ? "e1000e" : "");
                (void) signal_wait("PropertiesChanged", path, "Driver");
        }
}
END_TEST

/* One that leaves while it is served takes nothing along. */
START_TEST(goes_on_without_those_who_leave)
{
        _cleanup_reply_ Reply *tree = NULL;
        _cleanup_client_ Client *other = NULL;

        fixture_devices();
        fixture_start();
        for (unsigned i = 0; i < 20; i++) {
                Call *abandoned;

                other = client_new(UID_BOB);
                abandoned = tree_start(other);
                (void) sd_bus_flush(other->bus);
                other = client_free(other);
                call_abandon(abandoned);
        }
        tree = call_finish(tree_start(alice));
        expect_success(tree);
        ck_assert_int_eq(json_object_object_length(reply_at(tree, "0")), 4);
}
END_TEST

/* It takes breaks for their sake, and gets on all the same. */
START_TEST(comes_while_others_call)
{
        enum { N = 400, CALLERS = 4 };
        Call *pings[CALLERS] = {NULL}, *call;
        _cleanup_reply_ Reply *tree = NULL;

        for (unsigned i = 0; i < N; i++) {
                char address[16];
                MockDevice device = {.address = address, .methods = "flr"};

                (void) snprintf(address, sizeof(address), "0001:%02x:%02x.0", i / 32, i % 32);
                sysfs_add(&device);
        }
        fixture_start();
        daemon_settle();

        call = tree_start(bob);
        (void) sd_bus_flush(bob->bus);
        for (unsigned i = 0; !call_done(call); i = (i + 1) % CALLERS) {
                if (pings[i]) {
                        _cleanup_reply_ Reply *pong = call_finish(pings[i]);

                        expect_success(pong);
                }
                pings[i] = call_start(alice, "/", "org.freedesktop.DBus.Peer", "Ping", NULL);
        }
        tree = call_finish(call);
        expect_success(tree);
        ck_assert_int_eq(json_object_object_length(reply_at(tree, "0")), N);
        for (unsigned i = 0; i < CALLERS; i++)
                if (pings[i])
                        reply_free(call_finish(pings[i]));
}
END_TEST

/* Each answer may come to megabytes: nobody has many at a time. */
START_TEST(is_bounded)
{
        enum { N = 64, ROOM = 8 };
        unsigned n_refused = 0, n_answered = 0;
        _cleanup_reply_ Reply *tree = NULL, *id = NULL;
        Call *calls[N];

        fixture_devices();
        fixture_start();
        process_signal(daemon_process(), SIGSTOP);
        for (unsigned i = 0; i < N; i++)
                calls[i] = tree_start(bob);
        /* All of them are in the daemon's socket before it looks at the first. */
        id = call_service(bob, "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetId", NULL);
        process_signal(daemon_process(), SIGCONT);
        tree = call_finish(tree_start(alice));
        expect_success(tree);
        for (unsigned i = 0; i < N; i++) {
                _cleanup_reply_ Reply *reply = call_finish(calls[i]);

                if (reply->error)
                        expect_error(reply, "LimitsExceeded", "");
                n_refused += reply->error != NULL;
                n_answered += reply->error == NULL;
        }
        ck_assert_uint_eq(n_answered, ROOM);
        ck_assert_uint_eq(n_refused, N - ROOM);
}
END_TEST

int main(void)
{
        TestProgram program = program_new("tree");

        program_add(&program, says_what_its_objects_say);
        program_add_table(&program, is_never_older_than_the_signals, changing);
        program_add(&program, goes_on_without_those_who_leave);
        program_add(&program, comes_while_others_call);
        program_add(&program, is_bounded);
        return program_run(&program);
}
