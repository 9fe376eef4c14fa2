/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Keeps what is known of the use of each device up to date: who asks gets an answer that is not older than
 * the question, and hints that something may have changed lead to a look at the device. What a scan finds
 * goes into the registry's devices, and its listener is told what is new.
 */

#include "daemon/domain/registry.h"
#include "daemon/system/scans.h"

typedef struct Survey Survey;
typedef struct SurveyQuestion SurveyQuestion;

/* The devices' use is up to date; with a negative errno it is unknown. Whoever asks about jobs and the like
 * looks them up again: much may have happened meanwhile. */
typedef void (*SurveyHandler)(void *userdata, int error);

/* What a scan told of a device, for whoever wants to watch it. */
typedef struct SurveyListener {
        void (*looked)(void *userdata, Device *device, const WorkerScan *scan);
        void *userdata;
} SurveyListener;

int survey_new(sd_event *event, Registry *registry, Scans *scans, Survey **ret);
Survey *survey_free(Survey *survey);
void survey_set_listener(Survey *survey, const SurveyListener *listener);

/* Looks who uses the devices. Returns a positive number if the handler will be called, never before this
 * returns; 0 if there is nothing to look at: without a driver a device has no nodes and no interfaces; or
 * negative errno, and then their use is unknown. `*ret` is set if the number is positive; it may be NULL if
 * nobody wants to cancel. */
int survey_ask(Survey *survey, Device **devices, size_t n, SurveyHandler handler, void *userdata,
               SurveyQuestion **ret);

/* The handler will not be called, and nothing is looked at for it that is not being looked at by now.
 * Accepts NULL, returns NULL. */
SurveyQuestion *survey_cancel(SurveyQuestion *question);

/* The use of this device may have changed: it is looked at in a moment, together with all others of which
 * that is said until then; with `owners` also who owns it. */
void survey_hint(Survey *survey, const PciAddress *address, bool owners);
