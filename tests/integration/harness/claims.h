/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Leases and inhibitors. Their descriptors are the test's own, whichever client asked for them.
 */

#include "bus.h"

/* Everybody may do everything of ours. */
extern const char *const polkit_rules_everybody;
/* fixture_devices() and the daemon, with these rules; the observer watches the signals. */
void start_for_everybody(void);

/* CARD, and CARD and CARD2. */
extern const char *const card_alone[], *const both_cards[];

/* `addresses`: NULL at the end. */
Call *acquire_start(Client *client, const char *const addresses[]);
Call *inhibit_start(Client *client, const char *const addresses[], const char *mode);
/* The descriptor that a call brings, which has to succeed. `ret_id` may be NULL. */
int claim_finish(Call *call, char **ret_id);

/* Both wait. `address` NULL: all devices. */
int lease_take(Client *client, const char *address, char **ret_id);
int inhibitor_take(Client *client, const char *address, const char *mode);

/* Closes the descriptor. */
void claim_release(int *fd);

/* The property Lease, now. "": nobody has one. */
void expect_lease(const char *address, const char *id);

/* ListLeases or ListInhibitors. */
Reply *claims_list(const char *member);
/* Waits until there are so many. */
void claims_wait(const char *member, size_t n);

/* Descriptors that the daemon has open, once none of its workers runs any more. */
size_t daemon_descriptors(void);
