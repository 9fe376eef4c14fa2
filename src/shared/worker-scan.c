/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shared/worker-scan.h"

#include <string.h>

#include "shared/cleanup.h"
#include "shared/worker-protocol.h"
#include "shared/worker-wire.h"

#define ERRNO_MAX 4095U

DEFINE_CLEANUP(WorkerScan *, worker_scan_free);

WorkerScan *worker_scan_free(WorkerScan *scan)
{
        if (!scan)
                return NULL;
        for (size_t i = 0; scan->uses && i < scan->n_uses; i++)
                free(scan->uses[i].nodes);
        free(scan->uses);
        free(scan->holders);
        free(scan);
        return NULL;
}

static int write_node(const void *element, json_object **ret)
{
        *ret = json_object_new_string(element);
        return *ret ? 0 : -ENOMEM;
}

/* An absolute path without anything that a terminal or a parser could stumble over. */
static int read_node(json_object *object, void *element)
{
        const char *text;
        size_t n;

        if (!json_object_is_type(object, json_type_string))
                return -EBADMSG;
        text = json_object_get_string(object);
        n = (size_t) json_object_get_string_len(object);
        if (n == 0 || n >= WORKER_NODE_MAX || text[0] != '/' || strlen(text) != n || strstr(text, "/../"))
                return -EBADMSG;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char) text[i] <= ' ' || text[i] == 0x7f)
                        return -EBADMSG;
        memcpy(element, text, n + 1);
        return 0;
}

static int write_use(const void *element, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        char address[PCI_ADDRESS_STRING_MAX];
        const WorkerUse *use = element;
        json_object *nodes;
        int r;

        json_write_text(&writer, "device", pci_address_format(&use->device, address));
        json_write_unsigned(&writer, "errno", (uint64_t) use->error);
        json_write_text(&writer, "owner", use->owner);
        if (use->has_vfio_uid)
                json_write_unsigned(&writer, "vfio_uid", use->vfio_uid);
        else
                json_write_null(&writer, "vfio_uid");
        r = json_array_write(use->nodes, use->n_nodes, WORKER_NODE_MAX, write_node, &nodes);
        if (r < 0)
                return r;
        json_write_value(&writer, "nodes", nodes);
        json_write_boolean(&writer, "more_nodes", use->more_nodes);
        json_write_boolean(&writer, "frozen", use->frozen);

        return json_writer_finish(&writer, ret);
}

static int read_use(json_object *object, void *element)
{
        JsonReader reader = json_reader_begin(object);
        WorkerUse *use = element;
        json_object *nodes;
        void *array;
        int r;

        if (pci_address_parse(json_read_text(&reader, "device", PCI_ADDRESS_STRING_MAX), &use->device) < 0)
                json_reader_fail(&reader, "device");
        use->error = (int) json_read_unsigned(&reader, "errno", 0, ERRNO_MAX);
        json_read_text_to(&reader, "owner", use->owner, sizeof(use->owner));
        use->has_vfio_uid = !json_read_null(&reader, "vfio_uid");
        if (use->has_vfio_uid)
                use->vfio_uid = (uint32_t) json_read_unsigned(&reader, "vfio_uid", 0, UINT32_MAX);
        nodes = json_read_array(&reader, "nodes", 0, WORKER_NODES_MAX);
        use->more_nodes = json_read_boolean(&reader, "more_nodes");
        use->frozen = json_read_boolean(&reader, "frozen");

        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        r = json_array_read(nodes, WORKER_NODE_MAX, read_node, &array, &use->n_nodes);
        use->nodes = array;
        return r;
}

static int write_holder(const void *element, json_object **ret)
{
        return holder_write(element, ret);
}

static int read_holder(json_object *object, void *element)
{
        return holder_read(object, element);
}

int worker_scan_write(const WorkerScan *scan, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        json_object *array;
        int r;

        json_write_text(&writer, "event", "scan");
        json_write_unsigned(&writer, "errno", (uint64_t) scan->error);
        json_write_text(&writer, "message", scan->message);
        r = json_array_write(scan->uses, scan->n_uses, sizeof(WorkerUse), write_use, &array);
        if (r < 0)
                return r;
        json_write_value(&writer, "uses", array);
        r = json_array_write(scan->holders, scan->n_holders, sizeof(Holder), write_holder, &array);
        if (r < 0)
                return r;
        json_write_value(&writer, "holders", array);

        return json_writer_finish(&writer, ret);
}

int worker_scan_read(json_object *object, WorkerScan **ret)
{
        static const char *const events[] = {"scan"};
        _cleanup_(cleanup_worker_scan_free) WorkerScan *scan = calloc(1, sizeof(*scan));
        JsonReader reader = json_reader_begin(object);
        json_object *uses, *holders;
        void *array;
        int r;

        if (!scan)
                return -ENOMEM;

        (void) json_read_choice(&reader, "event", events, ELEMENTSOF(events));
        scan->error = (int) json_read_unsigned(&reader, "errno", 0, ERRNO_MAX);
        json_read_text_to(&reader, "message", scan->message, sizeof(scan->message));
        uses = json_read_array(&reader, "uses", 0, WORKER_MEMBERS_MAX);
        holders = json_read_array(&reader, "holders", 0, HOLDERS_MAX);

        r = json_reader_finish(&reader);
        if (r < 0)
                return r;
        r = json_array_read(uses, sizeof(WorkerUse), read_use, &array, &scan->n_uses);
        scan->uses = array;
        if (r < 0)
                return r;
        r = json_array_read(holders, sizeof(Holder), read_holder, &array, &scan->n_holders);
        scan->holders = array;
        if (r < 0)
                return r;

        *ret = steal_pointer(scan);
        return 0;
}
