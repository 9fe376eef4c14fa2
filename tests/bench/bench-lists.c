/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Large answers: what they cost the one who asks, and the others who ask for small things meanwhile. An echo
 * of our own, a service that has nothing else to do, shows what of it is the bus'.
 */

#include "bench-lists.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-calls.h"

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

void bench_list(size_t n_rounds)
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
void bench_fairness(size_t n_calls)
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
