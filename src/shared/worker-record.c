/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The record is made of the same pieces as the messages: see worker-wire.h. */

#include "shared/worker-record.h"

#include "shared/cleanup.h"
#include "shared/worker-wire.h"

DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

WorkerRecord *worker_record_free(WorkerRecord *record)
{
        if (!record)
                return NULL;
        worker_request_free(record->request);
        worker_result_free(record->result);
        free(record->saved);
        free(record);
        return NULL;
}

static bool saved_list_is_valid(const char *text)
{
        ResetMethodList list;

        return reset_method_list_parse(text, &list) == 0;
}

static int write_saved(const void *element, json_object **ret)
{
        const WorkerSaved *saved = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        char list[RESET_METHOD_LIST_STRING_MAX];

        if (saved->has_list)
                json_write_text(&writer, "reset_method", reset_method_list_format(&saved->list, list));
        else
                json_write_null(&writer, "reset_method");
        json_write_text(&writer, "driver_override", saved->driver_override);
        return json_writer_finish(&writer, ret);
}

static int read_saved(json_object *object, void *element)
{
        JsonReader reader = json_reader_begin(object);
        WorkerSaved *saved = element;
        char list[RESET_METHOD_LIST_STRING_MAX];

        saved->has_list = !json_read_null(&reader, "reset_method");
        if (saved->has_list) {
                json_read_text_to(&reader, "reset_method", list, sizeof(list));
                if (reset_method_list_parse(list, &saved->list) < 0)
                        json_reader_fail(&reader, "reset_method");
        }
        json_read_text_to(&reader, "driver_override", saved->driver_override,
                          sizeof(saved->driver_override));
        return json_reader_finish(&reader);
}

/* One for each member, or none at all. */
static int read_all_saved(json_object *array, WorkerRecord *record)
{
        void *elements;
        int r = json_array_read(array, sizeof(WorkerSaved), read_saved, &elements, &record->n_saved);

        record->saved = elements;
        return r < 0 ? r : record->n_saved == record->request->n_members ? 0 : -EBADMSG;
}

int worker_record_parse(const char *text, size_t length, WorkerRecord **ret)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = calloc(1, sizeof(*record));
        _cleanup_json_ json_object *object = NULL;
        json_object *request, *result = NULL, *saved = NULL;
        JsonReader reader;
        int r;

        if (!record)
                return -ENOMEM;
        if (length > WORKER_RECORD_MAX)
                return -EBADMSG;

        r = json_text_parse(text, length, WORKER_DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;

        reader = json_reader_begin(object);
        (void) json_read_unsigned(&reader, "version", WORKER_PROTOCOL_VERSION, WORKER_PROTOCOL_VERSION);
        record->pid = (uint32_t) json_read_unsigned(&reader, "pid", 1, INT32_MAX);
        record->has_saved_reset_method = !json_read_null(&reader, "saved_reset_method");
        if (record->has_saved_reset_method) {
                json_read_text_to(&reader, "saved_reset_method", record->saved_reset_method,
                                  sizeof(record->saved_reset_method));
                if (!saved_list_is_valid(record->saved_reset_method))
                        json_reader_fail(&reader, "saved_reset_method");
        }
        request = json_read_object(&reader, "request");
        if (!json_read_null(&reader, "result"))
                result = json_read_object(&reader, "result");
        record->bridge_sleeps = json_reader_has(&reader, "bridge_sleeps") &&
                                json_read_boolean(&reader, "bridge_sleeps");
        if (json_reader_has(&reader, "saved"))
                saved = json_read_array(&reader, "saved", 1, WORKER_MEMBERS_MAX);

        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        r = worker_request_read(request, &record->request);
        if (r < 0)
                return r;
        if (saved) {
                r = read_all_saved(saved, record);
                if (r < 0)
                        return r;
        }
        if (result) {
                r = worker_result_read(result, &record->result);
                if (r < 0)
                        return r;
        }

        *ret = steal_pointer(record);
        return 0;
}

int worker_record_format(const WorkerRecord *record, char **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        _cleanup_json_ json_object *object = NULL;
        json_object *part;
        int r;

        json_write_unsigned(&writer, "version", WORKER_PROTOCOL_VERSION);
        json_write_unsigned(&writer, "pid", record->pid);
        if (record->has_saved_reset_method)
                json_write_text(&writer, "saved_reset_method", record->saved_reset_method);
        else
                json_write_null(&writer, "saved_reset_method");

        r = worker_request_write(record->request, &part);
        if (r < 0)
                return r;
        json_write_value(&writer, "request", part);

        if (record->result) {
                r = worker_result_write(record->result, &part);
                if (r < 0)
                        return r;
                json_write_value(&writer, "result", part);
        } else {
                json_write_null(&writer, "result");
        }

        if (record->saved) {
                r = json_array_write(record->saved, record->n_saved, sizeof(WorkerSaved), write_saved,
                                     &part);
                if (r < 0)
                        return r;
                json_write_value(&writer, "saved", part);
        }
        if (record->bridge_sleeps)
                json_write_boolean(&writer, "bridge_sleeps", true);

        r = json_writer_finish(&writer, &object);
        if (r < 0)
                return r;
        return json_text_format(object, WORKER_RECORD_MAX, ret);
}
