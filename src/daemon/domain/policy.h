/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What administrators, packages and SetPolicy say about resets, decided from facts alone: no bus, no files,
 * no clock.
 *
 * A policy is a list of rules. Each says which devices it is about (its match) and sets some keys. What
 * holds for a device is the merge of all rules that match it, in their order: of each key the value that was
 * set last, and which rule that was. Lists are values like others, so a later list replaces an earlier one.
 *
 * Knowledge about methods (known_bad, known_good) is merged method by method: a site that has proved a
 * method on its hardware overrides what came with the package, for this method alone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/domain/device.h"
#include "shared/address.h"
#include "shared/method.h"

#define POLICY_RULES_MAX       4096U /* of one policy, all files together */
#define POLICY_ID_MAX          64U /* bytes, NUL included, as with all that follow */
#define POLICY_PATTERN_MAX     96U
#define POLICY_SOURCE_MAX      256U /* where a piece of knowledge comes from */
#define POLICY_REASON_MAX      256U
#define POLICY_KERNEL_MAX      65U /* of uname() */
#define POLICY_MODALIAS_MAX    64U
#define POLICY_KNOWN_MAX       32U /* pieces of knowledge in one rule */
#define POLICY_MATCH_TEXT_MAX  768U /* of SetPolicy's match; each that policy_match_format() gives fits */
#define POLICY_SETTLE_USEC_MAX UINT64_C(60000000)
/* Less would end calls before a healthy device is there again, more is no deadline. */
#define POLICY_TIMEOUT_USEC_MIN UINT64_C(1000000)
#define POLICY_TIMEOUT_USEC_MAX UINT64_C(3600000000)

/* ---- which devices ---- */

typedef enum PolicyMatchKey {
        POLICY_MATCH_ADDRESS, /* a glob on the kernel's spelling */
        POLICY_MATCH_MODALIAS, /* a glob on what the kernel's `modalias` reads */
        POLICY_MATCH_DRIVER, /* a glob on the name of the bound driver; empty: none is bound */
        POLICY_MATCH_CLASS, /* VALUE/MASK in hexadecimal, or a glob on six hexadecimal digits */
        POLICY_MATCH_ASSIGNED, /* `true` or `false` */
        POLICY_MATCH_KERNEL, /* FROM..TO, or a glob on what `uname -r` prints */
        POLICY_MATCH_N,
} PolicyMatchKey;

/* All that are set must match; without any it is about all devices. A value type. */
typedef struct PolicyMatch {
        unsigned set; /* bits of 1 << PolicyMatchKey */
        char patterns[POLICY_MATCH_N][POLICY_PATTERN_MAX];
} PolicyMatch;

const char *policy_match_key_to_string(PolicyMatchKey key);
/* POLICY_MATCH_N for a name that is none. */
PolicyMatchKey policy_match_key_from_string(const char *name);

/* Sets one pattern. 0; -EEXIST if it is set already; -EINVAL if it is none of its kind, too long, or could
 * match nothing, and what is wanted, a static text, in `ret_wanted`.
 *
 * Class: `030000/ff0000`, or `0300*`; digits in lower case, `0x` before them may be there. A value with bits
 * outside of its mask is refused.
 *
 * Kernel: of a range one end may be left out, and both belong to it. They count as far as they are written:
 * `..6.5` has all of 6.5.x. What follows the numbers (`-rc1`, `-amd64`) does not count. */
int policy_match_set(PolicyMatch *match, PolicyMatchKey key, const char *pattern, const char **ret_wanted);

/* Reads what SetPolicy takes: an address, or `key=pattern` separated by blanks, each key once. 0, or -EINVAL
 * and what is wanted, a static text. `ret` is valid only after success. */
int policy_match_parse(const char *text, PolicyMatch *ret, const char **ret_wanted);

/* The same text again; empty if it is about all devices. Returns `buffer`. */
const char *policy_match_format(const PolicyMatch *match, char buffer[static POLICY_MATCH_TEXT_MAX]);

/* True for a pattern of POLICY_MATCH_KERNEL that the running kernel fits. A kernel that does not call itself
 * by a number is in no range. */
bool policy_kernel_matches(const char *pattern, const char *kernel);

/* What rules look at. A value type. */
typedef struct PolicySubject {
        char address[PCI_ADDRESS_STRING_MAX];
        char modalias[POLICY_MODALIAS_MAX];
        char driver[DRIVER_NAME_MAX];
        char kernel[POLICY_KERNEL_MAX];
        uint32_t class;
        bool assigned; /* bound to a driver of VFIO's, a stub or pciback */
} PolicySubject;

/* `kernel`: the release that uname() reports. The modalias is made as pci_uevent() in
 * drivers/pci/pci-driver.c makes it. */
void policy_subject_init(PolicySubject *subject, const DeviceFacts *facts, const char *kernel);

bool policy_match_applies(const PolicyMatch *match, const PolicySubject *subject);

/* ---- what is set ---- */

typedef enum PolicyKey {
        POLICY_METHODS, /* the order, and no others */
        POLICY_FORBID, /* never these, not by name either */
        POLICY_ALLOW_LINK, /* false: function scope only */
        POLICY_DRIVER, /* what to do with a bound host driver that does not know resets */
        POLICY_KERNEL_ORDER, /* true: `reset_method` follows, so that resets by VFIO and pciback do */
        POLICY_ON_RELEASE, /* what to do when the last user lets go */
        POLICY_REQUIRE_CLEAN, /* true: no new user before a reset has succeeded */
        POLICY_ON_ERROR, /* what to do when the kernel reports an error of the device's */
        POLICY_SETTLE_USEC, /* how long to wait after a reset before the device is looked at */
        POLICY_TIMEOUT_USEC, /* how long a call that names no time waits; 0: fifteen minutes */
        POLICY_KEY_N,
} PolicyKey;

typedef enum PolicyDriver { POLICY_DRIVER_REFUSE, POLICY_DRIVER_KEEP, POLICY_DRIVER_REBIND } PolicyDriver;
typedef enum PolicyOnRelease { POLICY_ON_RELEASE_NONE, POLICY_ON_RELEASE_RESET } PolicyOnRelease;
typedef enum PolicyOnError {
        POLICY_ON_ERROR_NOTIFY,
        POLICY_ON_ERROR_QUARANTINE,
        POLICY_ON_ERROR_RECOVER,
} PolicyOnError;

/* Names as in files and on the bus; the reverse gives -EINVAL for what is none. */
const char *policy_key_to_string(PolicyKey key);
const char *policy_driver_to_string(PolicyDriver value);
const char *policy_on_release_to_string(PolicyOnRelease value);
const char *policy_on_error_to_string(PolicyOnError value);
int policy_driver_from_string(const char *name);
int policy_on_release_from_string(const char *name);
int policy_on_error_from_string(const char *name);

/* A value type. All zero is what holds where nothing is set, but for allow_link, see policy_merge(). */
typedef struct PolicySettings {
        unsigned set; /* bits of 1 << PolicyKey: which of the values below mean something */
        ResetMethodList methods, forbid; /* known names only, none twice */
        bool allow_link, kernel_order, require_clean;
        PolicyDriver driver;
        PolicyOnRelease on_release;
        PolicyOnError on_error;
        uint64_t settle_usec, timeout_usec;
} PolicySettings;

/* Copies the value of one key, but not whether it is set. */
void policy_settings_take(PolicySettings *to, const PolicySettings *from, PolicyKey key);

/* What somebody found out about a method. */
typedef struct PolicyKnown {
        char method[RESET_METHOD_NAME_MAX];
        bool bad;
        char source[POLICY_SOURCE_MAX]; /* where that can be read: never empty */
        char kernel[POLICY_PATTERN_MAX]; /* as POLICY_MATCH_KERNEL; empty: whatever the kernel */
} PolicyKnown;

typedef struct PolicyRule {
        char id[POLICY_ID_MAX]; /* letters, digits, `.`, `_`, `-`; once in each file */
        char reason[POLICY_REASON_MAX]; /* for people */
        char *file; /* owned: where it is written */
        PolicyMatch match;
        PolicySettings settings;
        PolicyKnown *known; /* owned */
        size_t n_known;
} PolicyRule;

void policy_rule_done(PolicyRule *rule);

/* The rule for people: its id and the file that it is from, which may be cut. Empty for NULL. Returns
 * `buffer`. */
#define POLICY_RULE_TEXT_MAX 192U
const char *policy_rule_text(const PolicyRule *rule, char buffer[static POLICY_RULE_TEXT_MAX]);

bool policy_rule_id_is_valid(const char *id);

/* Appends a method. -EINVAL for a name that is not known, since a prohibition of what nothing is called
 * would forbid nothing; -EEXIST; -E2BIG. */
int policy_list_add(ResetMethodList *list, const char *method);

/* Appends a piece of knowledge. -EINVAL for a method that is not known, a source that is missing or too long
 * or a kernel that is no pattern (NULL: whatever the kernel); -E2BIG; -ENOMEM. */
int policy_rule_add_known(PolicyRule *rule, const char *method, bool bad, const char *source,
                          const char *kernel);

/* ---- the whole ---- */

typedef struct Policy Policy;

/* Empty; NULL if there is no memory. */
Policy *policy_new(void);
Policy *policy_free(Policy *policy);

/* Appends a rule: it wins over those before it. Takes over what the rule owns, and leaves it empty; after an
 * error it is as before. -EEXIST if the file has a rule of that id, which is looked for among those that
 * were appended last; -EINVAL for an id of another form or without a file; -E2BIG; -ENOMEM. */
int policy_add(Policy *policy, PolicyRule *rule);

size_t policy_n_rules(const Policy *policy);
/* False: no rule sets the key, so that its default holds for every device. */
bool policy_sets(const Policy *policy, PolicyKey key);
/* In order. Valid as long as the policy. */
const PolicyRule *policy_rule(const Policy *policy, size_t index);

/* 16 digits that are others for other rules, texts for people aside; empty without rules. Returns `buffer`.
 */
#define POLICY_VERSION_MAX 17U
const char *policy_version(const Policy *policy, char buffer[static POLICY_VERSION_MAX]);

typedef struct PolicyFinding {
        const PolicyKnown *known;
        const PolicyRule *rule;
} PolicyFinding;

/* What holds for a device. Points into the policy: it lives no longer. */
typedef struct EffectivePolicy {
        PolicySettings settings; /* each key has a value; `set`: those that a rule has set */
        const PolicyRule *origin[POLICY_KEY_N]; /* NULL: nobody's, the default */
        PolicyFinding findings[RESET_METHODS_MAX]; /* one for a method */
        size_t n_findings;
} EffectivePolicy;

/* Without any rule: no order, nothing forbidden, links allowed, `refuse` for drivers, no `kernel_order`,
 * `none` on release, `notify` on errors, no `require_clean`, times of 0.
 *
 * Of what one rule knows about a method on this kernel, the bad outweighs the good, and the first the
 * others. */
void policy_merge(const Policy *policy, const PolicySubject *subject, EffectivePolicy *ret);

/* What is known of the method, NULL: nothing. */
const PolicyFinding *policy_finding(const EffectivePolicy *effective, const char *method);

/* ---- the ladder ---- */

typedef enum PolicyWhy {
        POLICY_WHY_FORBIDDEN, /* by `forbid`: not by name either */
        POLICY_WHY_LINK, /* by `allow_link`: not by name either */
        POLICY_WHY_NOT_LISTED, /* there is an order, and it has not this one: by name only */
        POLICY_WHY_KNOWN_BAD, /* and no order names it: by name only, with its own authorisation */
        POLICY_WHY_LAST_RESORT, /* takes the device away, and no order names it: by name only */
        POLICY_WHY_UNKNOWN, /* of a scope that is not known: never */
        POLICY_WHY_NOT_ADVERTISED, /* in the order, but the device has it not */
} PolicyWhy;

/* Codes for clients, such as `forbidden`. */
const char *policy_why_to_string(PolicyWhy why);

/* All the kernel's and ours, and those of the order that are not advertised. */
#define POLICY_ORDER_MAX (3U * RESET_METHODS_MAX)

typedef struct PolicyStep {
        char method[RESET_METHOD_NAME_MAX];
        const PolicyFinding *finding; /* NULL: nothing is known */
} PolicyStep;

typedef struct PolicyLeftOut {
        char method[RESET_METHOD_NAME_MAX];
        PolicyWhy why;
        const PolicyRule *rule; /* that says so; NULL: no rule's doing */
} PolicyLeftOut;

/* Points into the effective policy: it lives no longer. */
typedef struct PolicyOrder {
        PolicyStep steps[POLICY_ORDER_MAX];
        size_t n_steps;
        PolicyLeftOut left_out[POLICY_ORDER_MAX];
        size_t n_left_out;
        const PolicyRule *workaround; /* the rule by which the ladder is another than it would be without
                                       * rules; NULL: it is the same */
} PolicyOrder;

/* The ladder for `any`. `advertised`: what the device offers, ours included, gentlest first, each once and
 * at most 2 * RESET_METHODS_MAX; more are not looked at. Without an order in the policy that is the order;
 * with one it is followed to the letter, whatever the scopes are: whoever writes `bus` before `flr` has seen
 * that the FLR does nothing.
 *
 * Every method of `advertised` and of the order is in exactly one of both lists. */
void policy_order(const EffectivePolicy *effective, const char *const *advertised, size_t n_advertised,
                  PolicyOrder *ret);

/* 0 if the policy allows the method to somebody who names it, else why it does not as -EPERM, and the reason
 * in `ret_why` and the rule in `ret_rule` (NULL: no rule's doing). */
int policy_allows_by_name(const EffectivePolicy *effective, const char *method, PolicyWhy *ret_why,
                          const PolicyRule **ret_rule);

/* The same for the ladder of an alias, which has fewer methods: what an order leaves out, what is known to
 * be bad and last resorts are not in it. */
int policy_allows_in_ladder(const EffectivePolicy *effective, const char *method, PolicyWhy *ret_why,
                            const PolicyRule **ret_rule);

/* What `reset_method` is to have: 1 and the list, 0 if the policy leaves it alone. `kernels` is what the
 * kernel supports, in its order, not what an earlier write has left of it. With an order it is what the
 * order names of them; without one, all that nothing speaks against, those of unknown scope too, which are
 * the kernel's business. The list may be empty: then the kernel is to have no way to reset. */
int policy_kernel_order(const EffectivePolicy *effective, const ResetMethodList *kernels,
                        ResetMethodList *ret);
