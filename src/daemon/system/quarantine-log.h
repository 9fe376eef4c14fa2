/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Quarantines in the history: a row for the beginning of each, with the evidence, and one for its end, with
 * the reason and whose it was.
 */

#include "daemon/domain/quarantine.h"
#include "daemon/system/attempt-log.h"

/* Every event but QUARANTINE_RELEASED, which has more to tell. */
void quarantine_log_event(AttemptLog *log, const Registry *registry, const QuarantineRecord *record,
                          QuarantineEvent event);
/* `uid` has let it out, and has given this reason. */
void quarantine_log_release(AttemptLog *log, const Registry *registry, const QuarantineRecord *record,
                            uint32_t uid, const char *reason);
