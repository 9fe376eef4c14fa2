/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Rows from machine to machine.
 *
 * An export is written into memory and handed on as a descriptor: writing to a descriptor of a client's
 * would let him stop this thread by not reading. It goes by slices, with other work in between. An import is
 * one transaction, so that a bad line at the end leaves nothing behind of those before it.
 */

#include "daemon/system/history-store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "shared/json.h"
#include "shared/write-all.h"

#define FORMAT     "pciresetd-history"
#define VERSION    2U
#define SLICE      256U
#define HEAD_MAX   1024U /* bytes */
#define HEAD_DEPTH 2U /* the line, what is in there */

/* Exporting */

static int write_text(StoreExport *export, const char *text)
{
        size_t length = strlen(text);

        if (export->n_bytes + length > HISTORY_EXPORT_MAX)
                return -EFBIG;
        export->n_bytes += length;
        return write_all(export->fd, text, length);
}

static int begin_export(StoreExport *export)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        _cleanup_free_ char *line = NULL;
        int r;

        export->fd = memfd_create(FORMAT, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (export->fd < 0)
                return -errno;
        json_write_text(&writer, "format", FORMAT);
        json_write_unsigned(&writer, "version", VERSION);
        json_write_text(&writer, "signed_off_by", export->origin);
        r = json_writer_finish(&writer, &object);
        if (r >= 0)
                r = json_text_format(object, HEAD_MAX, &line);
        return r < 0 ? r : write_text(export, line);
}

static int end_export(StoreExport *export)
{
        if (lseek(export->fd, 0, SEEK_SET) < 0 ||
            fcntl(export->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return -errno;
        return 0;
}

int store_export(HistoryStore *store, StoreExport *export)
{
        HistoryRow *rows = NULL;
        size_t n = 0;
        int r = 0;

        if (export->fd < 0)
                r = begin_export(export);
        if (r >= 0)
                r = store_query_after(store, &export->filter, export->after, SLICE, &rows, &n);
        for (size_t i = 0; i < n && r >= 0; i++) {
                _cleanup_free_ char *line = NULL;

                export->after = rows[i].id;
                /* It is for root of this machine. */
                if (rows[i].event == HISTORY_EVIDENCE)
                        continue;
                r = history_line_format(&rows[i], &line);
                if (r >= 0)
                        r = write_text(export, line);
                export->n_rows++;
        }
        history_rows_free(rows, n);
        if (r < 0)
                return r;
        return n == SLICE ? 1 : end_export(export);
}

void store_export_done(StoreExport *export)
{
        cleanup_close(&export->fd);
        export->fd = -EBADF;
}

/* Importing */

static int read_head(const char *line, size_t length, HistoryImport *ret)
{
        static const char *const formats[] = {FORMAT};
        _cleanup_json_ json_object *object = NULL;
        JsonReader reader;
        int r;

        if (length > HEAD_MAX)
                return -EBADMSG;
        r = json_text_parse(line, length, HEAD_DEPTH, NULL, &object);
        if (r < 0)
                return r;
        reader = json_reader_begin(object);
        (void) json_read_choice(&reader, "format", formats, ELEMENTSOF(formats));
        (void) json_read_unsigned(&reader, "version", 1, VERSION);
        json_read_text_to(&reader, "signed_off_by", ret->origin, sizeof(ret->origin));
        return json_reader_finish(&reader);
}

/* What a line came to. */
typedef struct Import {
        HistoryStore *store;
        Proven *added;
        HistoryImport *ret;
        uint64_t n_unwritten;
        int rc; /* SQLite's code */
} Import;

static int take_row(Import *import, HistoryRow *row)
{
        int64_t known = 0, id;

        memcpy(row->origin, import->ret->origin, sizeof(row->origin));
        import->rc = store_find(import->store, row, &known);
        if (import->rc == SQLITE_OK && known == 0)
                import->rc = store_insert(import->store, row, &id);
        if (import->rc != SQLITE_OK)
                return -EIO; /* `rc` says more */
        if (known != 0) {
                import->ret->n_known++;
                return 0;
        }
        import->ret->n_added++;
        import->n_unwritten += history_row_is_idle(row) ? 1 : 0;
        store_note(import->added, row);
        return 0;
}

static int take_line(Import *import, const char *line, size_t length)
{
        HistoryRow row;
        int r;

        import->ret->line++;
        if (import->ret->line == 1)
                return read_head(line, length, import->ret);
        r = history_line_parse(line, length, &row, &import->ret->culprit);
        if (r >= 0)
                r = take_row(import, &row);
        history_row_done(&row);
        return r;
}

static int take_lines(Import *import, const char *text, size_t length)
{
        int r = 0;

        while (length > 0 && r >= 0) {
                const char *end = memchr(text, '\n', length);
                size_t n = end ? (size_t) (end - text) : length;

                r = take_line(import, text, n);
                n += end ? 1 : 0;
                text += n;
                length -= n;
        }
        if (r >= 0 && import->ret->line == 0) {
                import->ret->line = 1; /* nothing at all is no history */
                r = -EBADMSG;
        }
        return r;
}

int store_import(HistoryStore *store, const char *text, size_t length, Proven *added, HistoryImport *ret)
{
        Import import = {.store = store, .added = added, .ret = ret};
        int rc, r = 0;

        *ret = (HistoryImport){.culprit = ""};
        rc = store_begin(store);
        if (rc == SQLITE_OK) {
                r = take_lines(&import, text, length);
                rc = store_end(store, import.rc != SQLITE_OK ? import.rc : r < 0 ? SQLITE_ABORT : SQLITE_OK);
        }
        if (rc == SQLITE_OK) {
                ret->line = 0;
                store->n_rows += ret->n_added;
                store->n_unwritten += import.n_unwritten;
                return 0;
        }
        ret->n_added = ret->n_known = 0;
        if (import.rc == SQLITE_OK && r == -EBADMSG)
                return r;
        ret->line = 0;
        return import.rc == SQLITE_OK && r < 0 ? r : store_failed(store, rc);
}
