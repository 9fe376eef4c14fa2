/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * ExportHistory and ImportHistory: what was learned goes from machine to machine.
 *
 * An export holds nothing that GetHistory does not tell everybody, and nobody's uid. An import changes what
 * is believed of the hardware, and with it which resets are expected to work, so it takes the right to set
 * the policy.
 *
 * A client's file is read only if it is a sealed memfd: reading any other file may have to wait for whoever
 * keeps it, or find other contents than were looked at.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/message.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/system/history.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

#define ACTION_SET_POLICY ACTION_PREFIX "set-policy"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef struct Transfer {
        PendingCall pending;
        HistoryFilter filter;
        char origin[HISTORY_ORIGIN_MAX];
        int fd; /* of an import; the message's */
        HistoryCall *call;
} Transfer;

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

static void release(PendingCall *pending)
{
        Transfer *transfer = (Transfer *) pending;

        transfer->call = history_cancel(transfer->call);
}

static void refuse(Transfer *transfer, int error, const char *what)
{
        if (error == -ENOBUFS)
                pending_refuse(&transfer->pending, BUS_ERROR_PREFIX "LimitsExceeded",
                               "The history is just being exported or imported. Wait until that has ended "
                               "and ask again.");
        else
                pending_refuse(&transfer->pending, SD_BUS_ERROR_FAILED, "The history cannot be %s: %s", what,
                               strerror(-error));
}

/* ---- export ---- */

static void on_exported(void *userdata, int error, int fd, uint64_t n_rows)
{
        _cleanup_close_ int file = fd;
        Transfer *transfer = userdata;

        transfer->call = NULL;
        if (error == -EFBIG) {
                pending_refuse(&transfer->pending, BUS_ERROR_PREFIX "LimitsExceeded",
                               "That is more than %u MiB. Name what the rows have to match, or a time "
                               "since when.",
                               HISTORY_EXPORT_MAX / 1024U / 1024U);
                return;
        }
        if (error < 0) {
                refuse(transfer, error, "exported");
                return;
        }
        (void) sd_bus_reply_method_return(transfer->pending.message, "ht", file, n_rows);
        pending_end(&transfer->pending);
}

static void export_identified(PendingCall *pending)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Transfer *transfer = (Transfer *) pending;
        History *history = attempt_log_history(pending->bus->log);
        int r = history_filter_check(&transfer->filter, pending->uid, &error);

        if (r < 0) {
                pending_fail(pending, &error, r);
                return;
        }
        r = history ? history_export(history, &transfer->filter, transfer->origin, on_exported, transfer,
                                     &transfer->call)
                    : -ENODATA;
        if (r < 0)
                refuse(transfer, r, "exported");
}

/* It is a line of a file, and is told wherever the rows are. */
static int check_origin(const char *origin, sd_bus_error *error)
{
        _cleanup_free_ char *clean = strdup(origin);

        if (!clean)
                return -ENOMEM;
        if (*origin != '\0' && strlen(origin) < HISTORY_ORIGIN_MAX &&
            strcmp(utf8_sanitize(clean), origin) == 0)
                return 0;
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "Whoever exports rows signs them off: one line of 1 to %u bytes, like 'Ann "
                                 "Admin <ann@example.org>'.",
                                 HISTORY_ORIGIN_MAX - 1);
}

int handle_export_history(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        static const PendingKind kind = {
                .size = sizeof(Transfer),
                .room = PENDING_HISTORY,
                .identified = export_identified,
                .release = release,
        };
        HistoryFilter filter;
        PendingCall *pending;
        Transfer *transfer;
        const char *origin;
        int r;

        r = sd_bus_message_read(message, "s", &origin);
        if (r >= 0)
                r = check_origin(origin, error);
        if (r >= 0)
                r = history_filter_read(message, NULL, &filter, error);
        if (r >= 0)
                r = pending_new(bus, &kind, message, &pending, error);
        if (r < 0)
                return r;
        transfer = (Transfer *) pending;
        transfer->filter = filter;
        transfer->filter.limit = 0;
        memcpy(transfer->origin, origin, strlen(origin) + 1);
        return pending_begin(pending);
}

/* ---- import ---- */

static int reply_imported(const Transfer *transfer, const HistoryImport *import)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(transfer->pending.message, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "a{sv}", 3, "added", "t", import->n_added, "known", "t",
                                          import->n_known, "origin", "s", import->origin);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static void on_imported(void *userdata, int error, const HistoryImport *import)
{
        Transfer *transfer = userdata;

        transfer->call = NULL;
        if (error == -EBADMSG && import->line > 0) {
                pending_refuse(&transfer->pending, SD_BUS_ERROR_INVALID_ARGS,
                               "Line %zu is no line of an exported history%s%s. Nothing was imported.",
                               import->line, import->culprit[0] != '\0' ? ": look at " : "",
                               import->culprit);
                return;
        }
        if (error < 0) {
                refuse(transfer, error, "imported");
                return;
        }
        (void) reply_imported(transfer, import);
        pending_end(&transfer->pending);
}

static int read_all(int fd, char **ret, size_t *ret_length)
{
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        text = malloc((size_t) st.st_size + 1);
        if (!text)
                return -ENOMEM;
        while (length < (size_t) st.st_size) {
                ssize_t n = pread(fd, text + length, (size_t) st.st_size - length, (off_t) length);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                length += (size_t) n;
        }
        text[length] = '\0';
        *ret = steal_pointer(text);
        *ret_length = length;
        return 0;
}

static void import_granted(PendingCall *pending)
{
        Transfer *transfer = (Transfer *) pending;
        History *history = attempt_log_history(pending->bus->log);
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        int r;

        r = history ? read_all(transfer->fd, &text, &length) : -ENODATA;
        if (r >= 0)
                r = history_import(history, text, length, pending->uid, on_imported, transfer,
                                   &transfer->call);
        if (r < 0)
                refuse(transfer, r, "imported");
        else
                (void) steal_pointer(text);
}

static void import_identified(PendingCall *pending)
{
        const PolkitDetail details[] = {
                {"polkit.message", "Authentication is required to import what others know about resets of "
                                   "PCI devices"},
        };

        pending_authorize(pending, ACTION_SET_POLICY, "import history", details, ELEMENTSOF(details));
}

static int check_file(int fd, sd_bus_error *error)
{
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat st;

        if (seals < 0 || (seals & SEALS) != SEALS)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "The file must be a memfd that is sealed against writing, growing "
                                        "and shrinking. `pcireset history import` makes one.");
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size > (off_t) HISTORY_IMPORT_MAX)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "LimitsExceeded",
                                         "At most %u MiB can be imported at once. Split the file; each "
                                         "part starts with its first line.",
                                         HISTORY_IMPORT_MAX / 1024U / 1024U);
        return 0;
}

int handle_import_history(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        static const PendingKind kind = {
                .size = sizeof(Transfer),
                .room = PENDING_CHANGES,
                .identified = import_identified,
                .granted = import_granted,
                .release = release,
        };
        PendingCall *pending;
        int r, fd;

        r = sd_bus_message_read(message, "h", &fd);
        if (r >= 0)
                r = options_read(message, NULL, 0, error);
        if (r >= 0)
                r = check_file(fd, error);
        if (r >= 0)
                r = pending_new(bus, &kind, message, &pending, error);
        if (r < 0)
                return r;
        ((Transfer *) pending)->fd = fd;
        return pending_begin(pending);
}
