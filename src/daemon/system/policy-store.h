/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The policy that holds, and how it changes: read again from its files, or by a rule that somebody sets or
 * takes away. A change waits for the disk in a thread; those that are asked for meanwhile wait for it.
 *
 * What a failed change leaves is the policy that held before, in memory as on the disk.
 */

#include <systemd/sd-event.h>

#include "daemon/system/policy-source.h"

typedef struct PolicyStore PolicyStore;
typedef struct PolicyChange PolicyChange;

/* Changes that wait at once, all kinds together. */
#define POLICY_CHANGES_MAX 64U

/* Another policy holds: told before the change is answered. */
typedef void (*PolicyListener)(void *userdata);

int policy_store_new(sd_event *event, Registry *registry, PolicyListener listener, void *userdata,
                     PolicyStore **ret);
/* Changes under way end without an answer. */
PolicyStore *policy_store_free(PolicyStore *store);

/* Reads all files now and has the registry follow them; for the start. As policy_source_read(). */
int policy_store_load(PolicyStore *store, PolicyLoaded *ret, char **ret_message);

typedef struct PolicyOutcome {
        int error; /* 0: it holds, and is on the disk. Negative errno: nothing has changed. Positive: it
                    * holds, but the disk has not confirmed that it will stay */
        const char *message; /* for people, why not; NULL: the errno says it */
        const char *id; /* of the rule that was set or taken away */
        const PolicyLoaded *loaded; /* of a reload that went well, else NULL */
} PolicyOutcome;

typedef void (*PolicyHandler)(void *userdata, const PolicyOutcome *outcome);

/* Each of these returns 0, and the handler is called later, or a negative errno: -EBUSY if too many changes
 * wait. `ret` may be NULL: nobody takes the change back. */

/* Reads all files again. */
int policy_store_reload(PolicyStore *store, PolicyHandler handler, void *userdata, PolicyChange **ret);

/* Sets the keys of `rule` for the devices that it matches, until the next boot if `runtime`. A stored rule
 * about just these devices keeps what is not set now. `uid`: who does it, for the journal. The rule's id and
 * file are not looked at; what it owns is taken over if the call succeeds. The outcome may be -E2BIG: too
 * many are stored. */
int policy_store_set(PolicyStore *store, uint32_t uid, PolicyRule *rule, bool runtime, PolicyHandler handler,
                     void *userdata, PolicyChange **ret);

/* Takes a stored rule away. The outcome is -ENOENT if there is none of this id. */
int policy_store_unset(PolicyStore *store, uint32_t uid, const char *id, PolicyHandler handler,
                       void *userdata, PolicyChange **ret);

/* The stored rule of this id, NULL: there is none. */
const PolicyRule *policy_store_find(const PolicyStore *store, const char *id);
/* Is the rule one that SetPolicy has stored, and until the next boot only? */
bool policy_rule_is_stored(const PolicyRule *rule, bool *ret_runtime);

/* Nobody waits for the answer any more; the change goes on. Accepts NULL, returns NULL. */
PolicyChange *policy_change_forget(PolicyChange *change);
