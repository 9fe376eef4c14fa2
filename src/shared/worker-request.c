/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What a worker is asked for. The fields are judged one by one as they are read, and then the request as a
 * whole (request_is_valid()): by the reader, who does not trust the line, and by the writer, so that a
 * mistake of the daemon ends in the daemon and not in a worker with root's rights.
 */

#include "shared/worker-protocol.h"

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/worker-wire.h"

#define CLASS_MAX 0xffffffU

static const char *const operation_names[] = {
        [WORKER_RESET] = "reset",   [WORKER_SCAN] = "scan", [WORKER_ORDER] = "order",
        [WORKER_HEALTH] = "health", [WORKER_MEND] = "mend", [WORKER_HOLD] = "hold", [WORKER_LOG] = "log"};

static const char *const action_names[] = {
        [HOLD_LOOK] = "look",
        [HOLD_KEEP] = "keep",
        [HOLD_RELEASE] = "release",
};

static const char *const driver_names[] = {
        [WORKER_DRIVER_KEEP] = "keep",
        [WORKER_DRIVER_REBIND] = "rebind",
};

WorkerRequest *worker_request_free(WorkerRequest *request)
{
        if (!request)
                return NULL;
        free(request->members);
        free(request->images);
        free(request);
        return NULL;
}

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);

/* The name of a driver is also the name of its directory in sysfs. */
static bool driver_name_is_valid(const char *name)
{
        return !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int write_member(const void *element, json_object **ret)
{
        const WorkerMember *member = element;
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();

        worker_address_write(&writer, "address", &member->address);
        json_write_unsigned(&writer, "inode", member->inode);
        json_write_unsigned(&writer, "vendor", member->vendor);
        json_write_unsigned(&writer, "device", member->device);
        json_write_unsigned(&writer, "class", member->class);
        json_write_text(&writer, "driver", member->driver);
        json_write_boolean(&writer, "must_be_disabled", member->must_be_disabled);
        if (member->may_hand_back)
                json_write_text(&writer, "hand_back", member->hand_back);

        return json_writer_finish(&writer, ret);
}

static int read_member(json_object *object, void *element)
{
        WorkerMember *ret = element;
        JsonReader reader = json_reader_begin(object);

        worker_address_read(&reader, "address", &ret->address);
        ret->inode = json_read_unsigned(&reader, "inode", 1, UINT64_MAX - 1);
        ret->vendor = (uint16_t) json_read_unsigned(&reader, "vendor", 0, UINT16_MAX);
        ret->device = (uint16_t) json_read_unsigned(&reader, "device", 0, UINT16_MAX);
        ret->class = (uint32_t) json_read_unsigned(&reader, "class", 0, CLASS_MAX);
        json_read_text_to(&reader, "driver", ret->driver, sizeof(ret->driver));
        if (!driver_name_is_valid(ret->driver))
                json_reader_fail(&reader, "driver");
        ret->must_be_disabled = json_read_boolean(&reader, "must_be_disabled");
        ret->may_hand_back = json_reader_has(&reader, "hand_back");
        if (ret->may_hand_back) {
                json_read_text_to(&reader, "hand_back", ret->hand_back, sizeof(ret->hand_back));
                if (!driver_name_is_valid(ret->hand_back))
                        json_reader_fail(&reader, "hand_back");
        }

        return json_reader_finish(&reader);
}

static bool address_is_new(const WorkerRequest *request, size_t n, const PciAddress *address)
{
        for (size_t i = 0; i < n; i++)
                if (pci_address_equal(&request->members[i].address, address))
                        return false;
        return true;
}

/* What no single member shows, nor any single field. */
static bool method_is_valid(const WorkerRequest *request)
{
        bool is_slot = strcmp(request->method, "slot") == 0;

        if (request->operation == WORKER_SCAN)
                return strcmp(request->method, WORKER_SCAN_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0;
        if (request->operation == WORKER_HEALTH)
                return strcmp(request->method, WORKER_HEALTH_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0 && request->list.n == 0;
        if (request->operation == WORKER_LOG)
                return strcmp(request->method, WORKER_LOG_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0 && request->list.n == 0 && request->n_members == 1;
        if (request->operation == WORKER_HOLD)
                return strcmp(request->method, WORKER_HOLD_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0 && request->list.n == 0 && request->n_members == 1 &&
                       !request->has_bridge && worker_serial_is_valid(request->serial);
        if (request->operation == WORKER_ORDER)
                return strcmp(request->method, WORKER_ORDER_METHOD) == 0 && request->slot[0] == '\0' &&
                       request->n_fds == 0 && request->n_members == 1 && !request->has_bridge;
        if (request->list.n > 0)
                return false;
        if (!reset_method_name_is_valid(request->method) ||
            reset_method_scope(request->method) == RESET_SCOPE_UNKNOWN)
                return false;
        /* The name of a slot is also the name of its directory. */
        if (is_slot != (request->slot[0] != '\0') || !driver_name_is_valid(request->slot))
                return false;
        return request->n_fds == 0 || strcmp(request->method, "vfio_hot") == 0;
}

/* One at most of each member and the bridge, and of a job with several methods alone. */
static bool images_are_valid(const WorkerRequest *request)
{
        if (request->n_images > 0 && request->operation != WORKER_RESET && request->operation != WORKER_MEND)
                return false;
        for (size_t i = 0; i < request->n_images; i++) {
                const PciAddress *address = &request->images[i].address;
                bool is_bridge = request->has_bridge && pci_address_equal(address, &request->bridge.address);

                if ((!is_bridge && address_is_new(request, request->n_members, address)) ||
                    worker_image_find(request->images, i, address))
                        return false;
        }
        return true;
}

static bool request_is_valid(const WorkerRequest *request)
{
        if (!method_is_valid(request) || (request->machine_stopped && request->operation != WORKER_MEND))
                return false;
        if (request->settle_usec > WORKER_SETTLE_MAX_USEC || request->retry_usec > WORKER_RETRY_MAX_USEC ||
            request->n_fds > WORKER_FDS_MAX)
                return false;
        if (request->n_members == 0 || request->n_members > WORKER_MEMBERS_MAX)
                return false;
        if ((request->queued_at > 0) != (request->started_at > 0))
                return false;

        for (size_t i = 0; i < request->n_members; i++)
                if (!address_is_new(request, i, &request->members[i].address))
                        return false;
        if (!images_are_valid(request))
                return false;
        return !request->has_bridge || address_is_new(request, request->n_members, &request->bridge.address);
}

int worker_request_write(const WorkerRequest *request, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        char list[RESET_METHOD_LIST_STRING_MAX];
        json_object *object;
        int r;

        if (!request_is_valid(request))
                return -EINVAL;

        json_write_unsigned(&writer, "version", WORKER_PROTOCOL_VERSION);
        json_write_text(&writer, "operation", operation_names[request->operation]);
        json_write_unsigned(&writer, "job", request->job);
        json_write_unsigned(&writer, "uid", request->uid);
        if (request->queued_at > 0) {
                json_write_unsigned(&writer, "queued_at", request->queued_at);
                json_write_unsigned(&writer, "started_at", request->started_at);
        }
        json_write_text(&writer, "method", request->method);
        json_write_unsigned(&writer, "settle_usec", request->settle_usec);
        json_write_unsigned(&writer, "retry_usec", request->retry_usec);
        json_write_boolean(&writer, "allow_held", request->allow_held);
        json_write_text(&writer, "driver", driver_names[request->driver]);
        json_write_text(&writer, "slot", request->slot);
        json_write_unsigned(&writer, "n_fds", request->n_fds);
        json_write_boolean(&writer, "owners", request->owners);
        if (request->operation == WORKER_ORDER)
                json_write_text(&writer, "list", reset_method_list_format(&request->list, list));
        if (request->operation == WORKER_HOLD) {
                json_write_text(&writer, "action", action_names[request->action]);
                json_write_text(&writer, "serial", request->serial);
        }
        if (request->machine_stopped)
                json_write_boolean(&writer, "machine_stopped", true);

        r = json_array_write(request->members, request->n_members, sizeof(WorkerMember), write_member,
                             &object);
        if (r < 0)
                return r;
        json_write_value(&writer, "members", object);
        if (request->has_bridge) {
                r = write_member(&request->bridge, &object);
                if (r < 0)
                        return r;
                json_write_value(&writer, "bridge", object);
        }
        if (request->n_images > 0) {
                r = json_array_write(request->images, request->n_images, sizeof(WorkerImage),
                                     worker_image_write, &object);
                if (r < 0)
                        return r;
                json_write_value(&writer, "images", object);
        }

        return json_writer_finish(&writer, ret);
}

static void read_list(JsonReader *reader, ResetMethodList *ret)
{
        char text[RESET_METHOD_LIST_STRING_MAX], again[RESET_METHOD_LIST_STRING_MAX];

        json_read_text_to(reader, "list", text, sizeof(text));
        /* As it is written, and no other way. */
        if (reset_method_list_parse(text, ret) < 0 ||
            strcmp(reset_method_list_format(ret, again), text) != 0)
                json_reader_fail(reader, "list");
}

/* What of a request is objects itself: left to the caller. */
typedef struct Parts {
        json_object *members, *bridge, *images;
} Parts;

static int read_request_fields(json_object *object, WorkerRequest *request, Parts *ret)
{
        JsonReader reader = json_reader_begin(object);

        (void) json_read_unsigned(&reader, "version", WORKER_PROTOCOL_VERSION, WORKER_PROTOCOL_VERSION);
        request->operation = (WorkerOperation) json_read_choice(&reader, "operation", operation_names,
                                                                ELEMENTSOF(operation_names));
        request->job = (uint32_t) json_read_unsigned(&reader, "job", 0, UINT32_MAX);
        request->uid = (uint32_t) json_read_unsigned(&reader, "uid", 0, UINT32_MAX);
        if (json_reader_has(&reader, "queued_at")) {
                request->queued_at = json_read_unsigned(&reader, "queued_at", 1, UINT64_MAX - 1);
                request->started_at = json_read_unsigned(&reader, "started_at", 1, UINT64_MAX - 1);
        }
        json_read_text_to(&reader, "method", request->method, sizeof(request->method));
        request->settle_usec = json_read_unsigned(&reader, "settle_usec", 0, WORKER_SETTLE_MAX_USEC);
        request->retry_usec = json_read_unsigned(&reader, "retry_usec", 0, WORKER_RETRY_MAX_USEC);
        request->allow_held = json_read_boolean(&reader, "allow_held");
        request->driver = (WorkerDriver) json_read_choice(&reader, "driver", driver_names,
                                                          ELEMENTSOF(driver_names));
        json_read_text_to(&reader, "slot", request->slot, sizeof(request->slot));
        request->n_fds = (unsigned) json_read_unsigned(&reader, "n_fds", 0, WORKER_FDS_MAX);
        request->owners = json_read_boolean(&reader, "owners");
        if (request->operation == WORKER_ORDER)
                read_list(&reader, &request->list);
        if (request->operation == WORKER_HOLD) {
                request->action = (WorkerHold) json_read_choice(&reader, "action", action_names,
                                                                ELEMENTSOF(action_names));
                json_read_text_to(&reader, "serial", request->serial, sizeof(request->serial));
        }
        request->machine_stopped = json_reader_has(&reader, "machine_stopped") &&
                                   json_read_boolean(&reader, "machine_stopped");
        ret->members = json_read_array(&reader, "members", 1, WORKER_MEMBERS_MAX);
        request->has_bridge = json_reader_has(&reader, "bridge");
        ret->bridge = request->has_bridge ? json_read_object(&reader, "bridge") : NULL;
        ret->images = json_reader_has(&reader, "images")
                              ? json_read_array(&reader, "images", 1, WORKER_MEMBERS_MAX + 1)
                              : NULL;

        return json_reader_finish(&reader);
}

int worker_request_read(json_object *object, WorkerRequest **ret)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = calloc(1, sizeof(*request));
        Parts parts;
        void *array;
        int r;

        if (!request)
                return -ENOMEM;
        r = read_request_fields(object, request, &parts);
        if (r < 0)
                return r;
        r = json_array_read(parts.members, sizeof(WorkerMember), read_member, &array, &request->n_members);
        request->members = array;
        if (r < 0)
                return r;
        if (parts.bridge) {
                r = read_member(parts.bridge, &request->bridge);
                if (r < 0)
                        return r;
        }
        if (parts.images) {
                r = json_array_read(parts.images, sizeof(WorkerImage), worker_image_read, &array,
                                    &request->n_images);
                request->images = array;
                if (r < 0)
                        return r;
        }
        if (!request_is_valid(request))
                return -EBADMSG;

        *ret = steal_pointer(request);
        return 0;
}

int worker_request_parse(const char *line, size_t length, WorkerRequest **ret)
{
        _cleanup_json_ json_object *object = NULL;
        int r;

        if (length >= WORKER_REQUEST_MAX)
                return -EBADMSG;

        r = json_text_parse(line, length, WORKER_DEPTH_MAX, NULL, &object);
        if (r < 0)
                return r;
        return worker_request_read(object, ret);
}

int worker_request_format(const WorkerRequest *request, char **ret)
{
        _cleanup_json_ json_object *object = NULL;
        int r;

        r = worker_request_write(request, &object);
        if (r < 0)
                return r;
        return json_text_format(object, WORKER_REQUEST_MAX, ret);
}
