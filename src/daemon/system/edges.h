/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Devices that administrators declare to be disturbed together: a board or a power rail that they share is
 * not seen on the bus. From policy files (system/dropins) such as
 *
 *   {"edges": [{"devices": ["0000:01:00.0", "0000:02:00.0"], "reason": "share a power rail"}]}
 *
 * `devices` are addresses, two or more, in the kernel's spelling: each is tied to each other one. A device
 * that is not there (yet) may be named. `reason` may be left out; it is for people. Files may declare the
 * same again.
 *
 * An edge forbids resets. So nothing is passed over: a key that is not known here, or a device that is named
 * twice, is an error, and with an error no edges are known that a daemon could start with.
 */

#include "daemon/domain/registry.h"
#include "daemon/system/policy-text.h"

#define EDGE_DEVICES_MAX 32U /* of one edge */
#define EDGE_PAIRS_MAX   4096U /* in all files */
#define EDGE_REASON_MAX  256U /* bytes, NUL included */

/* Reads what a file has under the key "edges" and tells the registry (NULL: nobody is told). Adds to
 * `*n_pairs`, which is kept over all files, how many pairs of devices were declared. 0, -EBADMSG with a
 * message in `text`, or -ENOMEM. After an error the registry knows some of the edges. */
int edges_read(const PolicyText *text, json_object *array, Registry *registry, size_t *n_pairs);
