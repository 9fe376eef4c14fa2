/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The parts of `history`: verb-history.c shows, history-file.c moves rows from machine to machine.
 */

#include "pcireset/client.h"

static inline bool history_filter_is_empty(const HistoryFilter *filter)
{
        return !filter->method && !filter->verdict && !filter->source && !filter->hardware &&
               filter->age_usec == 0 && filter->limit == 0;
}

/* Appends an a{sv} of what was asked for. 0 or a negative errno. */
int history_append_filter(const Client *client, sd_bus_message *call);

/* Writes rows to the standard output. As a verb. */
int history_export(Client *client);
/* Reads them from a file; NULL or `-`: the standard input. As a verb. */
int history_import(Client *client, const char *path);
