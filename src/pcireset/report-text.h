/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A report as text: see verb-report.c, which makes the document.
 */

#include "pcireset/bus-json.h"

/* Writes it to standard output. 0 or -ENOMEM. */
int report_print(json_object *document);
