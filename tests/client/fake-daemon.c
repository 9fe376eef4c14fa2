/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * A stand-in for pciresetd that does what the tests of the client ask for. It speaks the interfaces in dbus/
 * and touches nothing. What it answers is chosen by the arguments of the call: some addresses have their
 * quirks, and the method given to Reset names a scene:
 *
 *   any flr           success                       bus              success, after a failure, of two
 * devices slow              a job with all its phases     degraded         "success" that proves nothing
 *   options           success; `method` tells which options came
 *   in_authorizing, in_queued, in_resetting         no answer, ever, in that phase
 *   vanish            the daemon dies in the middle vanish_early     before there is a job
 *   events            all signals, then success     garbled, garbled_error     bodies of other types
 *   hostile           an error full of control characters
 *   why_NAME          an error explained by its evidence   between     no answer, ever, after one method
 *   error_NAME        the error of that name, in lower case with underscores
 *
 * Prints `ready` when it has its name, `listed` when somebody has the list of devices, `waiting` when the
 * caller of a scene that does not answer knows all that there is to know.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define BUS_NAME    "org.pciresetd1"
#define ROOT        "/org/pciresetd1"
#define DEVICE_ROOT ROOT "/device"
#define MANAGER     "org.pciresetd1.Manager"
#define DEVICE      "org.pciresetd1.Device"
#define JOB         "org.pciresetd1.Job"
#define PROPERTIES  "org.freedesktop.DBus.Properties"
#define OBJECTS     "org.freedesktop.DBus.ObjectManager"
#define FOREIGN_JOB 41U
#define OUR_JOB     42U
#define STEP_USEC   600000U

#define HOSTILE "evil\033[2J\033]0;owned\a\nfake line \302\2331m\342\200\256txt\177"

typedef struct FakeDevice {
        const char *address, *driver, *state, *owner, *description;
} FakeDevice;

static const FakeDevice devices[] = {
        {"0000:01:00.0", "", "idle", "", "Example Corp. Plain Device"},
        {"0000:01:00.1", "e1000e", "resetting", "alice", HOSTILE},
        {"0000:02:00.0", "nvme", "idle", "",
         "Größe 株式会社 a description that is far too long for the width of any terminal that somebody may "
         "have "
         "open now"},
        {"10000:03:1f.7", "vfio-pci", "quarantined", "@vm", "Behind a domain of five digits"},
};

static sd_event *event;
static sd_bus_message *pending; /* the Reset call of the slow scenes */
static const char *phase = "queued";
static unsigned step;

/* Tells the script, which must not guess by time. */
static void tell(const char *what)
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

/* The path of a device, in a buffer that the next but three call overwrites. */
static const char *path_of(const char *address)
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

static int on_plan(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const char *address, *method;
        int r = sd_bus_message_read(call, "ss", &address, &method);

        if (r < 0)
                return r;
        if (!find(address))
                return no_such_device(error, address);
        if (strcmp(method, "link") == 0)
                return sd_bus_reply_method_return(call, "a{sv}", 1, "rungs", "aa{sv}", 0);
        return sd_bus_reply_method_return(
                call, "a{sv}", 1, "rungs", "aa{sv}", 2, 8, "method", "s", "flr", "reset_set", "ao", 1,
                path_of(address), "holders", "aa{sv}", 0, "usable", "b", 1, "why", "as", 0, "actions", "as",
                1, BUS_NAME ".reset", "expected_usec", "t", UINT64_C(100000), "lost", "as", 0, 8, "method",
                "s", "acpi", "reset_set", "ao", 2, path_of(address), path_of("0000:01:00.1"), "holders",
                "aa{sv}", 1, 3, "device", "o", path_of("0000:01:00.1"), "kind", "s", "driver", "name", "s",
                "e1000e", "usable", "b", 0, "why", "as", 1, "driver-bound", "actions", "as", 0,
                "expected_usec", "t", UINT64_C(0), "lost", "as", 1, "link state");
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

static int append_attempt(sd_bus_message *m, const char *method, const char *outcome, const char *why,
                          int error, const char *verdict, const char *list)
{
        return sd_bus_message_append(m, "a{sv}", 9, "method", "s", method, "outcome", "s", outcome, "why",
                                     "s", why, "errno", "i", error, "error", "s", error ? "ResetFailed" : "",
                                     "verdict", "s", verdict, "started_usec", "t", UINT64_C(1000000),
                                     "finished_usec", "t", UINT64_C(1100000), "reset_method", "s", list);
}

/* The keys of a result: what is told of a success and of a failure. */
static int append_result(sd_bus_message *m, const char *method, const char *verdict, bool failure,
                         bool shared)
{
        int r = sd_bus_message_open_container(m, 'a', "{sv}");

        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}", "method", "s", method, "verdict", "s",
                                          verdict, "duration_usec", "t", UINT64_C(110000), "job", "u",
                                          OUR_JOB);
        if (r >= 0 && shared)
                r = sd_bus_message_append(m, "{sv}", "reset_set", "ao", 2, path_of("0000:01:00.0"),
                                          path_of("0000:01:00.1"));
        else if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "reset_set", "ao", 1, path_of("0000:01:00.0"));
        if (r < 0 || (r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append(m, "s", "attempts")) < 0 ||
            (r = sd_bus_message_open_container(m, 'v', "aa{sv}")) < 0 ||
            (r = sd_bus_message_open_container(m, 'a', "a{sv}")) < 0)
                return r;
        if (failure || shared)
                r = append_attempt(m, "flr", "failed", "", ENOTTY, "unverified", "exact");
        if (r >= 0 && failure)
                r = append_attempt(m, "bus", "unusable", "siblings", 0, "unverified", "untouched");
        if (r >= 0)
                r = append_attempt(m, method, "done", "", 0, verdict, shared ? "lost" : "exact");
        for (unsigned i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(m);
        if (r >= 0 && failure)
                r = sd_bus_message_append(m, "{sv}", "checks", "aa{sv}", 2, 5, "device", "o",
                                          path_of("0000:01:00.0"), "check", "s", "command", "result", "s",
                                          "failed", "before", "s", "0x0006", "after", "s", "0xffff", 3,
                                          "device", "o", path_of("0000:01:00.0"), "check", "s", "ids",
                                          "result", "s", "ok");
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int reply_result(sd_bus_message *call, const char *method, const char *verdict, bool shared)
{
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_return(call, &reply);

        if (r >= 0)
                r = append_result(reply, method, verdict, false, shared);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int reply_error(sd_bus_message *call, const char *name, const char *text, bool evidence)
{
        sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(name, text);
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_error(call, &reply, &error);

        if (r >= 0 && evidence)
                r = append_result(reply, "pm", "dead", true, false);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int reply_named_error(sd_bus_message *call, const char *name)
{
        static const struct {
                const char *scene, *name;
                bool evidence;
        } errors[] = {
                {"access_denied", SD_BUS_ERROR_ACCESS_DENIED, true},
                {"interactive", SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, false},
                {"policy_denied", BUS_NAME ".Error.PolicyDenied", false},
                {"device_gone", BUS_NAME ".Error.DeviceGone", false},
                {"invalid_method", BUS_NAME ".Error.InvalidMethod", false},
                {"not_usable", BUS_NAME ".Error.NotUsable", false},
                {"in_use", BUS_NAME ".Error.InUse", false},
                {"leased", BUS_NAME ".Error.Leased", false},
                {"inhibited", BUS_NAME ".Error.Inhibited", false},
                {"quarantined", BUS_NAME ".Error.Quarantined", false},
                {"recovering", BUS_NAME ".Error.Recovering", false},
                {"limits", BUS_NAME ".Error.LimitsExceeded", false},
                {"reset_failed", BUS_NAME ".Error.ResetFailed", true},
                {"device_dead", BUS_NAME ".Error.DeviceDead", true},
                {"timed_out", BUS_NAME ".Error.TimedOut", false},
                {"cancelled", BUS_NAME ".Error.Cancelled", false},
                {"invalid_args", SD_BUS_ERROR_INVALID_ARGS, false},
                {"other", "org.example.Other", false},
        };

        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
                if (strcmp(errors[i].scene, name) == 0)
                        return reply_error(call, errors[i].name, "0000:01:00.0: the daemon's own words",
                                           errors[i].evidence);
        return reply_error(call, SD_BUS_ERROR_FAILED, "no such scene", false);
}

/* An error that only its evidence explains. */
static int reply_why(sd_bus_message *call, const char *scene)
{
        static const char *const whys[][3] = {
                {"busy", "busy", BUS_NAME ".Error.NotUsable"},
                {"polkit", "polkit-failed", SD_BUS_ERROR_ACCESS_DENIED},
                {"dismissed", "dismissed", SD_BUS_ERROR_ACCESS_DENIED},
        };

        for (size_t i = 0; i < sizeof(whys) / sizeof(whys[0]); i++) {
                sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(whys[i][2], "words");
                sd_bus_message *reply;
                int r;

                if (strcmp(whys[i][0], scene) != 0)
                        continue;
                r = sd_bus_message_new_method_error(call, &reply, &error);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "a{sv}", 1, "attempts", "aa{sv}", 1, 3, "method",
                                                  "s", "flr", "outcome", "s", "denied", "why", "s",
                                                  whys[i][1]);
                return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
        }
        return reply_error(call, SD_BUS_ERROR_FAILED, "no such scene", false);
}

static int signal_job(sd_bus *bus, const char *member, unsigned id, const char *result)
{
        char path[64];

        (void) snprintf(path, sizeof(path), ROOT "/job/%u", id);
        if (result)
                return sd_bus_emit_signal(bus, ROOT, MANAGER, member, "uoss", id, path, "0000:01:00.0",
                                          result);
        return sd_bus_emit_signal(bus, ROOT, MANAGER, member, "uos", id, path, "0000:01:00.0");
}

static int announce(sd_bus *bus, const char *new_phase)
{
        phase = new_phase;
        /* Somebody else's job for the same device must not be taken for ours. */
        (void) signal_job(bus, "JobNew", FOREIGN_JOB, NULL);
        return signal_job(bus, "JobNew", OUR_JOB, NULL);
}

static int change_phase(sd_bus *bus, const char *new_phase)
{
        phase = new_phase;
        return sd_bus_emit_signal(bus, ROOT "/job/42", PROPERTIES, "PropertiesChanged", "sa{sv}as", JOB, 1,
                                  "Phase", "s", phase, 0);
}

static int on_step(sd_event_source *source, uint64_t usec, void *userdata)
{
        static const char *const phases[] = {"queued", "authorizing", "resetting", "verifying"};
        sd_bus *bus = userdata;

        if (++step < sizeof(phases) / sizeof(phases[0])) {
                (void) change_phase(bus, phases[step]);
                (void) sd_event_source_set_time_relative(source, STEP_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        (void) signal_job(bus, "JobRemoved", OUR_JOB, "done");
        (void) reply_result(pending, "flr", "ok", false);
        pending = sd_bus_message_unref(pending);
        sd_event_source_disable_unref(source);
        return 0;
}

static int on_between(sd_event_source *source, uint64_t usec, void *userdata)
{
        sd_event_source_disable_unref(source);
        (void) change_phase(userdata, "queued");
        tell("between");
        return 0;
}

static int play_slow(sd_bus_message *call)
{
        sd_bus *bus = sd_bus_message_get_bus(call);
        sd_event_source *source;
        int r;

        step = 0;
        pending = sd_bus_message_ref(call);
        (void) announce(bus, "queued");
        r = sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, STEP_USEC, 1000, on_step, bus);
        return r < 0 ? r : 1;
}

static int play_events(sd_bus_message *call)
{
        sd_bus *bus = sd_bus_message_get_bus(call);
        const char *path = path_of("0000:05:00.0"), *known = path_of("0000:01:00.0");

        (void) sd_bus_emit_signal(bus, ROOT, OBJECTS, "InterfacesAdded", "oa{sa{sv}}", path, 1, DEVICE, 4,
                                  "Driver", "s", "nvme", "State", "s", "idle", "VendorName", "s", HOSTILE,
                                  "DeviceName", "s", "Disk");
        (void) sd_bus_emit_signal(bus, path, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, 1,
                                  "Driver", "s", "vfio-pci", 0);
        (void) signal_job(bus, "JobNew", OUR_JOB, NULL);
        (void) change_phase(bus, "resetting");
        (void) sd_bus_emit_signal(bus, known, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, 2,
                                  "State", "s", "resetting", "LastReset", "a{sv}", 3, "method", "s", "flr",
                                  "verdict", "s", "ok", "duration_usec", "t", UINT64_C(110000), 1,
                                  "Methods");
        (void) signal_job(bus, "JobRemoved", OUR_JOB, "done");
        (void) sd_bus_emit_signal(bus, ROOT, OBJECTS, "InterfacesRemoved", "oas", path, 1, DEVICE);
        return reply_result(call, "flr", "ok", false);
}

static int play_options(sd_bus_message *call)
{
        char seen[256] = "";
        const char *key, *contents;
        char type;
        int r = sd_bus_message_enter_container(call, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
                (void) sd_bus_message_read(call, "s", &key);
                (void) sd_bus_message_peek_type(call, &type, &contents);
                if (strcmp(contents, "t") == 0) {
                        uint64_t value = 0;

                        (void) sd_bus_message_read(call, "v", "t", &value);
                        (void) snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%llu ", key,
                                        (unsigned long long) value);
                } else {
                        int value = -1;

                        (void) sd_bus_message_read(call, "v", "b", &value);
                        (void) snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%d ", key,
                                        value);
                }
                r = sd_bus_message_exit_container(call);
        }
        (void) snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "interactive=%d",
                        sd_bus_message_get_allow_interactive_authorization(call));
        return reply_result(call, seen, "ok", false);
}

/* The scenes that never answer. */
static int play_hang(sd_bus_message *call, const char *method)
{
        sd_bus *bus = sd_bus_message_get_bus(call);
        int r;

        pending = sd_bus_message_ref(call);
        if (strcmp(method, "vanish_early") == 0)
                exit(EXIT_SUCCESS);
        if (strcmp(method, "vanish") == 0) {
                sd_event_source *source;

                (void) announce(bus, "resetting");
                (void) sd_bus_flush(bus);
                /* Without a callback the timer ends the loop. */
                r = sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, STEP_USEC, 1000, NULL, NULL);
                return r < 0 ? r : 1;
        }
        if (strcmp(method, "in_authorizing") != 0)
                return announce(bus, method + strlen("in_"));
        tell("waiting");
        return 1;
}

/* A first method has failed, and the next one waits for its turn, for ever. */
static int play_between(sd_bus_message *call)
{
        sd_bus *bus = sd_bus_message_get_bus(call);
        sd_event_source *source;
        int r;

        (void) play_hang(call, "in_resetting");
        r = sd_event_add_time_relative(event, &source, CLOCK_MONOTONIC, STEP_USEC / 2, 1000, on_between,
                                       bus);
        return r < 0 ? r : 1;
}

static int on_reset(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        const char *address, *method;
        int r = sd_bus_message_read(call, "ss", &address, &method);

        if (r < 0)
                return r;
        if (strcmp(method, "any") == 0 || strcmp(method, "flr") == 0)
                return reply_result(call, "flr", "ok", false);
        if (strcmp(method, "bus") == 0)
                return reply_result(call, "bus", "ok", true);
        if (strcmp(method, "degraded") == 0)
                return reply_result(call, "flr", "degraded", false);
        if (strcmp(method, "slow") == 0)
                return play_slow(call);
        if (strcmp(method, "between") == 0)
                return play_between(call);
        if (strcmp(method, "options") == 0)
                return play_options(call);
        if (strcmp(method, "events") == 0)
                return play_events(call);
        if (strncmp(method, "in_", 3) == 0 || strncmp(method, "vanish", 6) == 0)
                return play_hang(call, method);
        if (strcmp(method, "garbled") == 0)
                return sd_bus_reply_method_return(call, "a{sv}", 4, "method", "i", 5, "verdict", "as", 1,
                                                  "ok", "attempts", "a{sv}", 1, "flr", "s", "x", "reset_set",
                                                  "ai", 1, 7);
        if (strcmp(method, "garbled_error") == 0) {
                sd_bus_error e = SD_BUS_ERROR_MAKE_CONST(BUS_NAME ".Error.ResetFailed", "words");
                sd_bus_message *reply;

                r = sd_bus_message_new_method_error(call, &reply, &e);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "(iav)", 7, 1, "a{sv}", 1, "attempts", "s", "none");
                return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
        }
        if (strcmp(method, "hostile") == 0)
                return reply_error(call, BUS_NAME ".Error.ResetFailed", HOSTILE, false);
        if (strncmp(method, "why_", 4) == 0)
                return reply_why(call, method + 4);
        if (strncmp(method, "error_", 6) == 0)
                return reply_named_error(call, method + 6);
        return reply_error(call, BUS_NAME ".Error.InvalidMethod", "no such scene", false);
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
        return sd_bus_message_append(reply, "a{sv}", 6, "method", "s", "flr", "verdict", "s", "ok",
                                     "duration_usec", "t", UINT64_C(110000), "finished_at", "t",
                                     UINT64_C(1700000000000000), "uid", "u", UINT32_C(0), "job", "u",
                                     OUR_JOB);
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
        return sd_bus_message_append(reply, "s", foreign ? "verifying" : phase);
}

static int on_cancel(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
        if (strcmp(sd_bus_message_get_path(call), ROOT "/job/41") == 0)
                return sd_bus_error_set(error, BUS_NAME ".Error.NotUsable", "job 41: its reset has begun");
        return sd_bus_reply_method_return(call, NULL);
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("ListDevices", NULL, "a(sossss)", on_list, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetDevice", "s", "o", on_get_device, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetMethods", "sa{sv}", "a(sa{sv})", on_methods, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Plan", "ssa{sv}", "a{sv}", on_plan, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Reset", "ssa{sv}", "a{sv}", on_reset, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListJobs", "a{sv}", "aa{sv}", on_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable device_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Address", "s", get_device_property, 0, 0),
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
