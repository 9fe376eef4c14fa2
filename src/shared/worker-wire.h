/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The pieces that messages and records are made of, for the files that write those. Each kind of object has
 * one function that writes it and one that reads it.
 */

#include "shared/worker-protocol.h"

/* record → result → checks → check is the deepest; the record itself counts. */
#define WORKER_DEPTH_MAX 6U

int worker_request_write(const WorkerRequest *request, json_object **ret);
int worker_request_read(json_object *object, WorkerRequest **ret);
int worker_result_write(const WorkerResult *result, json_object **ret);
int worker_result_read(json_object *object, WorkerResult **ret);

/* One WorkerCheck, as worker_array_write() and worker_array_read() want them. */
int worker_check_write(const void *element, json_object **ret);
int worker_check_read(json_object *object, void *element);

/* An array of `n` objects that `write` makes of the elements, which are `size` bytes each, at `elements`. */
typedef int (*WorkerWriteElement)(const void *element, json_object **ret);
int worker_array_write(const void *elements, size_t n, size_t size, WorkerWriteElement write,
                       json_object **ret);

/* The elements of an array, in one allocation that the caller frees; NULL for an empty one. After a failure
 * it is set too: what was read so far. */
typedef int (*WorkerReadElement)(json_object *object, void *ret);
int worker_array_read(json_object *array, size_t size, WorkerReadElement read, void **ret, size_t *ret_n);
