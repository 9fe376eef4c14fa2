/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `history export` and `history import`. Files go over the bus as memfds; the daemon reads only those that
 * nobody can change any more.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcireset/agent.h"
#include "pcireset/error-text.h"
#include "pcireset/history.h"
#include "pcireset/text.h"
#include "shared/write-all.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* What the daemon takes at once. */
#define IMPORT_MAX (16U * 1024U * 1024U)

/* At most `max` bytes; -EFBIG if there are more. */
static int copy_file(int from, int to, size_t max)
{
        char buffer[16384];
        size_t n_copied = 0;

        for (;;) {
                ssize_t n = read(from, buffer, sizeof(buffer));
                int r;

                if (n == 0)
                        return 0;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                n_copied += (size_t) n;
                if (n_copied > max)
                        return -EFBIG;
                r = write_all(to, buffer, (size_t) n);
                if (r < 0)
                        return r;
        }
}

int history_export(Client *client)
{
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        uint64_t n_rows;
        int r, fd;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ExportHistory", false, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "s", client->signed_off_by);
        if (r >= 0)
                r = history_append_filter(client, call);
        if (r >= 0)
                r = client_call(client, call, &reply);
        if (r != EXIT_OK)
                return r;
        r = sd_bus_message_read(reply, "ht", &fd, &n_rows);
        if (r < 0)
                return r;
        (void) fflush(stdout);
        r = copy_file(fd, STDOUT_FILENO, SIZE_MAX);
        if (r < 0)
                return report_failure(client, EXIT_OTHER, CLIENT_ERROR("Failed"), NULL,
                                      "the export could not be written: %s", strerror(-r));
        return text_print_line(stderr, "%" PRIu64 " rows were exported.", n_rows);
}

static int seal_file(int fd, int *ret)
{
        _cleanup_close_ int memfd = memfd_create("pcireset", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (memfd < 0)
                return -errno;
        r = copy_file(fd, memfd, IMPORT_MAX);
        if (r < 0)
                return r;
        if (fcntl(memfd, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        *ret = steal_fd(memfd);
        return 0;
}

static int print_imported(const Client *client, json_object *result)
{
        if (client->json)
                return json_print(stdout, result, false);
        return text_print_line(
                stdout, "%" PRIu64 " rows signed off by %s were imported; %" PRIu64 " were known already.",
                json_get_unsigned(result, "added"), json_get_string(result, "origin"),
                json_get_unsigned(result, "known"));
}

static int send_file(Client *client, int fd)
{
        _cleanup_message_ sd_bus_message *call = NULL;
        _cleanup_json_ json_object *result = NULL;
        pid_t agent;
        int r;

        r = client_new_call(client, NULL, ROOT_PATH, MANAGER_INTERFACE, "ImportHistory", true, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "ha{sv}", fd, 0);
        if (r < 0)
                return r;
        agent = client->ask_password ? agent_start() : 0;
        r = client_call_for_value(client, call, &result);
        agent_stop(agent);
        return r != EXIT_OK ? r : print_imported(client, result);
}

int history_import(Client *client, const char *path)
{
        bool is_stdin = !path || strcmp(path, "-") == 0;
        _cleanup_close_ int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                          : open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int sealed = -EBADF;
        int r = fd < 0 ? -errno : seal_file(fd, &sealed);

        if (r < 0)
                return report_failure(
                        client, EXIT_OTHER, CLIENT_ERROR("Failed"),
                        r == -EFBIG ? "Split the file; each part starts with its first line." : NULL,
                        "%s cannot be read: %s", is_stdin ? "the standard input" : path, strerror(-r));
        return send_file(client, sealed);
}
