/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram for each entry, its
 * fields as NAME=value lines, or, for values with newlines, NAME, newline, length as 64 bits, value.
 */

#include "journal.h"

#include <check.h>
#include <endian.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define ENTRIES_MAX    8192U
#define FIELDS_MAX     64U

struct JournalEntry {
        size_t n;
        char *names[FIELDS_MAX], *values[FIELDS_MAX];
};

static JournalEntry entries[ENTRIES_MAX];
static size_t n_entries;
static sd_event_source *reading;

static void add_field(JournalEntry *entry, const char *name, size_t name_size, const char *value,
                      size_t size)
{
        ck_assert_uint_lt(entry->n, FIELDS_MAX);
        entry->names[entry->n] = strndup(name, name_size);
        entry->values[entry->n++] = strndup(value, size);
}

static void parse(JournalEntry *entry, const char *data, size_t size)
{
        const char *end = data + size;

        while (data < end) {
                const char *newline = memchr(data, '\n', (size_t) (end - data));
                const char *equals, *stop = newline ? newline : end;

                equals = memchr(data, '=', (size_t) (stop - data));
                if (equals) {
                        add_field(entry, data, (size_t) (equals - data), equals + 1,
                                  (size_t) (stop - equals - 1));
                        data = stop + 1;
                } else {
                        uint64_t length;

                        ck_assert_int_ge(end - stop, 1 + (long) sizeof(length));
                        memcpy(&length, stop + 1, sizeof(length));
                        length = le64toh(length);
                        ck_assert_uint_le(length, (uint64_t) (end - stop - 1) - sizeof(length));
                        add_field(entry, data, (size_t) (stop - data), stop + 1 + sizeof(length), length);
                        data = stop + 1 + sizeof(length) + length + 1;
                }
        }
}

static int on_datagram(sd_event_source *source, int fd, uint32_t revents, void *data)
{
        static char buffer[262144];
        ssize_t n;

        (void) source, (void) revents, (void) data;
        while ((n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
                ck_assert_uint_lt(n_entries, ENTRIES_MAX);
                parse(&entries[n_entries++], buffer, (size_t) n);
        }
        return 0;
}

void journal_init(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        ck_assert_int_eq(chmod(JOURNAL_SOCKET, 0666), 0);
        ck_assert_int_ge(sd_event_add_io(loop_event(), &reading, fd, EPOLLIN, on_datagram, NULL), 0);
        ck_assert_int_ge(sd_event_source_set_io_fd_own(reading, true), 0);
}

void journal_stop(void)
{
        ck_assert_int_eq(unlink(JOURNAL_SOCKET), 0);
        reading = sd_event_source_disable_unref(reading);
}

void journal_hang(bool hangs)
{
        ck_assert_int_ge(sd_event_source_set_enabled(reading, hangs ? SD_EVENT_OFF : SD_EVENT_ON), 0);
}

const char *journal_field(const JournalEntry *entry, const char *name)
{
        for (size_t i = 0; i < entry->n; i++)
                if (strcmp(entry->names[i], name) == 0)
                        return entry->values[i];
        return NULL;
}

static bool matches(const JournalEntry *entry, const char *field, va_list given)
{
        va_list arguments;
        bool all = true;

        va_copy(arguments, given);
        for (; field && all; field = va_arg(arguments, const char *)) {
                const char *wanted = va_arg(arguments, const char *), *value = journal_field(entry, field);

                all = value && (!wanted || strcmp(value, wanted) == 0);
        }
        va_end(arguments);
        return all;
}

const JournalEntry *journal_find(const char *field, ...)
{
        const JournalEntry *found = NULL;
        va_list arguments;

        va_start(arguments, field);
        for (size_t i = 0; i < n_entries && !found; i++)
                if (matches(&entries[i], field, arguments))
                        found = &entries[i];
        va_end(arguments);
        return found;
}

size_t journal_count(const char *field, ...)
{
        va_list arguments;
        size_t n = 0;

        va_start(arguments, field);
        for (size_t i = 0; i < n_entries; i++)
                n += matches(&entries[i], field, arguments);
        va_end(arguments);
        return n;
}
