/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A quarantine as a file. Its name alone says which device is meant, so that a damaged file still keeps that
 * device away:
 *
 *   0000:00:1c.4_00.0,8086:10d3,8086:a01f.json
 *   {"version":1,"address":"0000:03:00.0","cause":"dead","reason":"it does not answer after a reset by flr",
 *    "method":"flr","uid":1000,"since":1795000000000000,"driver":"igb",
 *    "boot_id":"2f…","inode":4711,
 *    "checks":[{"check":"answers","result":"failed","before":"answers","after":"all ones"},…]}
 *
 * `_` stands for the `/` of the port; where that is not known the address stands there, after a `@`. A
 * serial number that is known comes behind the ids, after another comma. Versions that did not know any of
 * that wrote no `driver` either; `boot_id` and `inode` came later still.
 */

#include "daemon/domain/quarantine.h"

#define QUARANTINE_NAME_MAX (QUARANTINE_PORT_MAX + WORKER_SERIAL_MAX + 41U) /* with NUL */
#define QUARANTINE_FILE_MAX (32U * 1024U) /* bytes, newline included */

/* Returns `name`. */
const char *quarantine_name_format(const QuarantineRecord *record, char name[static QUARANTINE_NAME_MAX]);

/* Fills in port, address (of a port that is known: none) and ids. 0, or -EBADMSG for what is no such name.
 */
int quarantine_name_parse(const char *name, QuarantineRecord *record);

/* One line with its newline in a new string; control characters come out as `?`. 0 or -ENOMEM. */
int quarantine_record_format(const QuarantineRecord *record, char **ret);

/* Takes what quarantine_record_format() writes and nothing else, into a record that its name was read into:
 * 0, -EBADMSG or -ENOMEM. */
int quarantine_record_parse(const char *text, size_t length, QuarantineRecord *record);
