/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The stop watch: calls whatever daemon is on the system bus and prints how long each call took.
 *
 *      bench-client reads ADDRESS ROUNDS                       Ping, Get, GetDevice and GetMethods
 *      bench-client reset ADDRESS METHOD UID ROUNDS [kernel]   Reset by a user, CheckAuthorization, and with
 *                                                              `kernel` root's own write to `reset`
 *      bench-client parallel METHOD UID ROUNDS ADDRESS...      Reset of the first alone, then of all at
 * once; and how many the kernel had under way when it was most, and how many had another beside them
 *      bench-client list ROUNDS                                ListDevices, and an echo of the same bytes
 *      bench-client fairness CALLS                             Ping, alone and while somebody else calls
 *                                                              GetManagedObjects all the time
 *      bench-client idle SECONDS                               how often the daemon woke up in this time
 *
 * What is compared takes turns, so that a machine whose speed changes with the minute is as fast or as slow
 * for both. Output is one JSON object: for each series the microseconds of every call, in their order. What
 * to make of the numbers is the reader's business. Run as root, in the sandbox of the integration tests or
 * in the test machine.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "shared/cleanup.h"

#define SERVICE  "org.pciresetd1"
#define ROOT     "/org/pciresetd1"
#define MANAGER  "org.pciresetd1.Manager"
#define DEVICES  "/sys/bus/pci/devices"
#define DBUS     "org.freedesktop.DBus"
#define POLKIT   "org.freedesktop.PolicyKit1"
#define CALL_MAX UINT64_C(120000000) /* microseconds until a call counts as lost */

/* Calls of one kind in a row: as a client makes them that wants to know something, and still short enough
 * for all kinds to see the same weather. */
#define BLOCK 20U

#define SERIES_MAX 4U

typedef struct Series {
        const char *name;
        double *usec;
        size_t n;
} Series;

DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);
DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(sd_bus_slot *, sd_bus_slot_unref);
#define _cleanup_bus_     _cleanup_(cleanup_sd_bus_flush_close_unref)
#define _cleanup_message_ _cleanup_(cleanup_sd_bus_message_unref)
#define _cleanup_error_   _cleanup_(sd_bus_error_free)

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
        va_list arguments;

        (void) fputs("bench-client: ", stderr);
        va_start(arguments, format);
        (void) vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void) fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

static double now_usec(void)
{
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

static size_t parse_count(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);

        if (*end != '\0' || value == 0 || value > 1000000)
                fail("'%s' is no sensible number", text);
        return value;
}

/* ---- series ---- */

static Series series_new(const char *name, size_t n_max)
{
        Series series = {.name = name, .usec = calloc(n_max, sizeof(double))};

        if (!series.usec)
                fail("out of memory");
        return series;
}

static void series_print(Series *series, size_t n)
{
        (void) putchar('{');
        for (size_t i = 0; i < n; i++) {
                (void) printf("%s\"%s\":[", i > 0 ? "," : "", series[i].name);
                for (size_t j = 0; j < series[i].n; j++)
                        (void) printf("%s%.1f", j > 0 ? "," : "", series[i].usec[j]);
                (void) putchar(']');
                free(series[i].usec);
        }
        (void) puts("}");
}

/* ---- the bus ---- */

/* The bus asks the kernel who connects, at the time of connect(). */
static sd_bus *connect_as(uid_t uid)
{
        const char *name;
        sd_bus *bus;
        int r;

        if (seteuid(uid) < 0)
                fail("cannot become uid %u: %m", uid);
        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_get_unique_name(bus, &name); /* waits for it */
        if (r < 0)
                fail("the bus: %s", strerror(-r));
        if (seteuid(0) < 0)
                fail("cannot become root again: %m");
        (void) sd_bus_set_method_call_timeout(bus, CALL_MAX);
        return bus;
}

static sd_bus_message *call_message(sd_bus *bus, const char *service, const char *path,
                                    const char *interface, const char *member, const char *types, ...)
{
        sd_bus_message *message;
        va_list arguments;
        int r;

        va_start(arguments, types);
        r = sd_bus_message_new_method_call(bus, &message, service, path, interface, member);
        if (r >= 0 && types)
                r = sd_bus_message_appendv(message, types, arguments);
        va_end(arguments);
        if (r < 0)
                fail("%s: %s", member, strerror(-r));
        return message;
}

/* Makes the call, adds its time to the series, and consumes the message. */
static sd_bus_message *timed_call(Series *series, sd_bus *bus, sd_bus_message *message)
{
        _cleanup_error_ sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply;
        double started = now_usec();
        int r;

        r = sd_bus_call(bus, message, 0, &error, &reply);
        series->usec[series->n++] = now_usec() - started;
        if (r < 0)
                fail("%s: %s: %s", sd_bus_message_get_member(message), error.name, error.message);
        sd_bus_message_unref(message);
        return reply;
}

/* ---- reads ---- */

static sd_bus_message *read_message(sd_bus *bus, size_t kind, const char *address, const char *path)
{
        switch (kind) {
        case 0:
                return call_message(bus, SERVICE, ROOT, DBUS ".Peer", "Ping", NULL);
        case 1:
                return call_message(bus, SERVICE, path, DBUS ".Properties", "Get", "ss",
                                    "org.pciresetd1.Device", "State");
        case 2:
                return call_message(bus, SERVICE, ROOT, MANAGER, "GetDevice", "s", address);
        default:
                return call_message(bus, SERVICE, ROOT, MANAGER, "GetMethods", "sa{sv}", address, 0);
        }
}

static char *find_path(sd_bus *bus, const char *address)
{
        Series ignored = series_new("", 1);
        _cleanup_message_ sd_bus_message *reply = NULL;
        const char *path;

        reply = timed_call(&ignored, bus, read_message(bus, 2, address, NULL));
        free(ignored.usec);
        if (sd_bus_message_read(reply, "o", &path) < 0)
                fail("GetDevice: an unreadable answer");
        return strdup(path);
}

static void bench_reads(const char *address, size_t n_rounds)
{
        static const char *const names[SERIES_MAX] = {"ping", "property", "getdevice", "getmethods"};
        _cleanup_bus_ sd_bus *bus = connect_as(0);
        _cleanup_free_ char *path = find_path(bus, address);
        Series series[SERIES_MAX];

        for (size_t i = 0; i < SERIES_MAX; i++)
                series[i] = series_new(names[i], n_rounds * BLOCK);

        for (size_t round = 0; round < n_rounds; round++)
                for (size_t turn = 0; turn < SERIES_MAX; turn++) {
                        /* Whoever comes after GetMethods should not always be the same. */
                        size_t kind = (turn + round) % SERIES_MAX;

                        for (size_t i = 0; i < BLOCK; i++)
                                sd_bus_message_unref(timed_call(&series[kind], bus,
                                                                read_message(bus, kind, address, path)));
                }
        series_print(series, SERIES_MAX);
}

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

static void bench_reset(const char *address, const char *method, uid_t uid, size_t n_rounds, bool kernel)
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

static void bench_parallel(const char *method, uid_t uid, size_t n_rounds, char **addresses, size_t n)
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

/* ---- an echo ---- */

#define ECHO "org.pciresetd1.Echo"

static int on_echo_bytes(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        _cleanup_message_ sd_bus_message *reply = NULL;
        const void *bytes;
        size_t size;
        int r;

        r = sd_bus_message_read_array(message, 'y', &bytes, &size);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_append_array(reply, 'y', bytes, size);
        return r < 0 ? r : sd_bus_message_send(reply);
}

/* Sends back what has come. */
static int on_echo_list(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        _cleanup_message_ sd_bus_message *reply = NULL;
        int r = sd_bus_message_new_method_return(message, &reply);

        if (r >= 0)
                r = sd_bus_message_copy(reply, message, true);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static void run_echo(void)
{
        static const sd_bus_vtable vtable[] = {
                SD_BUS_VTABLE_START(0),
                SD_BUS_METHOD("EchoList", "a(sossss)", "a(sossss)", on_echo_list,
                              SD_BUS_VTABLE_UNPRIVILEGED),
                SD_BUS_METHOD("EchoBytes", "ay", "ay", on_echo_bytes, SD_BUS_VTABLE_UNPRIVILEGED),
                SD_BUS_VTABLE_END};
        _cleanup_bus_ sd_bus *bus = connect_as(0);
        int r = sd_bus_add_object_vtable(bus, NULL, "/", ECHO, vtable, NULL);

        if (r >= 0)
                r = sd_bus_request_name(bus, ECHO, 0);
        while (r >= 0) {
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, UINT64_MAX);
        }
        fail("the echo: %s", strerror(-r));
}

/* Ends with us. */
static pid_t start_child(void (*run)(void))
{
        pid_t pid = fork();

        if (pid < 0)
                fail("fork: %m");
        if (pid == 0) {
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
                        run();
                _exit(EXIT_FAILURE);
        }
        return pid;
}

static void stop_child(pid_t pid)
{
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}

static void wait_for_echo(sd_bus *bus)
{
        while (sd_bus_call_method(bus, ECHO, "/", DBUS ".Peer", "Ping", NULL, NULL, NULL) < 0)
                (void) usleep(10000);
}

/* ---- lists ---- */

/* The very body of a list, which must have been read to no place. */
static sd_bus_message *echo_message(sd_bus *bus, sd_bus_message *list)
{
        sd_bus_message *message = call_message(bus, ECHO, "/", ECHO, "EchoList", NULL);

        if (sd_bus_message_rewind(list, true) < 0 || sd_bus_message_copy(message, list, true) < 0)
                fail("the list cannot be copied");
        return message;
}

static sd_bus_message *bytes_message(sd_bus *bus, const void *bytes, size_t size)
{
        sd_bus_message *message = call_message(bus, ECHO, "/", ECHO, "EchoBytes", NULL);

        if (sd_bus_message_append_array(message, 'y', bytes, size) < 0)
                fail("out of memory");
        return message;
}

/* How many bytes the body of a list takes, by the rules of D-Bus' wire format. */
static size_t size_of_list(sd_bus_message *reply)
{
        const char *texts[6];
        size_t size = 8;
        int r = sd_bus_message_enter_container(reply, 'a', "(sossss)");

        while (r >= 0 && (r = sd_bus_message_read(reply, "(sossss)", &texts[0], &texts[1], &texts[2],
                                                  &texts[3], &texts[4], &texts[5])) > 0) {
                size = (size + 7) & ~(size_t) 7;
                for (size_t i = 0; i < 6; i++)
                        size = ((size + 3) & ~(size_t) 3) + 4 + strlen(texts[i]) + 1;
        }
        if (r < 0)
                fail("ListDevices: an unreadable answer");
        return size;
}

static sd_bus_message *list_message(sd_bus *bus)
{
        return call_message(bus, SERVICE, ROOT, MANAGER, "ListDevices", NULL);
}

static void bench_list(size_t n_rounds)
{
        Series series[] = {series_new("list", n_rounds + 1), series_new("echo", n_rounds + 1),
                           series_new("bytes", n_rounds + 1), series_new("size", 1)};
        _cleanup_bus_ sd_bus *bus = connect_as(0);
        _cleanup_message_ sd_bus_message *first = NULL;
        _cleanup_free_ char *bytes = NULL;
        pid_t echo = start_child(run_echo);
        size_t size;

        wait_for_echo(bus);
        first = timed_call(&series[0], bus, list_message(bus));
        series[0].n = 0; /* names are looked up once */
        size = size_of_list(first);
        bytes = calloc(1, size);
        if (!bytes)
                fail("out of memory");
        series[3].usec[series[3].n++] = (double) size;
        for (size_t round = 0; round < n_rounds; round++) {
                sd_bus_message_unref(timed_call(&series[0], bus, list_message(bus)));
                sd_bus_message_unref(timed_call(&series[1], bus, echo_message(bus, first)));
                sd_bus_message_unref(timed_call(&series[2], bus, bytes_message(bus, bytes, size)));
        }
        series_print(series, 4);
        stop_child(echo);
}

/* ---- fairness ---- */

static void loop_tree(void)
{
        _cleanup_bus_ sd_bus *bus = connect_as(0);
        Series ignored = series_new("", 1);

        for (;;) {
                ignored.n = 0;
                sd_bus_message_unref(timed_call(
                        &ignored, bus,
                        call_message(bus, SERVICE, ROOT, DBUS ".ObjectManager", "GetManagedObjects", NULL)));
        }
}

static void time_pings(Series *series, sd_bus *bus, const char *service, size_t n)
{
        while (n-- > 0)
                sd_bus_message_unref(timed_call(
                        series, bus, call_message(bus, service, "/", DBUS ".Peer", "Ping", NULL)));
}

/* `other`: of a service that has nothing to do, meanwhile. What it waits is the bus'. */
static void bench_fairness(size_t n_calls)
{
        Series series[] = {series_new("idle", n_calls), series_new("ping", n_calls),
                           series_new("other", n_calls), series_new("tree", 10)};
        _cleanup_bus_ sd_bus *bus = connect_as(0);
        pid_t echo = start_child(run_echo), tree;

        wait_for_echo(bus);
        for (size_t i = 0; i < 10; i++)
                sd_bus_message_unref(timed_call(
                        &series[3], bus,
                        call_message(bus, SERVICE, ROOT, DBUS ".ObjectManager", "GetManagedObjects", NULL)));
        time_pings(&series[0], bus, SERVICE, n_calls);
        tree = start_child(loop_tree);
        (void) usleep(500000);
        time_pings(&series[1], bus, SERVICE, n_calls);
        time_pings(&series[2], bus, ECHO, n_calls);
        stop_child(tree);
        series_print(series, 4);
        stop_child(echo);
}

/* ---- idle ---- */

static uint32_t daemon_pid(void)
{
        _cleanup_bus_ sd_bus *bus = connect_as(0);
        Series ignored = series_new("", 1);
        _cleanup_message_ sd_bus_message *reply = NULL;
        uint32_t pid;

        reply = timed_call(&ignored, bus,
                           call_message(bus, DBUS, "/org/freedesktop/DBus", DBUS,
                                        "GetConnectionUnixProcessID", "s", SERVICE));
        free(ignored.usec);
        if (sd_bus_message_read(reply, "u", &pid) < 0)
                fail("the bus does not know the daemon's process");
        return pid;
}

static unsigned long thread_wakeups(const char *task)
{
        char path[300], line[256];
        unsigned long count = 0;
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/status", task);
        file = fopen(path, "re");
        if (!file)
                return 0;
        while (fgets(line, sizeof(line), file))
                (void) sscanf(line, "voluntary_ctxt_switches: %lu", &count);
        (void) fclose(file);
        return count;
}

/* A process that waits gives up the processor of its own will, once for each time that it was woken. */
static unsigned long wakeups(uint32_t pid)
{
        char path[300];
        unsigned long count = 0;
        DIR *tasks;

        (void) snprintf(path, sizeof(path), "/proc/%u/task", pid);
        tasks = opendir(path);
        if (!tasks)
                fail("%s: %m", path);
        for (struct dirent *entry; (entry = readdir(tasks));) {
                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%u/task/%.200s", pid, entry->d_name);
                count += thread_wakeups(path);
        }
        (void) closedir(tasks);
        return count;
}

static void bench_idle(size_t seconds)
{
        uint32_t pid = daemon_pid();
        unsigned long before, after;

        (void) sleep(2); /* what the calls before have set in motion comes to rest */
        before = wakeups(pid);
        if (before == 0)
                fail("the daemon has never waited for anything: this is not how it can be watched");
        (void) sleep((unsigned) seconds);
        after = wakeups(pid);
        (void) printf("{\"seconds\":%zu,\"wakeups\":%lu}\n", seconds, after - before);
}

int main(int argc, char *argv[])
{
        const char *mode = argc > 1 ? argv[1] : "";

        if (strcmp(mode, "reads") == 0 && argc == 4)
                bench_reads(argv[2], parse_count(argv[3]));
        else if (strcmp(mode, "reset") == 0 && (argc == 6 || (argc == 7 && strcmp(argv[6], "kernel") == 0)))
                bench_reset(argv[2], argv[3], (uid_t) parse_count(argv[4]), parse_count(argv[5]), argc == 7);
        else if (strcmp(mode, "parallel") == 0 && argc > 5)
                bench_parallel(argv[2], (uid_t) parse_count(argv[3]), parse_count(argv[4]), argv + 5,
                               (size_t) argc - 5);
        else if (strcmp(mode, "list") == 0 && argc == 3)
                bench_list(parse_count(argv[2]));
        else if (strcmp(mode, "fairness") == 0 && argc == 3)
                bench_fairness(parse_count(argv[2]));
        else if (strcmp(mode, "idle") == 0 && argc == 3)
                bench_idle(parse_count(argv[2]));
        else
                fail("usage: see the top of bench-client.c; ./dev bench runs it");
        return EXIT_SUCCESS;
}
