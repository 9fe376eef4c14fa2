/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * GetMethods, and how a plan is told: what could be done. Nothing here changes anything or asks the
 * hardware. Who uses the devices is taken as it is known; Plan has it looked up first (look.c).
 */

#include <errno.h>
#include <string.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/holders.h"
#include "daemon/bus/job-facts.h"
#include "daemon/bus/message.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/system/sysfs.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

DEFINE_CLEANUP(Plan *, plan_free);
DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);

/* Which methods the others have is not asked. */
static int refresh(void *userdata, Device *device)
{
        return device == userdata ? sysfs_refresh(device) : sysfs_refresh_use(device);
}

int refresh_concerned(Device *device, sd_bus_error *error)
{
        char address[PCI_ADDRESS_STRING_MAX];
        int r = plan_for_each_concerned(device, refresh, device);

        if (r >= 0)
                return 0;
        pci_address_format(&device->facts.address, address);
        if (r == -ENODEV)
                return sd_bus_error_setf(error, BUS_ERROR_PREFIX "DeviceGone",
                                         "%s: the device has just been removed.", address);
        return sd_bus_error_set_errnof(error, -r, "%s: its facts cannot be read from sysfs: %s", address,
                                       strerror(-r));
}

/* One entry of an a{sv} that holds an array of strings, from a set of bits. */
static int append_codes(sd_bus_message *message, const char *key, unsigned bits,
                        const char *(*next)(unsigned bits, unsigned *cursor))
{
        const char *code;
        unsigned cursor = 0;
        int r;

        r = open_array_entry(message, key, "s");
        while (r >= 0 && (code = next(bits, &cursor)))
                r = sd_bus_message_append_basic(message, 's', code);
        return r < 0 ? r : close_array_entry(message);
}

/* Which rule is behind it, and what is known of the method and where that can be read. */
static int append_policy(sd_bus_message *message, const Rung *rung)
{
        const PolicyKnown *known = rung->finding ? rung->finding->known : NULL;
        char rule[POLICY_RULE_TEXT_MAX];
        int r;

        r = append_basic_entry(message, "rule", 's', policy_rule_text(rung->rule, rule));
        if (r >= 0)
                r = append_basic_entry(message, "known", 's', !known ? "" : known->bad ? "bad" : "good");
        return r < 0 ? r : append_basic_entry(message, "source", 's', known ? known->source : "");
}

static int append_proven(sd_bus_message *message, const Bus *bus, const Device *device, const char *method)
{
        ProvenFacts proven = proven_get(bus->proven, device->facts.vendor, device->facts.device, method);
        int failing = proven_is_failing(&proven), r;

        r = open_array_entry(message, "proven", "{sv}");
        if (r >= 0)
                r = append_basic_entry(message, "tries", 't', &proven.tries);
        if (r >= 0)
                r = append_basic_entry(message, "ok", 't', &proven.ok);
        if (r >= 0)
                r = append_basic_entry(message, "dead", 't', &proven.dead);
        if (r >= 0)
                r = append_basic_entry(message, "median_usec", 't', &proven.median_usec);
        if (r >= 0)
                r = append_basic_entry(message, "failing", 'b', &failing);
        return r < 0 ? r : close_array_entry(message);
}

static int append_judgement(sd_bus_message *message, const Rung *rung)
{
        int advertised = !(rung->why & WHY_NOT_ADVERTISED), usable = rung->why == 0,
            enabled = rung->scope != RESET_SCOPE_UNKNOWN && !(rung->why & WHY_POLICY_MASK);
        int r;

        r = append_basic_entry(message, "scope", 's', reset_scope_to_string(rung->scope));
        if (r >= 0)
                r = append_basic_entry(message, "advertised", 'b', &advertised);
        if (r >= 0)
                r = append_basic_entry(message, "enabled", 'b', &enabled);
        if (r >= 0)
                r = append_basic_entry(message, "usable", 'b', &usable);
        if (r >= 0)
                r = append_codes(message, "why", rung->why, why_next);
        return r < 0 ? r : append_codes(message, "left_out", rung->left_out, why_next);
}

static int append_method(sd_bus_message *message, const Bus *bus, const Device *device, const Rung *rung)
{
        int r;

        r = sd_bus_message_open_container(message, 'r', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_append_basic(message, 's', rung->method);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0)
                r = append_judgement(message, rung);
        if (r >= 0)
                r = append_policy(message, rung);
        if (r >= 0)
                r = append_proven(message, bus, device, rung->method);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_method_named(sd_bus_message *message, Bus *bus, Device *device, const char *name,
                               const PlanOptions *options)
{
        _cleanup_(cleanup_plan_free) Plan *plan = NULL;
        int r = plan_make(device, name, options, &plan);

        return r < 0 ? r : append_method(message, bus, device, &plan->rungs[0]);
}

int append_methods(sd_bus_message *message, Bus *bus, Device *device, const PlanOptions *options)
{
        const char *own[PLAN_OWN_METHODS_MAX];
        size_t n_own = plan_own_methods(device, own);
        int r = sd_bus_message_open_container(message, 'a', "(sa{sv})");

        /* Each by its name: an alias would leave out those of unknown scope. */
        for (size_t i = 0; i < device->live.methods.n && r >= 0; i++)
                r = append_method_named(message, bus, device, device->live.methods.names[i], options);
        for (size_t i = 0; i < n_own && r >= 0; i++)
                r = append_method_named(message, bus, device, own[i], options);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_set(sd_bus_message *message, const Rung *rung)
{
        char path[OBJECT_PATH_MAX];
        int r;

        r = open_array_entry(message, "reset_set", "o");
        for (size_t i = 0; i < rung->n_set && r >= 0; i++)
                r = sd_bus_message_append(message, "o", device_path(&rung->set[i]->facts.address, path));
        return r < 0 ? r : close_array_entry(message);
}

static int append_set_holders(sd_bus_message *message, const Rung *rung, uint32_t viewer_uid)
{
        int r;

        r = open_array_entry(message, "holders", "a{sv}");
        for (size_t i = 0; i < rung->n_set && r >= 0; i++)
                r = append_holders(message, rung->set[i]->use.holders, rung->set[i]->use.n_holders,
                                   viewer_uid);
        return r < 0 ? r : close_array_entry(message);
}

/* Of the members that have one. */
static int append_owners(sd_bus_message *message, const Rung *rung)
{
        char owner[OWNER_TEXT_MAX];
        int r;

        r = open_array_entry(message, "owners", "a{sv}");
        for (size_t i = 0; i < rung->n_set && r >= 0; i++)
                if (device_owner(rung->set[i], owner)[0] != '\0')
                        r = append_owner(message, rung->set[i]);
        return r < 0 ? r : close_array_entry(message);
}

/* Host drivers without reset callbacks find their device blank and do not know why. */
static int append_lost(sd_bus_message *message, const Rung *rung)
{
        int r;

        r = open_array_entry(message, "lost", "s");
        for (size_t i = 0; i < rung->n_set && r >= 0; i++) {
                const DeviceFacts *facts = &rung->set[i]->facts;
                char address[PCI_ADDRESS_STRING_MAX], text[PCI_ADDRESS_STRING_MAX + DRIVER_NAME_MAX + 1];

                if (!plan_member_loses(rung->set[i]))
                        continue;
                (void) snprintf(text, sizeof(text), "%s %s", pci_address_format(&facts->address, address),
                                facts->driver);
                r = sd_bus_message_append(message, "s", text);
        }
        return r < 0 ? r : close_array_entry(message);
}

/* What it has taken so far on this hardware, else what the kernel's own waits add up to. */
static uint64_t expected_usec(const Bus *bus, const Rung *rung)
{
        const DeviceFacts *target = &rung->set[0]->facts;
        ProvenFacts proven = proven_get(bus->proven, target->vendor, target->device, rung->method);

        return proven.median_usec > 0 ? proven.median_usec : rung->expected_usec;
}

static int append_rung(sd_bus_message *message, const Bus *bus, const Rung *rung, uint32_t viewer_uid)
{
        int r = sd_bus_message_open_container(message, 'a', "{sv}");

        if (r >= 0)
                r = append_entry(message, "method", "s", rung->method);
        if (r >= 0)
                r = append_entry(message, "scope", "s", reset_scope_to_string(rung->scope));
        if (r >= 0)
                r = append_entry(message, "usable", "b", rung->why == 0);
        if (r >= 0)
                r = append_entry(message, "expected_usec", "t", expected_usec(bus, rung));
        if (r >= 0)
                r = append_set(message, rung);
        if (r >= 0)
                r = append_set_holders(message, rung, viewer_uid);
        if (r >= 0)
                r = append_owners(message, rung);
        if (r >= 0)
                r = append_codes(message, "why", rung->why, why_next);
        if (r >= 0)
                r = append_policy(message, rung);
        if (r >= 0)
                r = append_codes(message, "busy", rung->busy, why_next);
        if (r >= 0)
                r = append_codes(message, "actions", rung->actions, action_next);
        if (r >= 0)
                r = append_lost(message, rung);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int append_plan(sd_bus_message *message, const Bus *bus, const Plan *plan, uint32_t viewer_uid)
{
        char rule[POLICY_RULE_TEXT_MAX];
        int r;

        r = sd_bus_message_open_container(message, 'a', "{sv}");
        if (r >= 0)
                r = open_array_entry(message, "rungs", "a{sv}");
        for (size_t i = 0; i < plan->n_rungs && r >= 0; i++)
                r = append_rung(message, bus, &plan->rungs[i], viewer_uid);
        if (r >= 0)
                r = close_array_entry(message);
        if (r >= 0)
                r = append_entry(message, "workaround", "s", policy_rule_text(plan->workaround, rule));
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int invalid_method(sd_bus_error *error, const PciAddress *address, const char *method)
{
        char text[PCI_ADDRESS_STRING_MAX], quoted[QUOTED_MAX];

        return sd_bus_error_setf(error, BUS_ERROR_PREFIX "InvalidMethod", "%s: '%s' " INVALID_METHOD_TEXT,
                                 pci_address_format(address, text),
                                 utf8_quote(method, quoted, sizeof(quoted)));
}
