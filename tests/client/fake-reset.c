/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The stand-in's Reset. What it answers is chosen by the name of the method, which is the name of a scene:
 * see fake-daemon.c.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fake-daemon.h"

static sd_bus_message *pending; /* the Reset call of the slow scenes */
static const char *phase = "queued";
static unsigned step;

const char *job_phase(void)
{
        return phase;
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

static int reply_evidence(sd_bus_message *call, const char *name, const char *text, bool evidence)
{
        sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(name, text);
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_error(call, &reply, &error);

        if (r >= 0 && evidence)
                r = append_result(reply, "pm", "dead", true, false);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* What its details name. */
static int reply_holders(sd_bus_message *call, const char *name, const char *text)
{
        sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(name, text);
        sd_bus_message *reply;
        int r = sd_bus_message_new_method_error(call, &reply, &error);

        if (r < 0 || (r = sd_bus_message_open_container(reply, 'a', "{sv}")) < 0 ||
            (r = sd_bus_message_open_container(reply, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append(reply, "s", "holders")) < 0 ||
            (r = sd_bus_message_open_container(reply, 'v', "aa{sv}")) < 0 || (r = append_holders(reply)) < 0)
                return r;
        for (unsigned i = 0; i < 3 && r >= 0; i++)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static const char *error_of_holders(const char *scene)
{
        return strcmp(scene, "leased") == 0      ? BUS_NAME ".Error.Leased"
               : strcmp(scene, "inhibited") == 0 ? BUS_NAME ".Error.Inhibited"
                                                 : BUS_NAME ".Error.InUse";
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
                        return reply_evidence(call, errors[i].name, "0000:01:00.0: the daemon's own words",
                                              errors[i].evidence);
        return reply_error(call, SD_BUS_ERROR_FAILED, "no such scene");
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
        return reply_error(call, SD_BUS_ERROR_FAILED, "no such scene");
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
        (void) sd_bus_emit_signal(bus, ROOT, MANAGER, "PrepareForReset", "uaob", OUR_JOB, 2, known, path, 1);
        (void) sd_bus_emit_signal(bus, known, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, 2,
                                  "InUse", "b", 1, "Lease", "s", "L1", 0);
        (void) sd_bus_emit_signal(bus, path, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, 1, "InUse",
                                  "b", 0, 0);
        (void) change_phase(bus, "resetting");
        (void) sd_bus_emit_signal(bus, known, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, 2,
                                  "State", "s", "resetting", "LastReset", "a{sv}", 3, "method", "s", "flr",
                                  "verdict", "s", "ok", "duration_usec", "t", UINT64_C(110000), 1,
                                  "Methods");
        (void) sd_bus_emit_signal(bus, ROOT, MANAGER, "PrepareForReset", "uaob", OUR_JOB, 2, known, path, 0);
        (void) signal_job(bus, "JobRemoved", OUR_JOB, "done");
        (void) sd_bus_emit_signal(bus, ROOT, OBJECTS, "InterfacesRemoved", "oas", path, 1, DEVICE);
        return reply_result(call, "flr", "ok", false);
}

const char *seen_options(sd_bus_message *call)
{
        static char seen[256];
        const char *key, *contents;
        char type;
        int r = sd_bus_message_enter_container(call, 'a', "{sv}");

        seen[0] = '\0';
        while (r >= 0 && (r = sd_bus_message_enter_container(call, 'e', "sv")) > 0) {
                (void) sd_bus_message_read(call, "s", &key);
                (void) sd_bus_message_peek_type(call, &type, &contents);
                if (strcmp(contents, "s") == 0) {
                        const char *value = "";

                        (void) sd_bus_message_read(call, "v", "s", &value);
                        (void) snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%s ", key,
                                        value);
                } else if (strcmp(contents, "h") == 0) {
                        struct stat status;
                        int fd = -1;

                        (void) sd_bus_message_read(call, "v", "h", &fd);
                        (void) snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%s ", key,
                                        fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) ? "fifo" : "?");
                } else if (strcmp(contents, "t") == 0) {
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
        return seen;
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

int on_reset(sd_bus_message *call, void *userdata, sd_bus_error *error)
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
        if (strcmp(method, "recover") == 0 && strcmp(address, "0000:02:00.0") == 0)
                return reply_evidence(
                        call, BUS_NAME ".Error.DeviceDead",
                        "0000:02:00.0: the device does not answer. Nothing more can be done from "
                        "here: it needs a cold power cycle.",
                        true);
        if (strcmp(method, "slow") == 0 || strcmp(method, "recover") == 0)
                return play_slow(call);
        if (strcmp(method, "between") == 0)
                return play_between(call);
        if (strcmp(method, "options") == 0)
                return reply_result(call, seen_options(call), "ok", false);
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
                return reply_error(call, BUS_NAME ".Error.ResetFailed", HOSTILE);
        if (strncmp(method, "why_", 4) == 0)
                return reply_why(call, method + 4);
        if (strncmp(method, "holders_", 8) == 0)
                return reply_holders(call, error_of_holders(method + 8), "0000:01:00.0: in use.");
        if (strncmp(method, "told_", 5) == 0)
                return reply_holders(call, error_of_holders(method + 5),
                                     "0000:01:00.0: in use: process 4242 (Xorg, uid 0) has /dev/dri/card0 "
                                     "open; of 0000:01:00.1: "
                                     "/dev/nvme0n1p1 on /mnt is mounted; 2 processes of others have it open "
                                     "through VFIO.");
        if (strcmp(method, "no_lease") == 0)
                return reply_error(call, SD_BUS_ERROR_INVALID_ARGS, "Option 'lease_fd' is not one.");
        if (strcmp(method, "no_rule") == 0)
                return reply_error(
                        call, SD_BUS_ERROR_ACCESS_DENIED,
                        "0000:01:00.0: an administrator can allow it with a polkit rule for " BUS_NAME
                        ".reset.");
        if (strncmp(method, "error_", 6) == 0)
                return reply_named_error(call, method + 6);
        return reply_error(call, BUS_NAME ".Error.InvalidMethod", "no such scene");
}
