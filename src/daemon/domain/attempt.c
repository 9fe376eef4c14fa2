/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What became of one rung: in words, and what it proves. */

#include <stdio.h>

#include "daemon/domain/job.h"

static const char *denial_code(Grant grant)
{
        switch (grant) {
        case GRANT_YES:
        case GRANT_NO:
                break;
        case GRANT_CHALLENGE:
                return "authentication-required";
        case GRANT_DISMISSED:
                return "dismissed";
        case GRANT_FAILED:
                return "polkit-failed";
        }
        return "not-authorized";
}

void attempt_why(const Attempt *attempt, char *buffer, size_t size)
{
        const char *code;
        unsigned cursor = 0;
        size_t n = 0;

        buffer[0] = '\0';
        if (attempt->outcome == ATTEMPT_DENIED) {
                (void) snprintf(buffer, size, "%s",
                                attempt->why[0] ? attempt->why : denial_code(attempt->grant));
                return;
        }
        if (attempt->outcome != ATTEMPT_UNUSABLE) {
                (void) snprintf(buffer, size, "%s", attempt->why);
                return;
        }
        while ((code = why_next(attempt->unusable, &cursor)) && n < size)
                n += (size_t) snprintf(buffer + n, size - n, "%s%s", n > 0 ? " " : "", code);
}

Verdict attempt_proof(const Attempt *attempt)
{
        bool is_proof = attempt->outcome == ATTEMPT_DONE || attempt->verdict != VERDICT_OK;

        return is_proof ? attempt->verdict : VERDICT_UNVERIFIED;
}
