/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The texts are read with shared/json, which refuses what JSON leaves open. json-c does not keep where in a
 * text a value was, so beyond the grammar a message names it by its path, `edges[1].devices[0]`.
 *
 * Of more than two devices every pair is declared, not a chain: the registry follows edges from one device
 * to the next only through those that are there, and a chain would break where one is not.
 */

#include "daemon/system/edges.h"

#include <errno.h>
#include <string.h>

#include "daemon/system/dropins.h"
#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/utf8.h"

/* The file, its edges, an edge, its devices, a device. */
#define DEPTH_MAX 5U
/* As much of a text of the file's as a message quotes. */
#define QUOTE_MAX 48U

typedef struct Loader {
        Registry *registry;
        size_t n_pairs;
} Loader;

/* The file that is being read. */
typedef struct Source {
        const char *path;
        char **message;
} Source;

#define refuse(source, ...) dropin_refuse((source)->message, -EBADMSG, (source)->path, __VA_ARGS__)

/* The first key of the object that is none of `known`, NULL at their end. NULL if there is none. */
static const char *unknown_key(json_object *object, const char *const known[])
{
        json_object_object_foreach(object, key, value)
        {
                size_t i = 0;

                (void) value;
                while (known[i] && strcmp(known[i], key) != 0)
                        i++;
                if (!known[i])
                        return key;
        }
        return NULL;
}

static int read_address(const Source *source, size_t edge, size_t device, json_object *value,
                        PciAddress *ret)
{
        char quoted[QUOTE_MAX];
        const char *text;

        if (!json_object_is_type(value, json_type_string))
                return refuse(source, "edges[%zu].devices[%zu] is no text; devices are given by address",
                              edge, device);
        text = json_object_get_string(value);
        if (pci_address_parse(text, ret) < 0)
                return refuse(
                        source,
                        "edges[%zu].devices[%zu]: \"%s\" is not the address of a PCI function, which is "
                        "written as in 0000:01:00.0, in lower case",
                        edge, device, utf8_quote(text, quoted, sizeof(quoted)));
        return 0;
}

static int read_devices(const Source *source, size_t edge, json_object *array,
                        PciAddress addresses[static EDGE_DEVICES_MAX])
{
        size_t n = json_object_array_length(array);

        for (size_t i = 0; i < n; i++) {
                int r = read_address(source, edge, i, json_object_array_get_idx(array, i), &addresses[i]);

                if (r < 0)
                        return r;
                for (size_t j = 0; j < i; j++)
                        if (pci_address_equal(&addresses[i], &addresses[j]))
                                return refuse(source, "edges[%zu].devices[%zu] is the same device as [%zu]",
                                              edge, i, j);
        }
        return 0;
}

static int declare(const Source *source, Loader *loader, const PciAddress *addresses, size_t n)
{
        for (size_t i = 1; i < n; i++)
                for (size_t j = 0; j < i; j++) {
                        int r;

                        if (loader->n_pairs == EDGE_PAIRS_MAX)
                                return refuse(source, "there are more than %u pairs of devices in all edges",
                                              EDGE_PAIRS_MAX);
                        r = registry_add_edge(loader->registry, &addresses[j], &addresses[i]);
                        if (r < 0)
                                return r;
                        loader->n_pairs++;
                }
        return 0;
}

static int read_edge(const Source *source, Loader *loader, size_t index, json_object *object)
{
        static const char *const known[] = {"devices", "reason", NULL};
        PciAddress addresses[EDGE_DEVICES_MAX];
        JsonReader reader = json_reader_begin(object);
        char quoted[QUOTE_MAX];
        json_object *devices;
        const char *key;
        int r;

        if (reader.error < 0)
                return refuse(source, "edges[%zu] is not an object with \"devices\"", index);
        key = unknown_key(object, known);
        if (key)
                return refuse(source,
                              "edges[%zu]: unknown key \"%s\"; an edge has \"devices\" and \"reason\"",
                              index, utf8_quote(key, quoted, sizeof(quoted)));
        devices = json_read_array(&reader, "devices", 2, EDGE_DEVICES_MAX);
        if (!devices)
                return refuse(source, "edges[%zu]: \"devices\" must be a list of 2 to %u addresses", index,
                              EDGE_DEVICES_MAX);
        if (json_reader_has(&reader, "reason"))
                (void) json_read_text(&reader, "reason", EDGE_REASON_MAX);
        if (json_reader_finish(&reader) < 0)
                return refuse(source,
                              "edges[%zu]: \"reason\" must be a text of at most %u bytes without control "
                              "characters",
                              index, EDGE_REASON_MAX - 1);
        r = read_devices(source, index, devices, addresses);
        if (r < 0)
                return r;
        return declare(source, loader, addresses, json_object_array_length(devices));
}

static int read_policy(const Source *source, Loader *loader, json_object *policy)
{
        static const char *const known[] = {"edges", NULL};
        const char *key = unknown_key(policy, known);
        char quoted[QUOTE_MAX];
        json_object *edges;
        int r = 0;

        if (key)
                return refuse(source, "unknown key \"%s\"; this version knows \"edges\" only",
                              utf8_quote(key, quoted, sizeof(quoted)));
        if (!json_object_object_get_ex(policy, "edges", &edges))
                return 0;
        if (!json_object_is_type(edges, json_type_array))
                return refuse(source, "\"edges\" must be a list");
        for (size_t i = 0; i < json_object_array_length(edges) && r >= 0; i++)
                r = read_edge(source, loader, i, json_object_array_get_idx(edges, i));
        return r;
}

static int read_text(void *userdata, const char *path, const char *text, size_t length, char **ret_message)
{
        const Source source = {.path = path, .message = ret_message};
        _cleanup_json_ json_object *policy = NULL;
        JsonPosition position;
        int r = json_text_parse(text, length, DEPTH_MAX, &position, &policy);

        if (r == -EBADMSG && position.line == 0)
                return refuse(&source, "a key is there twice in one object, or a number is no whole number");
        if (r == -EBADMSG)
                return refuse(
                        &source,
                        "line %zu, column %zu: here the text stops being one JSON object in UTF-8, nested "
                        "at most %u deep",
                        position.line, position.column, DEPTH_MAX);
        if (r < 0)
                return r;
        return read_policy(&source, userdata, policy);
}

int edges_load(const char *const directories[], Registry *registry, char **ret_message)
{
        Loader loader = {.registry = registry};
        int r = dropins_read(directories, read_text, &loader, ret_message);

        return r < 0 ? r : (int) loader.n_pairs;
}
