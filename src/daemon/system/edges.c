/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Of more than two devices every pair is declared, not a chain: the registry follows edges from one device
 * to the next only through those that are there, and a chain would break where one is not.
 */

#include "daemon/system/edges.h"

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/json.h"
#include "shared/utf8.h"

static int read_address(const PolicyText *text, size_t edge, json_object *devices, size_t device,
                        PciAddress *ret)
{
        json_object *value = json_object_array_get_idx(devices, device);
        const JsonPlace *place = at_element(devices, device);
        char quoted[POLICY_TEXT_QUOTE_MAX];
        const char *address;

        if (!json_object_is_type(value, json_type_string))
                return policy_text_refuse(text, place,
                                          "edges[%zu].devices[%zu] is no text; devices are given by address",
                                          edge, device);
        address = json_object_get_string(value);
        if (pci_address_parse(address, ret) < 0)
                return policy_text_refuse(
                        text, place,
                        "edges[%zu].devices[%zu]: \"%s\" is not the address of a PCI function, which is "
                        "written as in 0000:01:00.0, in lower case",
                        edge, device, utf8_quote(address, quoted, sizeof(quoted)));
        return 0;
}

static int read_devices(const PolicyText *text, size_t edge, json_object *array,
                        PciAddress addresses[static EDGE_DEVICES_MAX])
{
        size_t n = json_object_array_length(array);

        for (size_t i = 0; i < n; i++) {
                int r = read_address(text, edge, array, i, &addresses[i]);

                if (r < 0)
                        return r;
                for (size_t j = 0; j < i; j++)
                        if (pci_address_equal(&addresses[i], &addresses[j]))
                                return policy_text_refuse(
                                        text, at_element(array, i),
                                        "edges[%zu].devices[%zu] is the same device as [%zu]", edge, i, j);
        }
        return 0;
}

static int declare(const PolicyText *text, json_object *edge, const PciAddress *addresses, size_t n,
                   Registry *registry, size_t *n_pairs)
{
        for (size_t i = 1; i < n; i++)
                for (size_t j = 0; j < i; j++) {
                        int r;

                        if (*n_pairs == EDGE_PAIRS_MAX)
                                return policy_text_refuse(
                                        text, at_itself(edge),
                                        "there are more than %u pairs of devices in all edges",
                                        EDGE_PAIRS_MAX);
                        r = registry ? registry_add_edge(registry, &addresses[j], &addresses[i]) : 0;
                        if (r < 0)
                                return r;
                        (*n_pairs)++;
                }
        return 0;
}

/* What an edge has beside its devices, and the devices as a list of the right length. */
static int read_members(const PolicyText *text, size_t index, json_object *edge, json_object **ret_devices)
{
        static const char *const known[] = {"devices", "reason", NULL};
        const char *key = policy_text_unknown_key(edge, known);
        JsonReader reader = json_reader_begin(edge);
        char quoted[POLICY_TEXT_QUOTE_MAX];

        if (key)
                return policy_text_refuse(
                        text, at_key(edge, key),
                        "edges[%zu]: unknown key \"%s\"; an edge has \"devices\" and \"reason\"", index,
                        utf8_quote(key, quoted, sizeof(quoted)));
        *ret_devices = json_read_array(&reader, "devices", 2, EDGE_DEVICES_MAX);
        if (!*ret_devices)
                return policy_text_refuse(text, at_value(edge, "devices"),
                                          "edges[%zu]: \"devices\" must be a list of 2 to %u addresses",
                                          index, EDGE_DEVICES_MAX);
        if (json_reader_has(&reader, "reason"))
                (void) json_read_text(&reader, "reason", EDGE_REASON_MAX);
        if (json_reader_finish(&reader) < 0)
                return policy_text_refuse(
                        text, at_value(edge, "reason"),
                        "edges[%zu]: \"reason\" must be a text of at most %u bytes without control "
                        "characters",
                        index, EDGE_REASON_MAX - 1);
        return 0;
}

int edges_read(const PolicyText *text, json_object *array, Registry *registry, size_t *n_pairs)
{
        if (!json_object_is_type(array, json_type_array))
                return policy_text_refuse(text, at_value(text->root, "edges"), "\"edges\" must be a list");
        for (size_t i = 0; i < json_object_array_length(array); i++) {
                json_object *edge = json_object_array_get_idx(array, i), *devices = NULL;
                PciAddress addresses[EDGE_DEVICES_MAX];
                int r;

                if (!json_object_is_type(edge, json_type_object))
                        return policy_text_refuse(text, at_element(array, i),
                                                  "edges[%zu] is not an object with \"devices\"", i);
                r = read_members(text, i, edge, &devices);
                if (r >= 0)
                        r = read_devices(text, i, devices, addresses);
                if (r >= 0)
                        r = declare(text, edge, addresses, json_object_array_length(devices), registry,
                                    n_pairs);
                if (r < 0)
                        return r;
        }
        return 0;
}
