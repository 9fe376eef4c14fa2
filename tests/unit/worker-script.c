/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "worker-script.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[] = "/tmp/test-script.XXXXXX";
static int events;
static char log_text[65536]; /* what the workers have said, one line each */

void script_begin(void)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        ck_assert_int_eq(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
        ck_assert_ptr_nonnull(mkdtemp(directory));
        ck_assert_int_eq(setenv("SCRIPT", directory, 1), 0);
        events = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/events", directory);
        ck_assert_int_eq(bind(events, (struct sockaddr *) &address, sizeof(address)), 0);
}

static int unlink_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

void script_end(void)
{
        (void) close(events);
        (void) nftw(directory, unlink_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void script_path(const char *what, const char *address, char path[static 128])
{
        (void) snprintf(path, 128, "%s/%s-%s", directory, what, address);
}

void script(const char *what, const char *address)
{
        char path[128];

        script_path(what, address, path);
        if (strcmp(what, "gate") == 0)
                ck_assert_int_eq(mkfifo(path, 0600), 0);
        else
                ck_assert_int_eq(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
}

void unscript(const char *what, const char *address)
{
        char path[128];

        script_path(what, address, path);
        ck_assert_int_eq(unlink(path), 0);
}

void open_gate(const char *address)
{
        char path[128];
        int fd;

        script_path("gate", address, path);
        /* Open for as long as it takes the reader to come. */
        fd = open(path, O_WRONLY);
        ck_assert_int_ge(fd, 0);
        unscript("gate", address);
        (void) close(fd);
}

static void drain(int flags)
{
        char text[32768];
        ssize_t n = recv(events, text, sizeof(text) - 2, flags);

        while (n > 0) {
                text[n] = '\n';
                text[n + 1] = '\0';
                ck_assert_uint_lt(strlen(log_text) + strlen(text), sizeof(log_text));
                strcat(log_text, text);
                n = recv(events, text, sizeof(text) - 2, MSG_DONTWAIT);
        }
}

void await(const char *line)
{
        while (!strstr(log_text, line))
                drain(0);
}

unsigned said(const char *word)
{
        unsigned n = 0;

        drain(MSG_DONTWAIT);
        for (const char *p = log_text; (p = strstr(p, word)); p++)
                n++;
        return n;
}
