/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * org.pciresetd1.Device: one object for each function, found in the registry when it is called. Getters
 * touch no hardware; Methods is the only one that reads sysfs, and is left out of GetAll and of the object
 * tree.
 */

#include <errno.h>
#include <string.h>

#include "daemon/bus/bus.h"
#include "daemon/bus/calls.h"
#include "daemon/bus/holders.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/objects.h"
#include "daemon/bus/path.h"
#include "daemon/bus/tree.h"
#include "daemon/domain/cleanliness.h"
#include "daemon/system/sysfs.h"
#include "shared/cleanup.h"

static int find(sd_bus *connection, const char *path, const char *interface, void *userdata, void **ret,
                sd_bus_error *error)
{
        _cleanup_free_ char *label = NULL;
        char canonical[OBJECT_PATH_MAX];
        Bus *bus = userdata;
        PciAddress address;
        int r;

        r = sd_bus_path_decode(path, DEVICE_PREFIX, &label);
        if (r <= 0)
                return r;
        if (pci_address_parse(label, &address) < 0)
                return 0;
        /* A device has one path, though other escapes would decode to the same address. */
        if (strcmp(device_path(&address, canonical), path) != 0)
                return 0;
        *ret = registry_find(bus->registry, &address);
        return *ret ? 1 : 0;
}

static void free_strv(char **list)
{
        for (char **p = list; p && *p; p++)
                free(*p);
        free(list);
}

static int enumerate(sd_bus *connection, const char *prefix, void *userdata, char ***ret,
                     sd_bus_error *error)
{
        Bus *bus = userdata;
        char **nodes = calloc(registry_count(bus->registry) + 1, sizeof(char *));
        char path[OBJECT_PATH_MAX];
        size_t n = 0;

        if (!nodes)
                return -ENOMEM;
        for (Device *d = registry_next(bus->registry, NULL); d; d = registry_next(bus->registry, d)) {
                nodes[n] = strdup(device_path(&d->facts.address, path));
                if (!nodes[n++]) {
                        free_strv(nodes);
                        return -ENOMEM;
                }
        }
        *ret = nodes;
        return 0;
}

/* The finder's result is what handlers get as userdata; the bus layer itself hangs on the slot. */
static Bus *bus_of(sd_bus_message *message)
{
        return sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(message)));
}

static int get_methods(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_get_methods(bus_of(message), message, userdata, error);
}

static int plan(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_plan(bus_of(message), message, userdata, error);
}

static int get_holders(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_get_holders(bus_of(message), message, userdata, error);
}

static int get_health(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_get_health(bus_of(message), message, userdata, error);
}

static int reset(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_reset(bus_of(message), message, userdata, error);
}

static int recover(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_recover(bus_of(message), message, userdata, error);
}

static int set_policy(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_set_device_policy(bus_of(message), message, userdata, error);
}

static int get_policy(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_get_policy(bus_of(message), message, userdata, error);
}

static int get_history(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_get_history(bus_of(message), message, userdata, error);
}

static int quarantine(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_quarantine(bus_of(message), message, userdata, error);
}

static int release_quarantine(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        return handle_release_quarantine(bus_of(message), message, userdata, error);
}

#define GETTER(name)                                                                                        \
        static int name(sd_bus *connection, const char *path, const char *interface, const char *property,  \
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(get_address)
{
        const Device *device = userdata;
        char address[PCI_ADDRESS_STRING_MAX];

        return sd_bus_message_append(reply, "s", pci_address_format(&device->facts.address, address));
}

static int append_name(sd_bus_message *reply, const Bus *bus, const char *property, const Device *device)
{
        const char *name = property[0] == 'V'
                                   ? names_vendor(bus->names, device->facts.vendor)
                                   : names_device(bus->names, device->facts.vendor, device->facts.device);

        return sd_bus_message_append_basic(reply, 's', name);
}

GETTER(get_name)
{
        return append_name(reply, sd_bus_slot_get_userdata(sd_bus_get_current_slot(connection)), property,
                           userdata);
}

/* Text that lies in the Device itself, at the offset given in the vtable. */
GETTER(get_text)
{
        return sd_bus_message_append(reply, "s", (const char *) userdata);
}

static int append_path(sd_bus_message *reply, const Device *device)
{
        char path[OBJECT_PATH_MAX];

        return sd_bus_message_append(reply, "o", device ? device_path(&device->facts.address, path) : "/");
}

GETTER(get_parent)
{
        return append_path(reply, ((const Device *) userdata)->parent);
}

GETTER(get_physfn)
{
        return append_path(reply, ((const Device *) userdata)->physfn);
}

GETTER(get_method_names)
{
        Device *device = userdata;
        int r;

        r = sysfs_refresh(device);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; i < device->live.methods.n && r >= 0; i++)
                r = sd_bus_message_append(reply, "s", device->live.methods.names[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_state)
{
        return sd_bus_message_append(reply, "s", device_state_to_string(device_state(userdata)));
}

GETTER(get_cleanliness)
{
        return sd_bus_message_append(reply, "s",
                                     cleanliness_to_string(((const Device *) userdata)->cleanliness));
}

GETTER(get_owner)
{
        char owner[OWNER_TEXT_MAX];

        return sd_bus_message_append(reply, "s", device_owner(userdata, owner));
}

GETTER(get_lease)
{
        const Claim *lease = ((const Device *) userdata)->lease;

        return sd_bus_message_append(reply, "s", lease ? lease->record.id : "");
}

GETTER(get_in_use)
{
        return sd_bus_message_append(reply, "b", (int) device_is_in_use(userdata));
}

GETTER(get_last_reset)
{
        return append_last_reset(reply, &((const Device *) userdata)->last_reset);
}

GETTER(get_quarantine)
{
        return append_quarantine(reply, userdata);
}

GETTER(get_error_state)
{
        return sd_bus_message_append(reply, "s",
                                     error_state_to_string(((const Device *) userdata)->error_state));
}

#define CONST   SD_BUS_VTABLE_PROPERTY_CONST
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable device_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("GetMethods", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(sa{sv})", methods), get_methods,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Plan", SD_BUS_ARGS("s", method, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", plan), plan, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetHolders", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("aa{sv}", holders), get_holders, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetHealth", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", health),
                                get_health, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reset", SD_BUS_ARGS("s", method, "a{sv}", options),
                                SD_BUS_RESULT("a{sv}", result), reset, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Recover", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", result),
                                recover, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetPolicy", SD_BUS_ARGS("a{sv}", settings, "a{sv}", options),
                                SD_BUS_RESULT("s", id), set_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetPolicy", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", policy),
                                get_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetHistory", SD_BUS_ARGS("a{sv}", filter), SD_BUS_RESULT("aa{sv}", rows),
                                get_history, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Quarantine", SD_BUS_ARGS("s", reason, "a{sv}", options), SD_BUS_NO_RESULT,
                                quarantine, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ReleaseQuarantine", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                release_quarantine, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Address", "s", get_address, 0, CONST),
        SD_BUS_PROPERTY("VendorId", "q", NULL, offsetof(Device, facts.vendor), CONST),
        SD_BUS_PROPERTY("DeviceId", "q", NULL, offsetof(Device, facts.device), CONST),
        SD_BUS_PROPERTY("SubsystemVendorId", "q", NULL, offsetof(Device, facts.subsystem_vendor), CONST),
        SD_BUS_PROPERTY("SubsystemDeviceId", "q", NULL, offsetof(Device, facts.subsystem_device), CONST),
        SD_BUS_PROPERTY("Class", "u", NULL, offsetof(Device, facts.class), CONST),
        SD_BUS_PROPERTY("Revision", "y", NULL, offsetof(Device, facts.revision), CONST),
        SD_BUS_PROPERTY("VendorName", "s", get_name, 0, CONST),
        SD_BUS_PROPERTY("DeviceName", "s", get_name, 0, CONST),
        SD_BUS_PROPERTY("Driver", "s", get_text, offsetof(Device, facts.driver), CHANGES),
        SD_BUS_PROPERTY("IommuGroup", "s", get_text, offsetof(Device, facts.iommu_group), CHANGES),
        SD_BUS_PROPERTY("Parent", "o", get_parent, 0, CONST),
        SD_BUS_PROPERTY("PhysicalFunction", "o", get_physfn, 0, CHANGES),
        SD_BUS_PROPERTY("Methods", "as", get_method_names, 0, SD_BUS_VTABLE_PROPERTY_EXPLICIT),
        SD_BUS_PROPERTY("State", "s", get_state, 0, CHANGES),
        SD_BUS_PROPERTY("Quarantine", "a{sv}", get_quarantine, 0, CHANGES),
        SD_BUS_PROPERTY("Cleanliness", "s", get_cleanliness, 0, CHANGES),
        SD_BUS_PROPERTY("Owner", "s", get_owner, 0, CHANGES),
        SD_BUS_PROPERTY("Lease", "s", get_lease, 0, CHANGES),
        SD_BUS_PROPERTY("InUse", "b", get_in_use, 0, CHANGES),
        SD_BUS_PROPERTY("LastReset", "a{sv}", get_last_reset, 0, CHANGES),
        SD_BUS_PROPERTY("Generation", "t", NULL, offsetof(Device, generation), CONST),
        SD_BUS_PROPERTY("ErrorState", "s", get_error_state, 0, CHANGES),
        SD_BUS_VTABLE_END,
};

/* What its getter finds through the slot, which there is only while libsystemd asks. */
static int append_special(Bus *bus, const char *property, sd_bus_message *reply, void *object)
{
        int r;

        if (strcmp(property, "VendorName") != 0 && strcmp(property, "DeviceName") != 0)
                return 0;
        r = append_name(reply, bus, property, object);
        return r < 0 ? r : 1;
}

int device_append(Bus *bus, sd_bus_message *reply, Device *device)
{
        char path[OBJECT_PATH_MAX];

        return tree_append_object(bus, reply, device_path(&device->facts.address, path), DEVICE_IFACE,
                                  device_vtable, append_special, device);
}

int device_export(Bus *bus)
{
        int r;

        r = sd_bus_add_fallback_vtable(bus->bus, NULL, DEVICE_PREFIX, DEVICE_IFACE, device_vtable, find,
                                       bus);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(bus->bus, NULL, DEVICE_PREFIX, enumerate, bus);
}

static void on_changed(void *userdata, Device *device, unsigned changes)
{
        static const struct {
                unsigned change; /* of DeviceChange */
                const char *property;
        } properties[] = {
                {DEVICE_CHANGED_DRIVER, "Driver"},
                {DEVICE_CHANGED_STATE, "State"},
                {DEVICE_CHANGED_QUARANTINE, "Quarantine"},
                {DEVICE_CHANGED_CLEANLINESS, "Cleanliness"},
                {DEVICE_CHANGED_LAST_RESET, "LastReset"},
                {DEVICE_CHANGED_ERROR_STATE, "ErrorState"},
                {DEVICE_CHANGED_IOMMU_GROUP, "IommuGroup"},
                {DEVICE_CHANGED_PHYSFN, "PhysicalFunction"},
                {DEVICE_CHANGED_USE, "InUse"},
                {DEVICE_CHANGED_CLAIMS, "Lease"},
                /* A look may find another guest or user, and with the driver goes what it found. */
                {DEVICE_CHANGED_OWNER | DEVICE_CHANGED_CLAIMS | DEVICE_CHANGED_USE | DEVICE_CHANGED_DRIVER,
                 "Owner"},
        };
        char *names[ELEMENTSOF(properties) + 1] = {};
        Bus *bus = userdata;
        char path[OBJECT_PATH_MAX];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                if (changes & properties[i].change)
                        names[n++] = (char *) properties[i].property;
        tree_note(bus, device);
        (void) sd_bus_emit_properties_changed_strv(bus->bus, device_path(&device->facts.address, path),
                                                   DEVICE_IFACE, names);
}

static void on_added(void *userdata, Device *device)
{
        Bus *bus = userdata;
        char path[OBJECT_PATH_MAX];

        tree_note(bus, device);
        (void) sd_bus_emit_interfaces_added(bus->bus, device_path(&device->facts.address, path),
                                            DEVICE_IFACE, NULL);
}

static void on_removed(void *userdata, Device *device)
{
        Bus *bus = userdata;
        char path[OBJECT_PATH_MAX];

        tree_note(bus, device);
        (void) sd_bus_emit_interfaces_removed(bus->bus, device_path(&device->facts.address, path),
                                              DEVICE_IFACE, NULL);
}

RegistryListener bus_registry_listener(Bus *bus)
{
        return (RegistryListener){
                .added = on_added, .removed = on_removed, .changed = on_changed, .userdata = bus};
}
