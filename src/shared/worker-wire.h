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

/* The words for a CheckResult, for json_read_choice(). */
#define CHECK_RESULTS 3U
extern const char *const check_result_names[CHECK_RESULTS];

/* Of a PciAddress, as text. */
void worker_address_write(JsonWriter *writer, const char *key, const PciAddress *address);
void worker_address_read(JsonReader *reader, const char *key, PciAddress *ret);

/* True for a serial number as lspci writes it, and for none (""). */
bool worker_serial_is_valid(const char *serial);

/* One WorkerImage, as the next. */
int worker_image_write(const void *element, json_object **ret);
int worker_image_read(json_object *object, void *element);

/* One WorkerCheck, as json_array_write() and json_array_read() want them. */
int worker_check_write(const void *element, json_object **ret);
int worker_check_read(json_object *object, void *element);
