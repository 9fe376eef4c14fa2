/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * For the tests of the worker protocol: good texts of every kind, and ways to damage and parse them.
 */

#include <stdbool.h>
#include <stddef.h>

#include "shared/cleanup.h"
#include "shared/worker-protocol.h"
#include "shared/worker-record.h"
#include "shared/worker-scan.h"

/* A reset of two functions below a bridge; its result; an answer to a scan; and the two phases. All of them
 * are as the formatter writes them, without the newline. */
extern const char request_example[], result_example[], scan_example[], resetting_example[],
        verifying_example[];

/* A record with these examples in it, in a new string. */
char *record_example(bool has_list, bool has_result);

/* What a parser says of a text; what it made of it is thrown away. */
typedef int (*Parse)(const char *text, size_t length);
int parse_request(const char *text, size_t length);
int parse_event(const char *text, size_t length);
int parse_record(const char *text, size_t length);

/* With a copy that ends where the text ends, so that a sanitizer sees every read past it. */
int parse_exactly(Parse parse, const char *text, size_t length);
int parse_string(Parse parse, const char *text);

/* `text` with the first `from` replaced by `to`, in a new string. */
char *replace(const char *text, const char *from, const char *to);
void assert_replaced(Parse parse, const char *text, const char *from, const char *to, int wanted);

void event_done(WorkerEvent *event);
#define _cleanup_event_ _cleanup_(event_done)
