/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "daemon/system/checkups.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "daemon/domain/checkup.h"
#include "daemon/system/journal.h"
#include "daemon/system/worker.h"
#include "shared/cleanup.h"

/* A worker that is out, and whoever waits for it. */
typedef struct Look {
        Checkups *checkups;
        PciAddress address;
        uint64_t generation;
        uint32_t id;
        WorkerCall *call;
        sd_event_source *timer;
        CheckupHandler handler; /* NULL: nobody waits any more */
        void *userdata;
        struct Look *prev, *next;
} Look;

struct Checkups {
        sd_event *event;
        Registry *registry;
        const char *worker_program;
        Look *running;
        uint32_t last_id;
};

int checkups_new(sd_event *event, Registry *registry, const char *worker_program, Checkups **ret)
{
        Checkups *checkups = calloc(1, sizeof(Checkups));

        if (!checkups)
                return -ENOMEM;
        checkups->event = event;
        checkups->registry = registry;
        checkups->worker_program = worker_program;
        *ret = checkups;
        return 0;
}

static void look_free(Look *look)
{
        DL_DELETE(look->checkups->running, look);
        sd_event_source_disable_unref(look->timer);
        free(look);
}

Checkups *checkups_free(Checkups *checkups)
{
        Look *look, *next;

        if (!checkups)
                return NULL;
        DL_FOREACH_SAFE (checkups->running, look, next) {
                worker_call_free(look->call);
                look_free(look);
        }
        free(checkups);
        return NULL;
}

static Device *device_of(const Look *look)
{
        Device *device = registry_find(look->checkups->registry, &look->address);

        return device && device->generation == look->generation ? device : NULL;
}

static uint64_t now_realtime(void)
{
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000U + (uint64_t) ts.tv_nsec / 1000U;
}

/* What is found while the device is being reset is neither how it was nor how it will be. */
static int take_over(Look *look, const WorkerResult *result)
{
        Device *device = device_of(look);

        if (!device || result->outcome == WORKER_GONE)
                return -ENODEV;
        if (result->outcome != WORKER_DONE)
                return result->error > 0 ? -result->error : -EIO;
        if (device->n_resetting > 0)
                return -EBUSY;
        checkup_note(device, result, WORKER_HEALTH_METHOD, 0, now_realtime());
        return device->checkup ? 0 : -ENOMEM;
}

static void on_phase(void *userdata, WorkerEventType type)
{
        (void) userdata;
        (void) type;
}

static void on_done(void *userdata, WorkerEvent *last, int error)
{
        Look *look = userdata;
        CheckupHandler handler = look->handler;
        uint64_t generation = look->generation;
        void *asker = look->userdata;

        if (error >= 0)
                error = last->result ? take_over(look, last->result) : -EPIPE;
        else
                journal_worker_failed(look->id, "ended without having looked how a device is", error);
        look_free(look);
        if (handler)
                handler(asker, generation, error);
}

/* The worker stays out, and its place is taken until it ends. */
static int on_patience_over(sd_event_source *source, uint64_t usec, void *userdata)
{
        Look *look = userdata;
        CheckupHandler handler = look->handler;

        look->handler = NULL;
        if (handler)
                handler(look->userdata, look->generation, -ETIMEDOUT);
        return 0;
}

static int send_out(Checkups *checkups, const Device *device, Look *look)
{
        const WorkerHandler handler = {.phase = on_phase, .done = on_done, .userdata = look};
        WorkerMember member;
        WorkerRequest request = checkup_request(device, &member);
        int r;

        request.job = look->id;
        r = sd_event_add_time_relative(checkups->event, &look->timer, CLOCK_MONOTONIC, CHECKUP_PATIENCE_USEC,
                                       0, on_patience_over, look);
        return r < 0 ? r
                     : worker_call_start(checkups->event, checkups->worker_program, &request, NULL, &handler,
                                         &look->call);
}

int checkups_ask(Checkups *checkups, const Device *device, CheckupHandler handler, void *userdata)
{
        Look *look;
        unsigned n = 0;
        int r;

        DL_FOREACH (checkups->running, look)
                if (n++ >= CHECKUPS_MAX - 1 || look->generation == device->generation)
                        return -EBUSY;
        look = calloc(1, sizeof(Look));
        if (!look)
                return -ENOMEM;
        look->checkups = checkups;
        look->address = device->facts.address;
        look->generation = device->generation;
        look->id = ++checkups->last_id ? checkups->last_id : ++checkups->last_id;
        look->handler = handler;
        look->userdata = userdata;
        DL_APPEND(checkups->running, look);
        r = send_out(checkups, device, look);
        if (r < 0) {
                look_free(look);
                return r;
        }
        return 0;
}
