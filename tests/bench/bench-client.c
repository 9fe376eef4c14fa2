/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The stop watch: calls whatever daemon is on the system bus and prints how long each call took.
 *
 *      bench-client reads ADDRESS ROUNDS                       Ping, Get, GetDevice and GetMethods
 *      bench-client reset ADDRESS METHOD UID ROUNDS [kernel]   Reset by a user, CheckAuthorization, and with
 *                                                              `kernel` root's own write to `reset`
 *      bench-client parallel METHOD UID ROUNDS ADDRESS...      Reset of the first alone, then of all at
 *                                                              once; how many the kernel had under way
 *                                                              when it was most, and how many had another
 *                                                              beside them
 *      bench-client list ROUNDS                                ListDevices, and an echo of the same bytes
 *      bench-client fairness CALLS                             Ping, alone and while somebody else calls
 *                                                              GetManagedObjects all the time
 *      bench-client idle SECONDS                               how often the daemon woke up in this time
 *
 * What is compared takes turns, so that a machine whose speed changes with the minute is as fast or as slow
 * for both. Output is one JSON object: for each series the microseconds of every call, in their order. What
 * to make of the numbers is the reader's business. Run as root, in the sandbox of the integration tests or
 * in the test machine.
 *
 * Reads and idle are here; the others in bench-resets and bench-lists.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench-calls.h"
#include "bench-lists.h"
#include "bench-resets.h"

/* Calls of one kind in a row: as a client makes them that wants to know something, and still short enough
 * for all kinds to see the same weather. */
#define BLOCK 20U

static size_t parse_count(const char *text)
{
        char *end;
        unsigned long value = strtoul(text, &end, 10);

        if (*end != '\0' || value == 0 || value > 1000000)
                fail("'%s' is no sensible number", text);
        return value;
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
