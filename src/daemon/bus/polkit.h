/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One question to polkit: may the sender of this message do this? Asynchronous, with a timeout of its own
 * that leaves people time to type a password.
 *
 * The subject is always the unique bus name: polkit then looks at the connection itself, which cannot pass
 * into other hands as a process id can. Whatever goes wrong on the way is a no.
 */

#include <systemd/sd-bus.h>

#include "daemon/domain/job.h"

typedef struct PolkitQuery PolkitQuery;

typedef struct PolkitDetail {
        const char *key;
        const char *value;
} PolkitDetail;

/* Called once, never from within polkit_ask(). The query is freed after it returns. */
typedef void (*PolkitHandler)(void *userdata, Grant grant);

/* `interactive`: the caller allows that somebody is asked for a password. Details are copied. */
int polkit_ask(sd_bus *bus, const char *sender, const char *action, const PolkitDetail *details,
               size_t n_details, bool interactive, PolkitHandler handler, void *userdata, PolkitQuery **ret);

/* Takes the question back; the handler is not called. Closes a dialog that is open. Accepts NULL. */
PolkitQuery *polkit_query_free(PolkitQuery *query);
