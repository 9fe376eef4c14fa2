/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The next step names whom or what it is about: a holder, a lease, a rule, an action. Where the daemon does
 * not tell that, because it is somebody else's, the verb that shows more is named.
 */

#include "pcireset/diagnosis-steps.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "pcireset/holders.h"
#include "pcireset/names.h"
#include "pcireset/text.h"
#include "pcireset/words.h"

#define RULE_STEP "Rule %s says so: `pcireset policy show` shows it, and an administrator can change it."

/* As many holders and drivers as are named in one list. */
#define NAMED_MAX 4U

static int __attribute__((format(printf, 2, 3))) add(json_object *list, const char *format, ...)
{
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = json_append_text(list, format, arguments);
        va_end(arguments);
        return r;
}

/* Kinds of holders that a code is about. */
static bool concerns(const char *code, const char *kind)
{
        static const struct {
                const char *code, *kinds;
        } table[] = {
                {"held", " process interface hidden "},
                {"storage-in-use", " root mount swap block "},
                {"network-in-use", " network "},
                {"vfio-open", " vfio "},
                {"guest", " guest "},
        };
        char word[64];

        (void) snprintf(word, sizeof(word), " %s ", kind);
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].code, code) == 0)
                        return strstr(table[i].kinds, word);
        return false;
}

static int add_holders(json_object *rung, const char *code, json_object *steps)
{
        json_object *holders = json_get_array(rung, "holders");
        size_t n = 0;

        for (size_t i = 0; i < json_length(holders); i++) {
                json_object *holder = json_object_array_get_idx(holders, i);
                const char *kind = json_get_string(holder, "kind");
                _cleanup_free_ char *text = NULL;

                if (!concerns(code, kind) || n++ >= NAMED_MAX)
                        continue;
                text = holder_to_text(holder);
                if (!text || add(steps, "In the way is %s: %s.", text,
                                 kind_to_words(kind, json_get_bool(holder, "hard"))) < 0)
                        return -ENOMEM;
        }
        if (n > NAMED_MAX)
                return add(steps, "And %zu more: `pcireset plan` lists them.", n - NAMED_MAX);
        return 0;
}

/* `lost` has `ADDRESS DRIVER` for each driver that does not know resets. */
static int add_drivers(const Findings *findings, json_object *rung, json_object *steps)
{
        json_object *lost = json_get_array(rung, "lost");

        for (size_t i = 0; i < json_length(lost) && i < NAMED_MAX; i++) {
                const char *row = json_get_string_at(lost, i), *blank = strchr(row, ' ');

                if (!blank)
                        continue;
                if (add(steps,
                        "Take the driver %s off %.*s, or bind vfio-pci in its place (`driverctl "
                        "set-override %.*s vfio-pci`).",
                        blank + 1, (int) (blank - row), row, (int) (blank - row), row) < 0)
                        return -ENOMEM;
        }
        if (json_length(lost) == 0)
                return add(steps, "Take the driver %s off %s, or bind vfio-pci in its place.",
                           json_get_string(findings->properties, "Driver"), findings->address);
        return 0;
}

static int add_leases(json_object *rung, json_object *steps)
{
        json_object *owners = json_get_array(rung, "owners");
        bool told = false;

        for (size_t i = 0; i < json_length(owners); i++) {
                json_object *owner = json_object_array_get_idx(owners, i);
                const char *lease = json_get_string(owner, "lease");
                _cleanup_free_ char *device = device_path_to_address(json_get_string(owner, "device")),
                                    *user = owner_to_text(json_get_string(owner, "owner"));

                if (!*lease)
                        continue;
                if (!device || !user ||
                    add(steps,
                        "The lease %s of \"%s\" (user %s) on %s has to end: it does with the last program "
                        "that has it; `pcireset leases` shows why it is there.",
                        lease, json_get_string(owner, "who"), user, device) < 0)
                        return -ENOMEM;
                told = true;
        }
        return told ? 0 : add(steps, "A lease has to end: `pcireset leases` shows whose it is.");
}

/* Those that are about one of the set, or about all devices. */
static bool inhibits(json_object *inhibitor, json_object *set)
{
        json_object *devices = json_get_array(inhibitor, "devices");

        if (strcmp(json_get_string(inhibitor, "mode"), "block") != 0)
                return false;
        for (size_t i = 0; i < json_length(set); i++) {
                _cleanup_free_ char *address = device_path_to_address(json_get_string_at(set, i));

                for (size_t j = 0; j < json_length(devices); j++)
                        if (address && strcmp(address, json_get_string_at(devices, j)) == 0)
                                return true;
        }
        return json_length(devices) == 0;
}

static int add_inhibitors(const Findings *findings, json_object *rung, json_object *steps)
{
        json_object *set = json_get_array(rung, "reset_set");
        bool told = false;

        for (size_t i = 0; i < json_length(findings->inhibitors); i++) {
                json_object *inhibitor = json_object_array_get_idx(findings->inhibitors, i);
                const char *why = json_get_string(inhibitor, "why");
                _cleanup_free_ char *user = uid_to_name(json_get_unsigned(inhibitor, "uid"));

                if (!inhibits(inhibitor, set))
                        continue;
                if (!user ||
                    add(steps, "\"%s\" (user %s) forbids it%s%s: wait until that program has ended.",
                        json_get_string(inhibitor, "who"), user, *why ? ", for: " : "", why) < 0)
                        return -ENOMEM;
                told = true;
        }
        return told ? 0 : add(steps, "`pcireset inhibitors` shows who forbids it.");
}

static int add_policy(const Findings *findings, json_object *rung, const char *code, json_object *steps)
{
        const char *rule = json_get_string(rung, "rule"), *source = json_get_string(rung, "source"),
                   *method = json_get_string(rung, "method");

        if (strcmp(code, "known-bad") == 0)
                return add(steps,
                           "It runs only by name: `pcireset reset %s %s`, which polkit has to allow as "
                           "org.pciresetd1.reset-known-bad. Read before%s%s.",
                           findings->address, method, *source ? " " : " the rule ", *source ? source : rule);
        if (strcmp(code, "not-listed") == 0)
                return add(steps, "By name it could run: `pcireset reset %s %s`. The order is of rule %s.",
                           findings->address, method, *rule ? rule : "(not told)");
        return add(steps, RULE_STEP, *rule ? rule : "(not told)");
}

/* What to do about a reason that names nobody. */
static const char *plain_step(const char *code)
{
        static const struct {
                const char *code, *step;
        } table[] = {
                {"use-unknown", "`journalctl -u pciresetd` tells why it could not be found out."},
                {"topology-unknown", "Ask again in a moment."},
                {"lease-gone", "Take a new lease: see `pcireset run`."},
                {"not-vfio", "Bind all that would be reset to vfio-pci."},
                {"not-owned", "The virtual machine that has the group has to ask, or has to end."},
                {"pciback", "Detach it from its guest first (`xl pci-detach`)."},
                {"not-assignable", "Bind the other functions to pciback, too."},
                {"tsm-bound", "End the confidential guest that has it."},
                {"frozen", "Thaw it first: `pcireset recover`, or the method thaw."},
                {"recovering",
                 "Wait until the kernel is done: `pcireset monitor` shows it, or show's error state."},
                {"edges", "Try another method: `pcireset methods` lists them."},
                {"bridge", "Reset a device behind it by link: see `pcireset plan ADDRESS link`."},
                {"unknown-method", "A newer version of pciresetd may know it."},
                {"virtual-function", "Its driver, or a reset of its physical function, is what is left."},
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].code, code) == 0)
                        return table[i].step;
        return NULL;
}

static bool is_policy(const char *code)
{
        return strcmp(code, "forbidden") == 0 || strcmp(code, "link-forbidden") == 0 ||
               strcmp(code, "not-listed") == 0 || strcmp(code, "known-bad") == 0;
}

static int add_step(const Findings *findings, json_object *rung, const char *code, json_object *steps)
{
        const char *step = plain_step(code);

        if (strcmp(code, "driver-bound") == 0)
                return add_drivers(findings, rung, steps);
        if (strcmp(code, "leased") == 0)
                return add_leases(rung, steps);
        if (strcmp(code, "inhibited") == 0)
                return add_inhibitors(findings, rung, steps);
        if (is_policy(code))
                return add_policy(findings, rung, code, steps);
        return step ? add(steps, "%s", step) : add_holders(rung, code, steps);
}

/* What the daemon says would be possible with --in-use. */
static int add_in_use(const Findings *findings, json_object *steps)
{
        json_object *rung = diagnosis_usable_rung(findings->plan_in_use);
        _cleanup_free_ char *actions = rung ? json_join(json_get_array(rung, "actions"), ", ") : NULL;

        if (!rung)
                return 0;
        if (!actions)
                return -ENOMEM;
        return add(
                steps,
                "Or reset it in use, by %s: `pcireset reset %s --in-use`. polkit is asked for %s; whoever "
                "uses it may lose what he was doing.",
                json_get_string(rung, "method"), findings->address, actions);
}

/* Methods that can be used, but only by name. */
static int add_by_name(const Findings *findings, json_object *steps)
{
        for (size_t i = 0; i < json_length(findings->methods); i++) {
                json_object *method = json_object_array_get_idx(findings->methods, i);

                if (json_get_bool(method, "usable") &&
                    add(steps, "By name %s could be tried: `pcireset plan %s %s` shows what it would do.",
                        json_get_string(method, "name"), findings->address,
                        json_get_string(method, "name")) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* The rules that forbid methods, where nothing else is left. */
static int add_rules(const Findings *findings, json_object *steps)
{
        const char *last = "";

        for (size_t i = 0; i < json_length(findings->methods); i++) {
                json_object *method = json_object_array_get_idx(findings->methods, i);
                const char *rule = json_get_string(method, "rule");

                if (json_get_bool(method, "usable") || !*rule || strcmp(rule, last) == 0)
                        continue;
                if (add(steps, RULE_STEP, rule) < 0)
                        return -ENOMEM;
                last = rule;
        }
        return 0;
}

static int add_impossible(const Findings *findings, json_object *codes, json_object *steps)
{
        int r = add_by_name(findings, steps);

        if (r >= 0)
                r = add_rules(findings, steps);
        for (size_t i = 0; i < json_length(codes) && r >= 0; i++) {
                const char *step = plain_step(json_get_string_at(codes, i));

                if (step)
                        r = add(steps, "%s", step);
        }
        if (r < 0 || json_length(steps) > 0)
                return r;
        return add(
                steps,
                "What is left is a power cycle. `pcireset report %s` gathers what the kernel's developers "
                "need to know for a method of its own.",
                findings->address);
}

static int add_authorization(const Findings *findings, json_object *rung, const char *answer,
                             json_object *steps)
{
        _cleanup_free_ char *actions = json_join(json_get_array(rung, "actions"), ", ");

        if (!actions)
                return -ENOMEM;
        if (strcmp(answer, "unknown") == 0)
                return add(steps, "Look at `systemctl status polkit`: without it nothing is allowed.");
        return add(
                steps,
                "%s a polkit rule in /etc/polkit-1/rules.d has to allow %s: pcireset(1) has an example. (A "
                "rule for this very device, of which polkit was not told, may do so already.)",
                strcmp(answer, "password") == 0 ? "To do so without a password" : "For that", actions);
}

static int add_after_death(const Findings *findings, json_object *steps)
{
        json_object *last = json_get_dict(findings->properties, "LastReset");

        if (strcmp(json_get_string(last, "verdict"), "dead") != 0)
                return 0;
        return add(steps,
                   "Its last reset, by %s, left it dead: `pcireset recover %s` tries what is left, and "
                   "tells if "
                   "only a cold power cycle is.",
                   json_get_string(last, "method"), findings->address);
}

static int add_out_of_quarantine(const Findings *findings, json_object *steps)
{
        json_object *quarantine = json_get_dict(findings->properties, "Quarantine");

        if (strcmp(json_get_string(findings->properties, "State"), "quarantined") != 0)
                return 0;
        /* The daemon's own word, after a recovery in vain. */
        if (strstr(json_get_string(quarantine, "reason"), "cold power cycle"))
                return add(
                        steps,
                        "It has to lose its power, which a reboot does not take away. Then `pcireset health "
                        "--probe %s` tells how it is, and `pcireset release %s REASON` lets it out.",
                        findings->address, findings->address);
        return add(steps,
                   "An administrator has to get it out of quarantine first: by `pcireset recover %s`, if "
                   "that is "
                   "proved to have helped, or by `pcireset release %s REASON`.",
                   findings->address, findings->address);
}

int diagnosis_add_steps(const Findings *findings, json_object *rung, const char *status, const char *answer,
                        json_object *codes, json_object *steps)
{
        json_object *own = rung ? json_get_array(rung, "why") : NULL;
        int r = add_out_of_quarantine(findings, steps);

        if (r >= 0)
                r = add_after_death(findings, steps);
        if (r < 0)
                return r;
        if (strcmp(status, "ready") == 0)
                r = add(steps, "`pcireset reset %s`", findings->address);
        if (r < 0 || (strcmp(status, "ready") == 0 && strcmp(answer, "password") != 0))
                return r;
        if (strcmp(answer, "password") == 0)
                return add_authorization(findings, rung, answer, steps);
        if (strcmp(status, "not-authorized") == 0)
                return add_authorization(findings, rung, answer, steps);
        if (!rung || strcmp(status, "not-possible") == 0)
                return add_impossible(findings, codes, steps);

        for (size_t i = 0; i < json_length(own) && r >= 0; i++)
                r = add_step(findings, rung, json_get_string_at(own, i), steps);
        return r < 0 ? r : add_in_use(findings, steps);
}

static json_object *find_method(json_object *methods, const char *name)
{
        for (size_t i = 0; i < json_length(methods); i++) {
                json_object *method = json_object_array_get_idx(methods, i);

                if (strcmp(json_get_string(method, "name"), name) == 0)
                        return method;
        }
        return NULL;
}

/* Has it failed here before? */
static bool is_doubtful(json_object *method)
{
        json_object *proven = json_get_dict(method, "proven");

        return json_get_unsigned(proven, "ok") < json_get_unsigned(proven, "tries") ||
               strcmp(json_get_string(method, "known"), "bad") == 0;
}

/* Another method that can be used now, one that has worked before others. */
static json_object *find_other(json_object *methods, const char *name)
{
        json_object *found = NULL;

        for (size_t i = 0; i < json_length(methods); i++) {
                json_object *method = json_object_array_get_idx(methods, i);
                bool proven = json_get_unsigned(json_get_dict(method, "proven"), "tries") > 0 ||
                              strcmp(json_get_string(method, "known"), "good") == 0;

                if (!json_get_bool(method, "usable") || is_doubtful(method) ||
                    strcmp(json_get_string(method, "name"), name) == 0)
                        continue;
                if (proven)
                        return method;
                if (!found)
                        found = method;
        }
        return found;
}

static int add_record(const Findings *findings, json_object *method, json_object *doubts)
{
        json_object *proven = json_get_dict(method, "proven"), *other;
        const char *name = json_get_string(method, "name"), *source = json_get_string(method, "source");
        int r = 0;

        if (json_get_unsigned(proven, "ok") < json_get_unsigned(proven, "tries"))
                r = add(doubts,
                        "%s is doubtful: of %" PRIu64 " resets of this kind of device %" PRIu64
                        " went well, and %" PRIu64 " left it dead.",
                        name, json_get_unsigned(proven, "tries"), json_get_unsigned(proven, "ok"),
                        json_get_unsigned(proven, "dead"));
        if (r >= 0 && strcmp(json_get_string(method, "known"), "bad") == 0)
                r = add(doubts, "%s is known to be bad on this hardware: %s", name,
                        *source ? source : "the policy says so");
        if (r < 0 || !is_doubtful(method))
                return r;
        other = find_other(findings->methods, name);
        return other ? add(doubts, "Without these doubts: `pcireset reset %s %s`.", findings->address,
                           json_get_string(other, "name"))
                     : add(doubts, "No other method can be used now.");
}

/* What the ladder leaves out because it is known to do harm. */
static int add_left_out(const Findings *findings, json_object *doubts)
{
        int r = 0;

        for (size_t i = 0; i < json_length(findings->methods) && r >= 0; i++) {
                json_object *method = json_object_array_get_idx(findings->methods, i),
                            *codes = json_get_array(method, "left_out");

                for (size_t j = 0; j < json_length(codes) && r >= 0; j++)
                        if (strcmp(json_get_string_at(codes, j), "known-bad") == 0)
                                r = add(doubts,
                                        "%s is not tried: it is known to do harm, says %s (rule %s).",
                                        json_get_string(method, "name"), json_get_string(method, "source"),
                                        json_get_string(method, "rule"));
        }
        return r;
}

/* Nothing if it is in none. */
static int add_quarantine(const Findings *findings, json_object *doubts)
{
        json_object *quarantine = json_get_dict(findings->properties, "Quarantine");
        const char *cause = json_get_string(quarantine, "cause"),
                   *reason = json_get_string(quarantine, "reason"),
                   *method = json_get_string(quarantine, "method");
        char since[TEXT_TIME_MAX];

        if (!*cause)
                return 0;
        return add(doubts, "It is in quarantine (%s%s%s) since %s%s%s.", cause, *method ? " after " : "",
                   method, text_time(json_get_unsigned(quarantine, "since"), since), *reason ? ": " : "",
                   reason);
}

/* Whoever has it now knows what he has left in it. */
static int add_dirt(const Findings *findings, json_object *doubts)
{
        if (strcmp(json_get_string(findings->properties, "Cleanliness"), "dirty") != 0 ||
            *json_get_string(findings->properties, "Lease"))
                return 0;
        return add(
                doubts,
                "It is dirty: what its last user has left in it may still be there. A verified reset makes "
                "it clean for the next one.");
}

int diagnosis_add_doubts(const Findings *findings, json_object *rung, json_object *doubts)
{
        const char *workaround = json_get_string(findings->plan, "workaround"),
                   *error = json_get_string(findings->properties, "ErrorState");
        json_object *method;
        int r = add_quarantine(findings, doubts);

        if (r >= 0)
                r = add_dirt(findings, doubts);
        if (r >= 0 && *error && strcmp(error, "successful-recovery") != 0)
                r = add(doubts, "The kernel has announced an error of the device's: %s.", error);
        if (r >= 0 && *workaround)
                r = add(doubts, "The order of methods is a workaround, of rule %s.", workaround);
        if (r >= 0)
                r = add_left_out(findings, doubts);
        if (r < 0 || !rung || !json_get_bool(rung, "usable"))
                return r;

        for (size_t i = 0; i < json_length(json_get_array(rung, "lost")) && r >= 0; i++)
                r = add(doubts, "What this driver has set up is lost: %s.",
                        json_get_string_at(json_get_array(rung, "lost"), i));
        method = find_method(findings->methods, json_get_string(rung, "method"));
        return r < 0 || !method ? r : add_record(findings, method, doubts);
}
