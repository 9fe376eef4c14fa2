/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A stand-in for pciresetd that does what the tests of the client ask for. It speaks the interfaces in dbus/
 * and touches nothing. What it answers is chosen by the arguments of the call: some addresses have their
 * quirks, and the method given to Reset names a scene:
 *
 *   any flr           success
 *   bus               success, after a failure, of two devices
 *   degraded          "success" that proves nothing
 *   options           success; `method` tells which options came (Plan, too)
 *   slow              a job with all its phases
 *   in_PHASE          no answer, ever, in that phase (authorizing, queued, waiting_idle, resetting)
 *   between           no answer, ever, after one method
 *   vanish            the daemon dies in the middle
 *   vanish_early      before there is a job
 *   events            all signals, then success
 *   garbled           a body of another type, and garbled_error
 *   hostile           an error full of control characters
 *   why_NAME          an error explained by its evidence
 *   error_NAME        the error of that name, in lower case with underscores
 *   holders_NAME      that error with holders in its details, and told_NAME with their names in the message
 *
 * Prints `ready` when it has its name, `listed` when somebody has the list of devices, `waiting` when the
 * caller of a scene that does not answer knows all that there is to know, `claimed` and `released` for
 * leases and inhibitors.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake-daemon.h"

typedef struct FakeDevice {
        const char *address, *driver, *state, *owner, *description;
} FakeDevice;

static const FakeDevice devices[] = {
        {"0000:01:00.0", "", "idle", "", "Example Corp. Plain Device"},
        {"0000:01:00.1", "e1000e", "resetting", "alice", HOSTILE},
        {"0000:02:00.0", "nvme", "idle", "uid:0",
         "Größe 株式会社 a description that is far too long for the width of any terminal that somebody may "
         "have "
         "open now"},
        {"10000:03:1f.7", "vfio-pci", "quarantined", "@vm", "Behind a domain of five digits"},
};

sd_event *event;

void tell(const char *what)
{
        (void) puts(what);
        (void) fflush(stdout);
}

static int failed(const char *what, int error)
{
        (void) fprintf(stderr, "fake-daemon: %s: %s\n", what, strerror(-error));
        exit(EXIT_FAILURE);
}

static const FakeDevice *find(const char *address)
{
        for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
                if (strcmp(devices[i].address, address) == 0)
                        return &devices[i];
        return NULL;
}

const char *path_of(const char *address)
{
        static char *kept[4];
        static unsigned next;
        char **slot = &kept[next++ % 4];

        free(*slot);
        *slot = NULL;
        if (sd_bus_path_encode(DEVICE_ROOT, address, slot) < 0)
                abort();
        return *slot;
}

static int on_list(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(call, &reply);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sossss)");
        for (size_t i = 0; r >= 0 && i < sizeof(devices) / sizeof(devices[0]); i++)
                r = sd_bus_message_append(reply, "(sossss)", devices[i].address, path_of(devices[i].address),
                                          devices[i].driver, devices[i].state, devices[i].owner,
                                          devices[i].description);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        tell("listed");
        return r;
}

static int no_such_device(sd_bus_error *error, const char *address)
{
        return sd_bus_error_setf(error, BUS_NAME ".Error.NoSuchDevice", "%s: there is no such device",
                                 address);
}

static int on_get_device(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const char *address;
        int r = sd_bus_message_read(call, "s", &address);

        if (r < 0)
                return r;
        /* Known by address, and gone when its object is asked. */
        if (strcmp(address, "0000:04:00.0") == 0)
                return sd_bus_reply_method_return(call, "o", path_of(address));
        return find(address) ? sd_bus_reply_method_return(call, "o", path_of(address))
                             : no_such_device(error, address);
}

static int on_methods(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const char *address;
        int r = sd_bus_message_read(call, "s", &address);

        if (r < 0)
                return r;
        if (!find(address))
                return no_such_device(error, address);
        if (strcmp(address, "0000:02:00.0") == 0)
                return sd_bus_reply_method_return(call, "a(sa{sv})", 0);
        return sd_bus_reply_method_return(
                call, "a(sa{sv})", 3, "flr", 6, "scope", "s", "function", "advertised", "b", 1, "enabled",
                "b", 1, "usable", "b", 1, "why", "as", 0, "proven", "a{sv}", 4, "tries", "t", UINT64_C(3),
                "ok", "t", UINT64_C(3), "dead", "t", UINT64_C(0), "median_usec", "t", UINT64_C(110000),
                "bus", 6, "scope", "s", "link", "advertised", "b", 1, "enabled", "b", 1, "usable", "b", 0,
                "why", "as", 2, "siblings", "from-the-future", "proven", "a{sv}", 3, "tries", "t",
                UINT64_C(2), "ok", "t", UINT64_C(1), "dead", "t", UINT64_C(1), "odd", 1, "scope", "i", 7);
}

static int append_facts(sd_bus_message *m, const char *key, const char *value)
{
        return sd_bus_message_append(m, "{sv}", key, "s", value);
}

/* A daemon of the first version: the least that a rung may have. */
static int append_old_rung(sd_bus_message *m, const char *address)
{
        return sd_bus_message_append(m, "a{sv}", 8, "method", "s", "flr", "reset_set", "ao", 1,
                                     path_of(address), "holders", "aa{sv}", 0, "usable", "b", 1, "why", "as",
                                     0, "actions", "as", 1, BUS_NAME ".reset", "expected_usec", "t",
                                     UINT64_C(100000), "lost", "as", 0);
}

static int append_rung(sd_bus_message *m, const char *address)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = append_facts(m, "method", "future_reset");
        if (r >= 0)
                r = append_facts(m, "scope", "power");
        if (r >= 0)
                r = sd_bus_message_append(
                        m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "busy", "as", 1, "held", "reset_set", "ao", 2,
                        path_of(address), path_of("0000:01:00.1"), "owners", "aa{sv}", 2, 4, "device", "o",
                        path_of(address), "who", "s", "the VM", "owner", "s", "uid:0", "lease", "s", "L1", 3,
                        "device", "o", path_of("0000:01:00.1"), "owner", "s", "", "lease", "s", "", "usable",
                        "b", 0, "why", "as", 3, "driver-bound", "storage-in-use", "from-the-future",
                        "expected_usec", "t", UINT64_C(0), "lost", "as", 1, "0000:01:00.1 e1000e");
        if (r < 0 || (r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append(m, "s", "holders")) < 0 ||
            (r = sd_bus_message_open_container(m, 'v', "aa{sv}")) < 0 || (r = append_holders(m)) < 0)
                return r;
        for (unsigned i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

static int on_plan(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const char *address, *method;
        sd_bus_message *reply;
        int r = sd_bus_message_read(call, "ss", &address, &method);

        if (r < 0)
                return r;
        if (!find(address))
                return no_such_device(error, address);
        if (strcmp(method, "options") == 0)
                return sd_bus_reply_method_return(call, "a{sv}", 1, "rungs", "aa{sv}", 1, 2, "method", "s",
                                                  seen_options(call), "usable", "b", 1);
        if (strcmp(method, "link") == 0)
                return sd_bus_reply_method_return(call, "a{sv}", 1, "rungs", "aa{sv}", 0);

        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0 || (r = sd_bus_message_open_container(reply, 'a', "{sv}")) < 0 ||
            (r = sd_bus_message_open_container(reply, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append(reply, "s", "rungs")) < 0 ||
            (r = sd_bus_message_open_container(reply, 'v', "aa{sv}")) < 0 ||
            (r = sd_bus_message_open_container(reply, 'a', "a{sv}")) < 0 ||
            (r = append_old_rung(reply, address)) < 0 || (r = append_rung(reply, address)) < 0)
                return r;
        for (unsigned i = 0; i < 4 && r >= 0; i++)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int reply_error(sd_bus_message *call, const char *name, const char *text)
{
        sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(name, text);
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_error(call, &reply, &error);

        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_jobs(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        if (!getenv("FAKE_JOBS"))
                return sd_bus_reply_method_return(call, "aa{sv}", 0);
        return sd_bus_reply_method_return(call, "aa{sv}", 1, 9, "id", "u", OUR_JOB, "job", "o",
                                          ROOT "/job/42", "device", "o", path_of("0000:01:00.0"), "address",
                                          "s", "0000:01:00.0", "method", "s", "bus", "phase", "s", "queued",
                                          "uid", "u", UINT32_C(0), "queued_at", "t",
                                          UINT64_C(1700000000000000), "started_at", "t", UINT64_C(0));
}

static int find_device(sd_bus *bus, const char *path, const char *interface, void *userdata, void **found,
                       sd_bus_error *error)
{
        char *address = NULL;
        int r = sd_bus_path_decode(path, DEVICE_ROOT, &address);

        if (r > 0)
                *found = (void *) find(address);
        free(address);
        return r > 0 && *found ? 1 : 0;
}

static int get_device_property(sd_bus *bus, const char *path, const char *interface, const char *property,
                               sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        const FakeDevice *device = userdata;

        if (strcmp(property, "Address") == 0)
                return sd_bus_message_append(reply, "s", device->address);
        if (strcmp(property, "VendorName") == 0)
                return sd_bus_message_append(reply, "s", "Example Corp.");
        if (strcmp(property, "DeviceName") == 0)
                return sd_bus_message_append(reply, "s", device->description);
        if (strcmp(property, "Driver") == 0)
                return sd_bus_message_append(reply, "s", device->driver);
        if (strcmp(property, "State") == 0)
                return sd_bus_message_append(reply, "s", device->state);
        if (strcmp(property, "Owner") == 0)
                return sd_bus_message_append(reply, "s", device->owner);
        if (strcmp(property, "InUse") == 0)
                return sd_bus_message_append(reply, "b", !*device->driver);
        if (strcmp(property, "Lease") == 0)
                return sd_bus_message_append(reply, "s", *device->owner ? "L1" : "");
        if (strcmp(property, "Parent") == 0)
                return sd_bus_message_append(
                        reply, "o", strcmp(device->driver, "nvme") == 0 ? "/" : path_of("0000:00:1c.0"));
        if (strcmp(property, "VendorId") == 0)
                return sd_bus_message_append(reply, "q", 0x8086);
        if (strcmp(property, "Class") == 0)
                return sd_bus_message_append(reply, "u", UINT32_C(0x020000));
        if (strcmp(property, "Generation") == 0)
                return sd_bus_message_append(reply, "t", UINT64_MAX);
        if (strcmp(device->driver, "") != 0)
                return sd_bus_message_append(reply, "a{sv}", 0);
        return sd_bus_message_append(reply, "a{sv}", 5, "method", "s", "flr", "verdict", "s", "ok",
                                     "duration_usec", "t", UINT64_C(110000), "finished_at", "t",
                                     UINT64_C(1700000000000000), "job", "u", OUR_JOB);
}

static int get_job_property(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        bool foreign = strcmp(path, ROOT "/job/41") == 0;

        if (strcmp(property, "Id") == 0)
                return sd_bus_message_append(reply, "u", foreign ? FOREIGN_JOB : OUR_JOB);
        if (strcmp(property, "Uid") == 0)
                return sd_bus_message_append(reply, "u", (uint32_t) geteuid() + (foreign ? 1 : 0));
        if (strcmp(property, "Method") == 0)
                return sd_bus_message_append(reply, "s", foreign ? "foreign" : "flr");
        if (!foreign)
                tell("waiting");
        return sd_bus_message_append(reply, "s", foreign ? "verifying" : job_phase());
}

static int on_cancel(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        if (strcmp(sd_bus_message_get_path(call), ROOT "/job/41") == 0)
                return sd_bus_error_set(error, BUS_NAME ".Error.NotUsable", "job 41: its reset has begun");
        return sd_bus_reply_method_return(call, NULL);
}

static int on_quarantine(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const FakeDevice *device = userdata;
        const char *reason;
        int r = sd_bus_message_read(call, "s", &reason);

        if (r < 0)
                return r;
        if (strcmp(device->state, "quarantined") == 0)
                return sd_bus_error_setf(error, BUS_NAME ".Error.Quarantined", "%s: it is in already",
                                         device->address);
        tell(reason);
        return sd_bus_reply_method_return(call, NULL);
}

/* Well when it was looked at last, and dead now; of another one nobody knows. */
static int on_health(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const FakeDevice *device = userdata;
        bool probe = strstr(seen_options(call), "probe=1") != NULL;

        if (strcmp(device->address, "0000:01:00.0") != 0)
                return sd_bus_reply_method_return(call, "a{sv}", 0);
        return sd_bus_reply_method_return(
                call, "a{sv}", 5, "verdict", "s", probe ? "dead" : "ok", "method", "s",
                probe ? "health" : "flr", "job", "u", UINT32_C(0), "checked_at", "t",
                UINT64_C(1700000000000000), "checks", "aa{sv}", 2, 5, "device", "o",
                path_of(device->address), "check", "s", "answers", "result", "s", probe ? "failed" : "ok",
                "before", "s", "answers", "after", "s", probe ? "all ones" : "answers", 4, "check", "s",
                "aer", "result", "s", "skipped", "before", "s", HOSTILE, "after", "s", "");
}

static int on_release(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const FakeDevice *device = userdata;
        const char *key, *reason;
        int r = sd_bus_message_read(call, "a{sv}", 1, &key, "s", &reason);

        if (r < 0)
                return r;
        if (strcmp(device->state, "quarantined") != 0)
                return sd_bus_error_setf(error, BUS_NAME ".Error.NotUsable", "%s: it is in none",
                                         device->address);
        tell(reason);
        return sd_bus_reply_method_return(call, NULL);
}

/* A reset has left it changed. */
static int get_quarantine(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        const FakeDevice *device = userdata;

        if (strcmp(device->state, "quarantined") != 0)
                return sd_bus_message_append(reply, "a{sv}", 0);
        return sd_bus_message_append(
                reply, "a{sv}", 5, "cause", "s", "degraded", "reason", "s", HOSTILE, "method", "s", "flr",
                "since", "t", UINT64_C(1700000000000000), "checks", "aa{sv}", 2, 4,
                "check", "s", "bars", "result", "s", "failed", "before", "s", "fe000000", "after", "s", "0",
                4, "check", "s", "aer", "result", "s", "ok", "before", "s", "0", "after", "s", "0");
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("ListDevices", NULL, "a(sossss)", on_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetDevice", "s", "o", on_get_device, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetMethods", "sa{sv}", "a(sa{sv})", on_methods, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Plan", "ssa{sv}", "a{sv}", on_plan, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Reset", "ssa{sv}", "a{sv}", on_reset, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListJobs", "a{sv}", "aa{sv}", on_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Acquire", "asssa{sv}", "hs", on_acquire, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListLeases", "a{sv}", "aa{sv}", on_leases, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Inhibit", "assssa{sv}", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListInhibitors", "a{sv}", "aa{sv}", on_inhibitors, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable device_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetHolders", "a{sv}", "aa{sv}", on_holders, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetHealth", "a{sv}", "a{sv}", on_health, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Quarantine", "sa{sv}", NULL, on_quarantine, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ReleaseQuarantine", "a{sv}", NULL, on_release, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Quarantine", "a{sv}", get_quarantine, 0, 0),
        SD_BUS_PROPERTY("Address", "s", get_device_property, 0, 0),
        SD_BUS_PROPERTY("InUse", "b", get_device_property, 0, 0),
        SD_BUS_PROPERTY("Lease", "s", get_device_property, 0, 0),
        SD_BUS_PROPERTY("VendorId", "q", get_device_property, 0, 0),
        SD_BUS_PROPERTY("Class", "u", get_device_property, 0, 0),
        SD_BUS_PROPERTY("VendorName", "s", get_device_property, 0, 0),
        SD_BUS_PROPERTY("DeviceName", "s", get_device_property, 0, 0),
        SD_BUS_PROPERTY("Driver", "s", get_device_property, 0, 0),
        SD_BUS_PROPERTY("Parent", "o", get_device_property, 0, 0),
        SD_BUS_PROPERTY("State", "s", get_device_property, 0, 0),
        SD_BUS_PROPERTY("Owner", "s", get_device_property, 0, 0),
        SD_BUS_PROPERTY("Generation", "t", get_device_property, 0, 0),
        SD_BUS_PROPERTY("LastReset", "a{sv}", get_device_property, 0, 0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Cancel", "a{sv}", NULL, on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Id", "u", get_job_property, 0, 0),
        SD_BUS_PROPERTY("Method", "s", get_job_property, 0, 0),
        SD_BUS_PROPERTY("Phase", "s", get_job_property, 0, 0),
        SD_BUS_PROPERTY("Uid", "u", get_job_property, 0, 0),
        SD_BUS_VTABLE_END,
};

int main(void)
{
        sd_bus *bus = NULL;
        int r;

        r = sd_event_default(&event);
        if (r >= 0)
                r = sd_bus_open_system(&bus);
        if (r < 0)
                failed("cannot connect", r);
        r = sd_bus_add_object_vtable(bus, NULL, ROOT, MANAGER, manager_vtable, NULL);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(bus, NULL, DEVICE_ROOT, DEVICE, device_vtable, find_device,
                                               NULL);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, ROOT "/job/41", JOB, job_vtable, NULL);
        if (r >= 0)
                r = sd_bus_add_object_vtable(bus, NULL, ROOT "/job/42", JOB, job_vtable, NULL);
        if (r >= 0)
                r = sd_bus_request_name(bus, BUS_NAME, 0);
        if (r >= 0)
                r = sd_bus_attach_event(bus, event, 0);
        if (r < 0)
                failed("cannot serve", r);

        tell("ready");
        r = sd_event_loop(event);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
