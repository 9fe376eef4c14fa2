/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A journal that is stopped or hangs must not hold the daemon: sd_journal_send() waits as long as the socket
 * of journald has no room.
 */

#include <stdbool.h>

/* Whether an entry that is sent now will not have to wait. If it would, it is counted as left out; the first
 * one after that is told how many there were. True as well if there is no journal: sending fails at once
 * then. `path` is JOURNAL_SOCKET but in tests. */
bool journal_takes_entry(const char *path);

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
