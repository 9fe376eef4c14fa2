/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * One task writes at a time; what changes meanwhile is written by the next one, so a burst of resets costs
 * no more than two writes.
 */

#include "daemon/system/under-way.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/system/disk-task.h"
#include "daemon/system/file-replace.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/worker-wire.h"

#define VERSION  1U
#define TEXT_MAX (16U * 1024U * 1024U)
/* document → requests → request → members → member */
#define DEPTH_MAX    6U
#define REQUESTS_MAX 4096U

typedef struct Entry {
        uint32_t job;
        json_object *request;
        struct Entry *prev, *next;
} Entry;

struct UnderWay {
        sd_event *event;
        char *path;
        char boot_id[SD_ID128_STRING_MAX];
        Entry *entries;
        DiskTask *task;
        bool again; /* something has changed since the task began */
};

typedef struct Write {
        char *path;
        char *text; /* NULL: the file is to go */
} Write;

DEFINE_CLEANUP(UnderWay *, under_way_free);
DEFINE_CLEANUP(WorkerRequest *, worker_request_free);

static void write_free(void *data)
{
        Write *write = data;

        free(write->path);
        free(write->text);
        free(write);
}

static int run_write(void *data)
{
        const Write *write = data;
        int r = file_replace(write->path, write->text, write->text ? strlen(write->text) : 0);

        /* What it says now may be over before it can be written again. No list is better than a false one.
         */
        if (r < 0 && write->text)
                (void) unlink(write->path);
        return r == -ENOENT && !write->text ? 0 : r;
}

static void entry_free(UnderWay *under_way, Entry *entry)
{
        DL_DELETE(under_way->entries, entry);
        json_object_put(entry->request);
        free(entry);
}

/* NULL in `ret`: nothing is under way. */
static int format(const UnderWay *under_way, char **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        json_object *requests;
        const Entry *entry;
        int r;

        *ret = NULL;
        if (!under_way->entries)
                return 0;
        requests = json_object_new_array();
        if (!requests)
                return -ENOMEM;
        DL_FOREACH (under_way->entries, entry) {
                if (json_object_array_add(requests, json_object_get(entry->request)) < 0) {
                        json_object_put(entry->request);
                        json_object_put(requests);
                        return -ENOMEM;
                }
        }
        json_write_unsigned(&writer, "version", VERSION);
        json_write_text(&writer, "boot_id", under_way->boot_id);
        json_write_value(&writer, "requests", requests);
        r = json_writer_finish(&writer, &object);
        return r < 0 ? r : json_text_format(object, TEXT_MAX, ret);
}

static void on_written(void *userdata, void *data, int result)
{
        UnderWay *under_way = userdata;

        under_way->task = NULL;
        write_free(data);
        if (result < 0)
                journal_under_way_failed("written", result);
        if (under_way->again)
                under_way_sync(under_way);
}

void under_way_sync(UnderWay *under_way)
{
        DiskWork work = {.run = run_write, .done = on_written, .release = write_free, .userdata = under_way};
        Write *write;
        int r;

        under_way->again = under_way->task != NULL;
        if (under_way->again)
                return;
        write = calloc(1, sizeof(Write));
        if (!write)
                return;
        write->path = strdup(under_way->path);
        r = write->path ? format(under_way, &write->text) : -ENOMEM;
        work.data = write;
        if (r >= 0)
                r = disk_task_start(under_way->event, &work, &under_way->task);
        if (r < 0) {
                write_free(write);
                journal_under_way_failed("written", r);
        }
}

void under_way_begin(UnderWay *under_way, const WorkerRequest *request)
{
        Entry *entry;

        DL_SEARCH_SCALAR(under_way->entries, entry, job, request->job);
        if (entry)
                entry_free(under_way, entry);
        entry = calloc(1, sizeof(Entry));
        if (!entry)
                return;
        entry->job = request->job;
        if (worker_request_write(request, &entry->request) < 0) {
                free(entry);
                return;
        }
        DL_APPEND(under_way->entries, entry);
        under_way_sync(under_way);
}

void under_way_end(UnderWay *under_way, uint32_t job)
{
        Entry *entry;

        DL_SEARCH_SCALAR(under_way->entries, entry, job, job);
        if (!entry)
                return;
        entry_free(under_way, entry);
        under_way_sync(under_way);
}

/* ---- what an earlier boot has left ---- */

static int read_text(const char *path, char **ret, size_t *ret_length)
{
        _cleanup_free_ char *text = malloc(TEXT_MAX);
        _cleanup_close_ int fd = -EBADF;
        size_t length = 0;
        ssize_t n;

        if (!text)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        while (length < TEXT_MAX && (n = read(fd, text + length, TEXT_MAX - length)) != 0) {
                if (n < 0)
                        return -errno;
                length += (size_t) n;
        }
        *ret = steal_pointer(text);
        *ret_length = length;
        return 0;
}

static int parse(const UnderWay *under_way, const char *text, size_t length,
                 void (*found)(void *userdata, const WorkerRequest *request), void *userdata)
{
        _cleanup_json_ json_object *object = NULL;
        json_object *requests;
        const char *boot_id;
        JsonReader reader;
        int r;

        r = json_text_parse(text, length, DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;
        reader = json_reader_begin(object);
        (void) json_read_unsigned(&reader, "version", VERSION, VERSION);
        boot_id = json_read_text(&reader, "boot_id", SD_ID128_STRING_MAX);
        requests = json_read_array(&reader, "requests", 1, REQUESTS_MAX);
        r = json_reader_finish(&reader);
        /* What is of this boot is known from the workers' own records. */
        if (r < 0 || strcmp(boot_id, under_way->boot_id) == 0)
                return r;
        for (size_t i = 0; i < json_object_array_length(requests); i++) {
                _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;

                r = worker_request_read(json_object_array_get_idx(requests, i), &request);
                if (r < 0)
                        return r;
                found(userdata, request);
        }
        return 0;
}

void under_way_load(UnderWay *under_way, void (*found)(void *userdata, const WorkerRequest *request),
                    void *userdata)
{
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        int r = read_text(under_way->path, &text, &length);

        if (r == -ENOENT)
                return;
        if (r >= 0)
                r = parse(under_way, text, length, found, userdata);
        if (r < 0)
                journal_under_way_failed("read", r);
        under_way_sync(under_way);
}

int under_way_new(sd_event *event, const char *path, UnderWay **ret)
{
        _cleanup_(cleanup_under_way_free) UnderWay *under_way = calloc(1, sizeof(UnderWay));
        sd_id128_t boot;
        int r;

        if (!under_way)
                return -ENOMEM;
        under_way->event = sd_event_ref(event);
        under_way->path = strdup(path);
        if (!under_way->path)
                return -ENOMEM;
        r = sd_id128_get_boot(&boot);
        if (r < 0)
                return r;
        (void) sd_id128_to_string(boot, under_way->boot_id);
        *ret = steal_pointer(under_way);
        return 0;
}

UnderWay *under_way_free(UnderWay *under_way)
{
        Entry *entry, *next;

        if (!under_way)
                return NULL;
        disk_task_forget(under_way->task);
        DL_FOREACH_SAFE (under_way->entries, entry, next)
                entry_free(under_way, entry);
        sd_event_unref(under_way->event);
        free(under_way->path);
        free(under_way);
        return NULL;
}
