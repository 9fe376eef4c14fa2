/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Resets by a user: what one costs next to the question to polkit and to root's own write to `reset`, and
 * what many cost that are asked for at once. When the kernel was at each of them the daemon's answer tells.
 */

#include "bench-resets.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench-calls.h"

#define DEVICES "/sys/bus/pci/devices"
#define POLKIT  "org.freedesktop.PolicyKit1"

/* ---- resets ---- */

/* The question as the daemon asks it: about somebody else, with as many details. */
static sd_bus_message *check_message(sd_bus *bus, const char *subject, const char *address,
                                     const char *method)
{
        return call_message(bus, POLKIT, "/org/freedesktop/PolicyKit1/Authority", POLKIT ".Authority",
                            "CheckAuthorization", "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s",
                            subject, "org.pciresetd1.reset", 11, "device", address, "vendor_id", "0x8086",
                            "device_id", "0x10d3", "class", "0x020000", "driver", "", "method", method,
                            "scope", "function", "reset_set", address, "in_use", "false", "owner", "",
                            "polkit.message", "Authentication is required to reset a PCI device", 0U, "");
}

static void expect_authorized(sd_bus_message *reply)
{
        int authorized;

        if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
            sd_bus_message_read(reply, "b", &authorized) < 0 || !authorized)
                fail("polkit does not allow what is to be measured");
}

/* When the kernel was at it, by CLOCK_MONOTONIC. */
typedef struct Interval {
        uint64_t started, finished;
} Interval;

static int read_attempt(sd_bus_message *reply, Interval *ret)
{
        const char *key;
        int r;

        while ((r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = sd_bus_message_read(reply, "s", &key);
                if (r >= 0 && strcmp(key, "started_usec") == 0)
                        r = sd_bus_message_read(reply, "v", "t", &ret->started);
                else if (r >= 0 && strcmp(key, "finished_usec") == 0)
                        r = sd_bus_message_read(reply, "v", "t", &ret->finished);
                else if (r >= 0)
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
        }
        return r;
}

/* The last attempt of a result is the one that has reset the device. */
static int read_attempts(sd_bus_message *reply, Interval *ret)
{
        int r = sd_bus_message_enter_container(reply, 'v', "aa{sv}");

        if (r >= 0)
                r = sd_bus_message_enter_container(reply, 'a', "a{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'a', "{sv}")) > 0) {
                r = read_attempt(reply, ret);
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        return r < 0 ? r : sd_bus_message_exit_container(reply);
}

/* Only a proven reset counts. Returns how long the kernel's part took. */
static double read_result(sd_bus_message *reply, Interval *ret)
{
        uint64_t duration = 0;
        bool proven = false;
        const char *key;
        int r;

        *ret = (Interval){};

        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                const char *verdict;

                r = sd_bus_message_read(reply, "s", &key);
                if (r >= 0 && strcmp(key, "duration_usec") == 0)
                        r = sd_bus_message_read(reply, "v", "t", &duration);
                else if (r >= 0 && strcmp(key, "verdict") == 0) {
                        r = sd_bus_message_read(reply, "v", "s", &verdict);
                        proven = r >= 0 && strcmp(verdict, "ok") == 0;
                } else if (r >= 0 && strcmp(key, "attempts") == 0)
                        r = read_attempts(reply, ret);
                else if (r >= 0)
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        if (r < 0 || !proven)
                fail("Reset did not prove that the device is well");
        if (ret->started == 0 || ret->finished < ret->started)
                fail("Reset does not tell when it was done");
        return (double) duration;
}

static void write_attribute(const char *address, const char *name, const char *text)
{
        char path[256];
        int fd;

        (void) snprintf(path, sizeof(path), DEVICES "/%s/%s", address, name);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd) < 0)
                fail("%s: %m", path);
}

/* What `echo 1 >reset` does, once the method is chosen. */
static void timed_kernel_reset(Series *series, const char *address, const char *method)
{
        double started;

        write_attribute(address, "reset_method", method);
        started = now_usec();
        write_attribute(address, "reset", "1\n");
        series->usec[series->n++] = now_usec() - started;
        write_attribute(address, "reset_method", "default");
}

void bench_reset(const char *address, const char *method, uid_t uid, size_t n_rounds, bool kernel)
{
        _cleanup_bus_ sd_bus *root = connect_as(0), *user = connect_as(uid);
        Series reset = series_new("reset", n_rounds), check = series_new("check", n_rounds);
        Series inside = series_new("inside", n_rounds), raw = series_new("kernel", n_rounds);
        const char *subject;

        if (sd_bus_get_unique_name(user, &subject) < 0)
                fail("the user's connection has no name");
        for (size_t round = 0; round < n_rounds; round++) {
                _cleanup_message_ sd_bus_message *result = NULL, *answer = NULL;
                Interval ignored;

                result = timed_call(
                        &reset, user,
                        call_message(user, SERVICE, ROOT, MANAGER, "Reset", "ssa{sv}", address, method, 0));
                inside.usec[inside.n++] = read_result(result, &ignored);
                answer = timed_call(&check, root, check_message(root, subject, address, method));
                expect_authorized(answer);
                if (kernel)
                        timed_kernel_reset(&raw, address, method);
        }
        {
                Series all[SERIES_MAX] = {reset, check, inside, raw};

                series_print(all, SERIES_MAX);
        }
}

/* ---- resets in parallel ---- */

/* The daemon has no more than 16 questions of one user at once. */
#define QUESTIONS_MAX 12U

#define PARALLEL_MAX 64U

typedef struct Parallel {
        size_t n_asked, n_authorized, n_done;
        double authorized, done; /* when the last one was */
        Interval resets[PARALLEL_MAX];
} Parallel;

/* A job is told of when it has been authorised. */
static int on_job_new(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Parallel *parallel = userdata;

        parallel->n_authorized++;
        parallel->authorized = now_usec();
        return 0;
}

static int on_reset_done(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        Parallel *parallel = userdata;

        parallel->done = now_usec();
        if (sd_bus_message_is_method_error(reply, NULL))
                fail("Reset: %s", sd_bus_message_get_error(reply)->message);
        (void) read_result(reply, &parallel->resets[parallel->n_done++]);
        return 0;
}

/* How many were under way when most were. That is so when one begins. */
static size_t count_at_once(const Parallel *parallel)
{
        size_t most = 0;

        for (size_t i = 0; i < parallel->n_done; i++) {
                uint64_t now = parallel->resets[i].started;
                size_t n = 0;

                for (size_t j = 0; j < parallel->n_done; j++)
                        n += parallel->resets[j].started <= now && now < parallel->resets[j].finished;
                most = n > most ? n : most;
        }
        return most;
}

/* How many had another one beside them. */
static size_t count_accompanied(const Parallel *parallel)
{
        size_t count = 0;

        for (size_t i = 0; i < parallel->n_done; i++)
                for (size_t j = 0; j < parallel->n_done; j++) {
                        const Interval *a = &parallel->resets[i], *b = &parallel->resets[j];

                        if (i != j && a->started < b->finished && b->started < a->finished) {
                                count++;
                                break;
                        }
                }
        return count;
}

/* All of them, as soon as they are authorised. */
static Parallel reset_all(sd_bus *bus, const char *method, char **addresses, size_t n)
{
        _cleanup_(cleanup_sd_bus_slot_unref) sd_bus_slot *slot = NULL;
        Parallel parallel = {};
        int r = sd_bus_match_signal(bus, &slot, SERVICE, ROOT, MANAGER, "JobNew", on_job_new, &parallel);

        if (n > PARALLEL_MAX)
                fail("more than %u devices", PARALLEL_MAX);

        while (r >= 0 && (parallel.n_done < n || parallel.n_authorized < n)) {
                if (parallel.n_asked < n && parallel.n_asked - parallel.n_authorized < QUESTIONS_MAX) {
                        _cleanup_message_ sd_bus_message *call = call_message(
                                bus, SERVICE, ROOT, MANAGER, "Reset", "ssa{sv}",
                                addresses[parallel.n_asked++], method, 0);

                        r = sd_bus_call_async(bus, NULL, call, on_reset_done, &parallel, CALL_MAX);
                        continue;
                }
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, CALL_MAX);
        }
        if (r < 0)
                fail("the bus: %s", strerror(-r));
        return parallel;
}

/* From the last authorisation to the last verdict. */
static double time_of(const Parallel *parallel)
{
        return parallel->done - parallel->authorized;
}

void bench_parallel(const char *method, uid_t uid, size_t n_rounds, char **addresses, size_t n)
{
        _cleanup_bus_ sd_bus *user = connect_as(uid);
        Series alone = series_new("alone", n_rounds), together = series_new("together", n_rounds);
        Series at_once = series_new("at_once", n_rounds), accompanied = series_new("accompanied", n_rounds);

        for (size_t round = 0; round < n_rounds; round++) {
                Parallel one = reset_all(user, method, addresses, 1);
                Parallel all = reset_all(user, method, addresses, n);

                alone.usec[alone.n++] = time_of(&one);
                together.usec[together.n++] = time_of(&all);
                at_once.usec[at_once.n++] = (double) count_at_once(&all);
                accompanied.usec[accompanied.n++] = (double) count_accompanied(&all);
        }
        {
                Series all[SERIES_MAX] = {alone, together, at_once, accompanied};

                series_print(all, SERIES_MAX);
        }
}
