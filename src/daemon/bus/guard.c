/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The door. A filter sees every method call before any object does and looks for its rule: each member of
 * each interface has one, and what has none is refused, so that nothing can be exported and forgotten. A
 * call that would change something and asks for no reply is dropped before anybody thinks about it: nobody
 * could be told how it ended, and such calls escape the bus daemon's limit on pending replies.
 */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/bus/guard.h"
#include "daemon/bus/path.h"
#include "daemon/bus/tree.h"
#include "daemon/system/journal.h"
#include "shared/cleanup.h"

/* One journal entry about dropped calls in this time. */
#define NOREPLY_REPORT_USEC (UINT64_C(30) * 1000 * 1000)

typedef enum Rule {
        RULE_DENY,
        RULE_READ, /* free for everybody: changes nothing, and what it costs is bounded */
        RULE_CHANGE, /* its handler asks polkit */
} Rule;

static const struct {
        const char *interface;
        const char *member;
        Rule rule;
} rules[] = {
        {MANAGER_IFACE, "ListDevices", RULE_READ},
        {MANAGER_IFACE, "GetDevice", RULE_READ},
        {MANAGER_IFACE, "GetMethods", RULE_READ},
        {MANAGER_IFACE, "Plan", RULE_READ},
        {MANAGER_IFACE, "Reset", RULE_CHANGE},
        {MANAGER_IFACE, "Acquire", RULE_CHANGE},
        {MANAGER_IFACE, "ListLeases", RULE_READ},
        {MANAGER_IFACE, "Inhibit", RULE_CHANGE},
        {MANAGER_IFACE, "ListInhibitors", RULE_READ},
        {MANAGER_IFACE, "ListJobs", RULE_READ},
        {MANAGER_IFACE, "SetPolicy", RULE_CHANGE},
        {MANAGER_IFACE, "UnsetPolicy", RULE_CHANGE},
        {MANAGER_IFACE, "GetPolicy", RULE_READ},
        {MANAGER_IFACE, "ListPolicies", RULE_READ},
        {MANAGER_IFACE, "GetHistory", RULE_READ},
        {MANAGER_IFACE, "ExportHistory", RULE_READ},
        {MANAGER_IFACE, "ImportHistory", RULE_CHANGE},
        {DEVICE_IFACE, "GetMethods", RULE_READ},
        {DEVICE_IFACE, "Plan", RULE_READ},
        {DEVICE_IFACE, "GetHolders", RULE_READ},
        {DEVICE_IFACE, "GetHistory", RULE_READ},
        {DEVICE_IFACE, "GetHealth", RULE_READ}, /* with the option probe its handler asks polkit */
        {DEVICE_IFACE, "Reset", RULE_CHANGE},
        {DEVICE_IFACE, "Recover", RULE_CHANGE},
        {DEVICE_IFACE, "SetPolicy", RULE_CHANGE},
        {DEVICE_IFACE, "GetPolicy", RULE_READ},
        {DEVICE_IFACE, "Quarantine", RULE_CHANGE},
        {DEVICE_IFACE, "ReleaseQuarantine", RULE_CHANGE},
        {JOB_IFACE, "Cancel", RULE_CHANGE},
        {"org.freedesktop.DBus.Properties", "Get", RULE_READ},
        {"org.freedesktop.DBus.Properties", "GetAll", RULE_READ},
        {"org.freedesktop.DBus.Properties", "Set", RULE_CHANGE}, /* and then refused: none is writable */
        {"org.freedesktop.DBus.ObjectManager", "GetManagedObjects", RULE_READ},
        {"org.freedesktop.DBus.Introspectable", "Introspect", RULE_READ},
        {"org.freedesktop.DBus.Peer", "Ping", RULE_READ},
        {"org.freedesktop.DBus.Peer", "GetMachineId", RULE_READ},
};

static Rule find_rule(const char *interface, const char *member)
{
        for (size_t i = 0; i < ELEMENTSOF(rules); i++)
                if (strcmp(rules[i].member, member) == 0 && strcmp(rules[i].interface, interface) == 0)
                        return rules[i].rule;
        return RULE_DENY;
}

static void report_noreply(Bus *bus, sd_bus_message *message)
{
        uint64_t now;

        if (sd_event_now(bus->event, CLOCK_MONOTONIC, &now) < 0)
                return;
        if (bus->noreply_reported_usec != 0 && now - bus->noreply_reported_usec < NOREPLY_REPORT_USEC) {
                bus->n_noreply_suppressed++;
                return;
        }
        journal_noreply(sd_bus_message_get_sender(message), sd_bus_message_get_member(message),
                        bus->n_noreply_suppressed);
        bus->noreply_reported_usec = now;
        bus->n_noreply_suppressed = 0;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        const char *interface, *member;
        Bus *bus = userdata;
        Rule rule;
        uint8_t type;

        if (sd_bus_message_get_type(message, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL)
                return 0;

        interface = sd_bus_message_get_interface(message);
        member = sd_bus_message_get_member(message);
        /* D-Bus lets callers leave the interface out, but then which rule holds would be a guess. */
        rule = interface && member ? find_rule(interface, member) : RULE_DENY;

        if (rule != RULE_READ && !sd_bus_message_get_expect_reply(message)) {
                report_noreply(bus, message);
                return 1;
        }
        if (rule == RULE_DENY) {
                (void) sd_bus_reply_method_errorf(
                        message, SD_BUS_ERROR_UNKNOWN_METHOD, "There is no method %s.%s here.",
                        interface ? interface : "(none)", member ? member : "(none)");
                return 1;
        }
        return tree_take_call(bus, message, error);
}

int guard_install(Bus *bus)
{
        return sd_bus_add_filter(bus->bus, NULL, on_message, bus);
}
