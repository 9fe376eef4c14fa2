/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * SetPolicy and UnsetPolicy: polkit decides, then the change waits for the disk, and the reply says that it
 * holds. GetPolicy and ListPolicies tell what does.
 *
 * A caller that leaves once polkit has said yes takes nothing back: the change goes on.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/bus/calls.h"
#include "daemon/bus/details.h"
#include "daemon/bus/find-device.h"
#include "daemon/bus/options.h"
#include "daemon/bus/path.h"
#include "daemon/bus/pending.h"
#include "daemon/bus/policy-facts.h"
#include "daemon/bus/policy-settings.h"
#include "daemon/system/journal.h"
#include "daemon/system/policy-write.h"
#include "shared/cleanup.h"
#include "shared/utf8.h"

#define ACTION_SET_POLICY ACTION_PREFIX "set-policy"
#define DETAILS           (DEVICE_DETAILS + 5U)

typedef struct PolicyCall {
        PendingCall pending;
        PolicyRule rule; /* to set */
        bool unsets, runtime;
        char id[POLICY_ID_MAX]; /* to take away, */
        char *asked; /* and what polkit was told of that rule */
        PolicyChange *change; /* under way */
} PolicyCall;

DEFINE_CLEANUP(sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(Policy *, policy_free);

static void release(PendingCall *pending)
{
        PolicyCall *call = (PolicyCall *) pending;

        call->change = policy_change_forget(call->change);
        policy_rule_done(&call->rule);
        free(call->asked);
}

/* ---- the end ---- */

static int no_such_rule(sd_bus_error *error, const Bus *bus, const char *id)
{
        const Policy *policy = registry_policy(bus->registry);
        char quoted[QUOTED_MAX];

        utf8_quote(id, quoted, sizeof(quoted));
        for (size_t i = 0; i < policy_n_rules(policy); i++)
                if (strcmp(policy_rule(policy, i)->id, id) == 0)
                        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                                 "Rule '%s' is in the file %s, and is changed there.",
                                                 quoted, policy_rule(policy, i)->file);
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "There is no rule '%s' (any more). ListPolicies tells which there are.",
                                 quoted);
}

static int explain(sd_bus_error *error, const PolicyCall *call, const PolicyOutcome *outcome)
{
        if (outcome->error == -ENOENT && call->unsets)
                return no_such_rule(error, call->pending.bus, call->id);
        if (outcome->error == -E2BIG || outcome->error == -EMSGSIZE)
                return sd_bus_error_set(error, BUS_ERROR_PREFIX "LimitsExceeded",
                                        "No further rule can be stored. Take some away, or write a policy "
                                        "file.");
        if (outcome->error > 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_IO_ERROR,
                                         "The policy holds, but it may not survive a loss of power: %s",
                                         strerror(outcome->error));
        return sd_bus_error_setf(error, SD_BUS_ERROR_IO_ERROR,
                                 "The policy could not be stored, and has not changed: %s",
                                 outcome->message ? outcome->message : strerror(-outcome->error));
}

static void on_changed(void *userdata, const PolicyOutcome *outcome)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        PolicyCall *call = userdata;
        int r;

        call->change = NULL;
        if (outcome->error != 0) {
                r = explain(&error, call, outcome);
                pending_fail(&call->pending, &error, r);
                return;
        }
        if (call->unsets)
                r = sd_bus_reply_method_return(call->pending.message, "");
        else
                r = sd_bus_reply_method_return(call->pending.message, "s", outcome->id);
        if (r < 0)
                journal_bus_failed("A reply", r);
        pending_end(&call->pending);
}

/* The rule in the words of a policy file, for polkit's rules to look into. */
static int describe_rule(const PolicyRule *rule, char **ret)
{
        _cleanup_(cleanup_policy_free) Policy *policy = policy_new();
        PolicyRule copy = *rule;
        int r;

        if (!policy)
                return -ENOMEM;
        copy.known = NULL;
        copy.n_known = 0;
        copy.file = strdup("");
        (void) snprintf(copy.id, sizeof(copy.id), "rule");
        r = copy.file ? policy_add(policy, &copy) : -ENOMEM;
        policy_rule_done(&copy);
        return r < 0 ? r : policy_write(policy, NULL, ret);
}

/* Is the rule still the one that polkit was asked about? A dialog may be open for hours. */
static int is_as_asked(const PolicyCall *call)
{
        const PolicyRule *rule = policy_store_find(call->pending.bus->policies, call->id);
        _cleanup_free_ char *text = NULL;
        int r = rule ? describe_rule(rule, &text) : -ENOENT;

        return r < 0 ? r : strcmp(text, call->asked) == 0;
}

static int unset(PolicyCall *call)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        PendingCall *pending = &call->pending;
        int r = is_as_asked(call);

        if (r > 0)
                return policy_store_unset(pending->bus->policies, pending->uid, call->id, on_changed, call,
                                          &call->change);
        if (r == 0)
                r = sd_bus_error_setf(&error, SD_BUS_ERROR_INVALID_ARGS,
                                      "Rule '%s' has changed meanwhile. Look at it and ask again.",
                                      call->id);
        else if (r == -ENOENT)
                r = no_such_rule(&error, pending->bus, call->id);
        pending_fail(pending, &error, r);
        return 0;
}

static void granted(PendingCall *pending)
{
        PolicyCall *call = (PolicyCall *) pending;
        int r;

        if (call->unsets)
                r = unset(call);
        else
                r = policy_store_set(pending->bus->policies, pending->uid, &call->rule, call->runtime,
                                     on_changed, call, &call->change);
        if (r == -EBUSY)
                pending_refuse(pending, BUS_ERROR_PREFIX "LimitsExceeded",
                               "Too many changes of the policy wait for the disk. Ask again.");
        else if (r < 0)
                pending_fail(pending, NULL, r);
}

/* ---- the question ---- */

/* The device, if the rule is about just one that is there. */
static const Device *device_of(const Bus *bus, const PolicyMatch *match)
{
        PciAddress address;

        if (match->set != 1U << POLICY_MATCH_ADDRESS ||
            pci_address_parse(match->patterns[POLICY_MATCH_ADDRESS], &address) < 0)
                return NULL;
        return registry_find(bus->registry, &address);
}

static int ask(PolicyCall *call)
{
        const PolicyRule *rule = &call->rule;
        char match[POLICY_MATCH_TEXT_MAX], *settings;
        PolkitDetail details[DETAILS];
        DeviceDetails texts;
        int r;

        if (call->unsets) {
                rule = policy_store_find(call->pending.bus->policies, call->id);
                if (!rule)
                        return -ENOENT;
                (void) policy_rule_is_stored(rule, &call->runtime);
        }
        r = describe_rule(rule, &settings);
        if (r < 0)
                return r;
        call->asked = settings;
        fill_device_details(device_of(call->pending.bus, &rule->match), &texts, details);
        details[DEVICE_DETAILS] = (PolkitDetail){"match", policy_match_format(&rule->match, match)};
        details[DEVICE_DETAILS + 1] = (PolkitDetail){"change", call->unsets ? "unset" : "set"};
        details[DEVICE_DETAILS + 2] = (PolkitDetail){"settings", settings};
        details[DEVICE_DETAILS + 3] = (PolkitDetail){"runtime", call->runtime ? "true" : "false"};
        details[DEVICE_DETAILS + 4] = (PolkitDetail){
                "polkit.message",
                "Authentication is required to change the policy for resets of PCI devices"};
        pending_authorize(&call->pending, ACTION_SET_POLICY, "change the policy for resets", details,
                          DETAILS);
        return 0;
}

static void identified(PendingCall *pending)
{
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        PolicyCall *call = (PolicyCall *) pending;
        int r = ask(call);

        if (r == -ENOENT)
                r = no_such_rule(&error, pending->bus, call->id);
        if (r < 0)
                pending_fail(pending, &error, r);
}

static const PendingKind kind = {
        .size = sizeof(PolicyCall),
        .room = PENDING_CHANGES,
        .identified = identified,
        .granted = granted,
        .release = release,
};

/* ---- the calls ---- */

static int read_reason(const char *reason, PolicyRule *rule, sd_bus_error *error)
{
        if (reason && strcmp(utf8_quote(reason, rule->reason, sizeof(rule->reason)), reason) != 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "Option 'reason' is one line of at most %u bytes, without control "
                                         "characters.",
                                         POLICY_REASON_MAX - 1);
        return 0;
}

static int read_set(PolicyCall *call, sd_bus_message *message, sd_bus_error *error)
{
        const char *reason = NULL;
        Option options[] = {
                {"runtime", "b", &call->runtime},
                {"reason", "s", &reason},
        };
        int r = policy_settings_read(message, &call->rule.settings, error);

        if (r >= 0)
                r = options_read(message, options, ELEMENTSOF(options), error);
        return r < 0 ? r : read_reason(reason, &call->rule, error);
}

static int begin(Bus *bus, sd_bus_message *message, const PolicyMatch *match, const char *id,
                 sd_bus_error *error)
{
        PendingCall *pending;
        PolicyCall *call;
        int r = pending_new(bus, &kind, message, &pending, error);

        if (r < 0)
                return r;
        call = (PolicyCall *) pending;
        call->unsets = id != NULL;
        if (id) {
                (void) snprintf(call->id, sizeof(call->id), "%s", id);
                r = options_read(message, NULL, 0, error);
        } else {
                call->rule.match = *match;
                r = read_set(call, message, error);
        }
        if (r < 0) {
                pending_end(pending);
                return r;
        }
        return pending_begin(pending);
}

int handle_set_policy(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        char quoted[QUOTED_MAX], whole[POLICY_MATCH_TEXT_MAX];
        const char *text, *wanted;
        PolicyMatch match;
        int r = sd_bus_message_read(message, "s", &text);

        if (r < 0)
                return r;
        if (strcmp(utf8_quote(text, whole, sizeof(whole)), text) != 0)
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "The match is too long, or has control characters.");
        if (policy_match_parse(text, &match, &wanted) < 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "The match '%s' is not %s.",
                                         utf8_quote(text, quoted, sizeof(quoted)), wanted);
        return begin(bus, message, &match, NULL, error);
}

int handle_set_device_policy(Bus *bus, sd_bus_message *message, const Device *device, sd_bus_error *error)
{
        char address[PCI_ADDRESS_STRING_MAX];
        PolicyMatch match = {};
        const char *wanted;
        int r = policy_match_set(&match, POLICY_MATCH_ADDRESS,
                                 pci_address_format(&device->facts.address, address), &wanted);

        return r < 0 ? r : begin(bus, message, &match, NULL, error);
}

int handle_unset_policy(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        const char *id;
        int r = sd_bus_message_read(message, "s", &id);

        if (r < 0)
                return r;
        if (!policy_store_find(bus->policies, id))
                return no_such_rule(error, bus, id);
        return begin(bus, message, NULL, id, error);
}

int handle_get_policy(Bus *bus, sd_bus_message *message, Device *device, sd_bus_error *error)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        int r;

        r = options_read(message, NULL, 0, error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = append_effective_policy(reply, device);
        return r < 0 ? r : sd_bus_message_send(reply);
}

int handle_list_policies(Bus *bus, sd_bus_message *message, sd_bus_error *error)
{
        _cleanup_(cleanup_sd_bus_message_unref) sd_bus_message *reply = NULL;
        const Policy *policy = registry_policy(bus->registry);
        int r;

        r = options_read(message, NULL, 0, error);
        if (r >= 0)
                r = sd_bus_message_new_method_return(message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; i < policy_n_rules(policy) && r >= 0; i++)
                r = append_policy_rule(reply, policy_rule(policy, i));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}
