/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A polkit that does what the real one cannot be made to do: remember what it was asked, answer late or
 * never, disappear in the middle.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MockPolkitMode {
        MOCK_POLKIT_HANG, /* answers only through mock_polkit_answer() and mock_polkit_fail() */
        MOCK_POLKIT_YES,
        MOCK_POLKIT_NO,
        MOCK_POLKIT_CHALLENGE, /* yes, if somebody types a password */
        MOCK_POLKIT_ERROR,
} MockPolkitMode;

typedef struct PolkitRequest {
        char *subject_kind, *subject_name;
        char *action;
        json_object *details; /* text by key */
        uint32_t flags; /* 1: the user may be asked */
        char *cancellation_id;
        bool answered;
        bool cancelled; /* by CancelCheckAuthorization */
} PolkitRequest;

/* Takes polkit's name. */
void mock_polkit_start(MockPolkitMode mode);
/* Leaves the bus, with every question open. */
void mock_polkit_crash(void);
void mock_polkit_mode(MockPolkitMode mode);

size_t mock_polkit_requests(void);
/* Waits until there are more than `index` requests. */
const PolkitRequest *mock_polkit_request(size_t index);
/* A detail of the request, NULL: not given. */
const char *mock_polkit_detail(const PolkitRequest *request, const char *key);

/* Waits until all answers so far are in the hands of those who asked. */
void mock_polkit_flush(void);
void mock_polkit_answer(size_t index, bool authorized, bool challenge);
void mock_polkit_fail(size_t index, const char *error);
