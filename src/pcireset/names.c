/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Both directions of doubt are the same here: what cannot be translated is shown as it came.
 */

#include "pcireset/names.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "pcireset/bus-names.h"

#define UID_OWNER "uid:"

char *device_path_to_address(const char *path)
{
        char *address = NULL;

        if (sd_bus_object_path_is_valid(path) > 0 && sd_bus_path_decode(path, DEVICE_PATH, &address) > 0)
                return address;
        return strdup(path);
}

char *device_paths_join(json_object *paths)
{
        _cleanup_json_ json_object *addresses = json_object_new_array();

        if (!addresses)
                return NULL;
        for (size_t i = 0; i < json_length(paths); i++) {
                _cleanup_free_ char *address = device_path_to_address(json_get_string_at(paths, i));

                if (!address || json_append(addresses, json_object_new_string(address)) < 0)
                        return NULL;
        }
        return json_join(addresses, ", ");
}

char *uid_to_name(uint64_t uid)
{
        struct passwd *user = uid < UINT32_MAX ? getpwuid((uid_t) uid) : NULL;
        char *name = NULL;

        if (user)
                return strdup(user->pw_name);
        return asprintf(&name, "%" PRIu64, uid) < 0 ? NULL : name;
}

char *owner_to_text(const char *owner)
{
        const char *number = owner + strlen(UID_OWNER);
        unsigned long uid;
        char *end;

        if (strncmp(owner, UID_OWNER, strlen(UID_OWNER)) != 0 || *number < '0' || *number > '9')
                return strdup(owner);
        errno = 0;
        uid = strtoul(number, &end, 10);
        return *end || errno ? strdup(owner) : uid_to_name(uid);
}
