/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The daemon's face on D-Bus: parses, looks things up, hands on to the domain, and replies.
 *
 * It holds no state of devices or jobs, only who waits for what. The domain never includes anything from
 * here: what it needs of the bus comes to it through the listener and the ports that main.c ties together.
 */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "daemon/domain/jobs.h"
#include "daemon/system/names.h"

typedef struct Bus Bus;

/* Connects to the system bus. Nothing can be called yet. The names must outlive the bus. */
int bus_new(sd_event *event, Names *names, Bus **ret);
Bus *bus_free(Bus *bus);

/* Exports the objects and takes the name: whoever sees the name finds everything there. */
int bus_publish(Bus *bus, Registry *registry, const Proven *proven, Jobs *jobs);

/* To be told to the registry and to the jobs. */
RegistryListener bus_registry_listener(Bus *bus);
void bus_job_event(Bus *bus, Job *job, JobEvent event);
int bus_authorize(Bus *bus, Job *job);
void bus_forget_authorization(Bus *bus, Job *job);
