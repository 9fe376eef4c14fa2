/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A claim as text, for its file:
 *
 *   {"version":1,"id":"k3v7…","kind":"lease","uid":1000,"who":"my-vmm","why":"guest
 * 7","since":1795000000000000, "devices":[{"address":"0000:01:00.0","vendor":32902,"device":4307,
 *                "subsystem_vendor":32902,"subsystem_device":0},…]}
 *
 * `kind` is `lease`, `inhibit-block` or `inhibit-delay`; only inhibitors may be without devices.
 */

#include <stdbool.h>

#include "daemon/domain/claim.h"

#define LEASE_RECORD_MAX (128U * 1024U) /* bytes, newline included */

/* Letters and digits that nobody confuses, all of one length. */
#define LEASE_ID_LENGTH 12U
bool lease_id_is_valid(const char *id);

/* One line with its newline in a new string; control characters come out as `?`. 0, -EINVAL for a record
 * that could not be read back, -ENOMEM. */
int lease_record_format(const ClaimRecord *record, char **ret);

/* Takes what lease_record_format() writes and nothing else: 0, -EBADMSG or -ENOMEM. The caller frees it. */
int lease_record_parse(const char *text, size_t length, ClaimRecord **ret);
ClaimRecord *lease_record_free(ClaimRecord *record);
