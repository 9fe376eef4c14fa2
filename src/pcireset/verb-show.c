/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `show`: everything about one device on one page. The properties come in one call, so they belong together;
 * the methods are read live by the daemon in a second one.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pcireset/error-text.h"
#include "pcireset/names.h"
#include "pcireset/terminal.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"
#include "pcireset/words.h"

#define LABEL_WIDTH 18

/* One line; `fallback` stands in for an empty text, NULL leaves the line out. */
static int print_field(const char *label, const char *text, const char *fallback)
{
        if (!*text && !fallback)
                return 0;
        return text_print_line(stdout, "%*s: %s", LABEL_WIDTH, label, *text ? text : fallback);
}

static int print_path_field(const char *label, const char *path, const char *fallback)
{
        _cleanup_free_ char *address = NULL;

        if (!*path || strcmp(path, "/") == 0)
                return print_field(label, "", fallback);
        address = device_path_to_address(path);
        return address ? print_field(label, address, fallback) : -ENOMEM;
}

static int print_identity(json_object *properties)
{
        const char *vendor = json_get_string(properties, "VendorName"),
                   *name = json_get_string(properties, "DeviceName");
        int r;

        r = text_print_line(stdout, "%s%s%s%s%s", json_get_string(properties, "Address"), *vendor ? " " : "",
                            vendor, *name ? " " : "", name);
        if (r < 0)
                return r;
        return text_print_line(stdout,
                               "%*s: %04" PRIx64 ":%04" PRIx64 ", subsystem %04" PRIx64 ":%04" PRIx64
                               ", class %06" PRIx64 ", revision %02" PRIx64,
                               LABEL_WIDTH, "Ids", json_get_unsigned(properties, "VendorId"),
                               json_get_unsigned(properties, "DeviceId"),
                               json_get_unsigned(properties, "SubsystemVendorId"),
                               json_get_unsigned(properties, "SubsystemDeviceId"),
                               json_get_unsigned(properties, "Class"),
                               json_get_unsigned(properties, "Revision"));
}

static int print_owner(json_object *properties)
{
        _cleanup_free_ char *owner = owner_to_text(json_get_string(properties, "Owner"));

        return owner ? print_field("Owner", owner, "nobody known") : -ENOMEM;
}

/* Nothing if the daemon does not tell. */
static int print_in_use(json_object *properties)
{
        json_object *in_use;

        if (!json_object_object_get_ex(properties, "InUse", &in_use) ||
            !json_object_is_type(in_use, json_type_boolean))
                return 0;
        if (!json_object_get_boolean(in_use))
                return print_field("In use", "no", NULL);
        return text_print_line(stdout, "%*s: yes, see `pcireset holders %s`", LABEL_WIDTH, "In use",
                               json_get_string(properties, "Address"));
}

/* `flr (usable), bus (siblings)`: the details are for `methods`. */
static int print_methods(json_object *methods)
{
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);
        int r;

        if (!stream)
                return -ENOMEM;
        for (size_t i = 0; i < json_length(methods); i++) {
                json_object *method = json_object_array_get_idx(methods, i);
                _cleanup_free_ char *why = json_join(json_get_array(method, "why"), " ");

                (void) fprintf(stream, "%s%s (%s)", i > 0 ? ", " : "", json_get_string(method, "name"),
                               json_get_bool(method, "usable") ? "usable"
                               : why && *why                   ? why
                                                               : "not usable");
        }
        r = fclose(stream) == 0 ? print_field("Methods", text, "none") : -ENOMEM;
        free(text);
        return r;
}

/* What the checks of the reset that left it so have found. */
static int print_failed_checks(json_object *checks)
{
        int r = 0;

        for (size_t i = 0; i < json_length(checks) && r >= 0; i++) {
                json_object *check = json_object_array_get_idx(checks, i);

                if (strcmp(json_get_string(check, "result"), "failed") == 0)
                        r = text_print_line(stdout, "%*s  %s was '%s' and is '%s'", LABEL_WIDTH, "",
                                            json_get_string(check, "check"),
                                            json_get_string(check, "before"),
                                            json_get_string(check, "after"));
        }
        return r;
}

static int print_quarantine(json_object *quarantine)
{
        char since[TEXT_TIME_MAX];
        int r;

        if (!quarantine || json_object_object_length(quarantine) == 0)
                return 0;
        r = text_print_line(stdout, "%*s: %s: %s (since %s)", LABEL_WIDTH, "Quarantine",
                            json_get_string(quarantine, "cause"), json_get_string(quarantine, "reason"),
                            text_time(json_get_unsigned(quarantine, "since"), since));
        return r < 0 ? r : print_failed_checks(json_get_array(quarantine, "checks"));
}

static int print_last_reset(json_object *last)
{
        char took[TEXT_DURATION_MAX], finished[TEXT_TIME_MAX];

        if (!last || json_object_object_length(last) == 0)
                return print_field("Last reset", "", "none that the daemon knows of");
        return text_print_line(stdout, "%*s: by %s in %s, verified: %s (%s, job %" PRIu64 ")", LABEL_WIDTH,
                               "Last reset", json_get_string(last, "method"),
                               text_duration(json_get_unsigned(last, "duration_usec"), took),
                               json_get_string(last, "verdict"),
                               text_time(json_get_unsigned(last, "finished_at"), finished),
                               json_get_unsigned(last, "job"));
}

static int print_device(json_object *properties, json_object *methods)
{
        int r;

        r = print_identity(properties);
        if (r >= 0)
                r = print_field("Driver", json_get_string(properties, "Driver"), "none");
        if (r >= 0)
                r = print_path_field("Parent", json_get_string(properties, "Parent"),
                                     "none, it is on a root bus");
        if (r >= 0)
                r = print_path_field("Physical function", json_get_string(properties, "PhysicalFunction"),
                                     NULL);
        if (r >= 0)
                r = print_field("IOMMU group", json_get_string(properties, "IommuGroup"), "none");
        if (r >= 0)
                r = print_field("State", json_get_string(properties, "State"), "unknown");
        if (r >= 0)
                r = print_quarantine(json_get_dict(properties, "Quarantine"));
        if (r >= 0)
                r = print_field("Error state", json_get_string(properties, "ErrorState"), NULL);
        if (r >= 0)
                r = print_field("Cleanliness", json_get_string(properties, "Cleanliness"), "unknown");
        if (r >= 0)
                r = print_owner(properties);
        if (r >= 0)
                r = print_field("Lease", json_get_string(properties, "Lease"), "none");
        if (r >= 0)
                r = print_in_use(properties);
        if (r >= 0)
                r = print_methods(methods);
        if (r >= 0)
                r = print_last_reset(json_get_dict(properties, "LastReset"));
        return r;
}

static int print_json(const char *path, json_object *properties, json_object *methods)
{
        _cleanup_json_ json_object *document = json_object_new_object();
        int r;

        if (!document)
                return -ENOMEM;
        r = json_add(document, "path", json_object_new_string(path));
        if (r >= 0)
                r = json_add(document, "properties", json_object_get(properties));
        if (r >= 0)
                r = json_add(document, "methods", json_object_get(methods));
        return r < 0 ? r : json_print(stdout, document, false);
}

int verb_show(Client *client, char **arguments)
{
        _cleanup_json_ json_object *properties = NULL, *methods = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = client_get_device(client, &path, NULL);
        if (r != EXIT_OK)
                return r;
        r = client_get_properties(client, path, &properties);
        if (r != EXIT_OK)
                return r;
        r = client_get_methods(client, &methods);
        if (r != EXIT_OK)
                return r;

        return client->json ? print_json(path, properties, methods) : print_device(properties, methods);
}
