/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "bench-calls.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void fail(const char *format, ...)
{
        va_list arguments;

        (void) fputs("bench-client: ", stderr);
        va_start(arguments, format);
        (void) vfprintf(stderr, format, arguments);
        va_end(arguments);
        (void) fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

double now_usec(void)
{
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

/* ---- series ---- */

Series series_new(const char *name, size_t n_max)
{
        Series series = {.name = name, .usec = calloc(n_max, sizeof(double))};

        if (!series.usec)
                fail("out of memory");
        return series;
}

void series_print(Series *series, size_t n)
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

sd_bus *connect_as(uid_t uid)
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

sd_bus_message *call_message(sd_bus *bus, const char *service, const char *path, const char *interface,
                             const char *member, const char *types, ...)
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

sd_bus_message *timed_call(Series *series, sd_bus *bus, sd_bus_message *message)
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
