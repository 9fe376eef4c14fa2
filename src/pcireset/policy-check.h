/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The daemon's own reader of policy files, as the client uses it. Its headers have names of their own for
 * JSON, which is why they are not included beside the client's.
 */

#include <stdbool.h>
#include <stddef.h>

#define POLICY_DEFAULT_FILE POLICY_ADMIN_DIR "/90-local.json"
#define POLICY_FILE_MAX     (1024U * 1024U) /* bytes */

typedef struct PolicyChecked {
        size_t n_rules, n_pairs;
        char *message; /* what is wrong: file, line, column and rule; NULL: nothing, or no memory */
} PolicyChecked;

/* Reads a file as the daemon would. 0 or a negative errno. */
int policy_check(const char *path, PolicyChecked *ret);
void policy_checked_done(PolicyChecked *checked);

/* As file_replace(), with the folders above, and for everybody to read. */
int policy_put(const char *path, const char *text, size_t length);

/* The names of all settings, in the order in which they are shown. NULL at the end. */
const char *policy_setting_name(size_t index);
