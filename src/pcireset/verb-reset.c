/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `reset` and `recover`: one call that may take minutes, and an event loop around it, which ends in one of
 * four ways: the call is answered, it has taken longer than the daemon allows itself, the daemon is gone, or
 * the user does not want to wait any more.
 *
 * The call goes to the unique name of the daemon that knows the device: a successor would know nothing of
 * this call. The job that belongs to the call is found by what both have in common, the address and the
 * user; it serves to say what is going on, and to find out how a reset has ended that has outlived its
 * daemon (reset-rejoin.c).
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "pcireset/agent.h"
#include "pcireset/error-text.h"
#include "pcireset/names.h"
#include "pcireset/progress.h"
#include "pcireset/request.h"
#include "pcireset/reset-rejoin.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"
#include "pcireset/words.h"

#define DAEMON_TIMEOUT_USEC (15 * 60 * USEC_PER_SEC) /* its default */
#define MARGIN_USEC         (5 * 60 * USEC_PER_SEC) /* polkit's dialog, the queue for the reply */
#define REDRAW_USEC         (250 * USEC_PER_MSEC)

#define NAME_MAX_LENGTH 64U

typedef enum End {
        END_NOT_YET,
        END_REPLY,
        END_REJOINED,
        END_VANISHED,
        END_INTERRUPTED,
} End;

typedef struct Wait {
        Client *client;
        sd_event *event;
        char *owner; /* the daemon's unique name */
        pid_t agent;
        Progress progress;
        uint64_t since; /* CLOCK_REALTIME, when it was sent */
        uint64_t deadline; /* CLOCK_MONOTONIC, when the local timer of the call runs out */

        char *job; /* the path of ours, NULL: not known (yet) */
        char phase[NAME_MAX_LENGTH];
        char method[NAME_MAX_LENGTH];
        bool begun; /* a worker has had the job */
        Rejoin *rejoin; /* its daemon has left the bus, and the next one is asked */
        bool tells_rungs; /* each of them has a line of its own, */
        char told[NAME_MAX_LENGTH]; /* this one already */

        End end;
        sd_bus_message *reply;
} Wait;

static int finish(Wait *wait, End end)
{
        if (wait->end == END_NOT_YET)
                wait->end = end;
        return sd_event_exit(wait->event, 0);
}

static bool in_worker(const Wait *wait)
{
        return strcmp(wait->phase, "resetting") == 0 || strcmp(wait->phase, "verifying") == 0;
}

static void draw(Wait *wait)
{
        const char *phase = *wait->phase ? wait->phase : "authorizing";
        char text[sizeof(wait->phase) + sizeof(wait->method) + 64];

        /* A password may be typed on this terminal right now. */
        if (wait->agent > 0 && strcmp(phase, "authorizing") == 0) {
                progress_clear(&wait->progress);
                return;
        }
        (void) snprintf(text, sizeof(text), "%s%s%s", wait->method, *wait->method ? ": " : "",
                        phase_to_words(phase));
        progress_draw(&wait->progress, wait->client->address, text);
}

/* A recovery takes many minutes, and whoever waits for it, be it by reading a file, wants to know how far it
 * is. */
static void tell_rung(Wait *wait)
{
        if (!wait->tells_rungs || !in_worker(wait) || strcmp(wait->told, wait->method) == 0)
                return;
        memcpy(wait->told, wait->method, sizeof(wait->told));
        progress_clear(&wait->progress);
        (void) text_print_line(stderr, "%s: trying %s", wait->client->address, wait->method);
        (void) fflush(stderr);
}

/* Takes over what is said about the job. */
static void update_job(Wait *wait, json_object *properties)
{
        const char *phase = json_get_string(properties, "Phase"),
                   *method = json_get_string(properties, "Method");

        if (*phase)
                (void) snprintf(wait->phase, sizeof(wait->phase), "%s", phase);
        if (*method)
                (void) snprintf(wait->method, sizeof(wait->method), "%s", method);
        if (in_worker(wait))
                wait->begun = true;
        tell_rung(wait);
        draw(wait);
}

static void forget_job(Wait *wait)
{
        free(wait->job);
        wait->job = NULL;
}

/* Signals reach everybody who matches them; only the daemon's are believed. */
static bool from_daemon(const Wait *wait, sd_bus_message *message)
{
        const char *sender = sd_bus_message_get_sender(message);

        return sender && strcmp(sender, wait->owner) == 0;
}

static int on_job_properties(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *properties = NULL;
        Wait *wait = userdata;

        /* A job that is gone already is no failure of the reset. */
        if (wait->job || sd_bus_message_is_method_error(reply, NULL) ||
            bus_json_read(reply, &properties) <= 0 || json_get_unsigned(properties, "Uid") != geteuid())
                return 0;

        if (asprintf(&wait->job, JOB_PATH "/%" PRIu64, json_get_unsigned(properties, "Id")) < 0) {
                wait->job = NULL;
                return 0;
        }
        update_job(wait, properties);
        return 0;
}

static int on_job_new(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        const char *path, *address;
        Wait *wait = userdata;
        uint32_t id;

        if (wait->job || !from_daemon(wait, message) ||
            sd_bus_message_read(message, "uos", &id, &path, &address) < 0 ||
            strcmp(address, wait->client->address) != 0)
                return 0;

        /* What changes until this is answered is in the answer. */
        return sd_bus_call_method_async(wait->client->bus, NULL, wait->owner, path, PROPERTIES_INTERFACE,
                                        "GetAll", on_job_properties, wait, "s", JOB_INTERFACE);
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        const char *path;
        Wait *wait = userdata;
        uint32_t id;

        if (wait->job && !wait->rejoin && from_daemon(wait, message) &&
            sd_bus_message_read(message, "uo", &id, &path) >= 0 && strcmp(path, wait->job) == 0)
                forget_job(wait);
        return 0;
}

static int on_properties_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_object *properties = NULL;
        Wait *wait = userdata;

        if (wait->job && from_daemon(wait, message) &&
            strcmp(sd_bus_message_get_path(message), wait->job) == 0 &&
            sd_bus_message_skip(message, "s") >= 0 && bus_json_read(message, &properties) > 0)
                update_job(wait, properties);
        return 0;
}

static void on_rejoined(void *userdata, bool found)
{
        (void) finish(userdata, found ? END_REJOINED : END_VANISHED);
}

/* The daemon is gone. A reset that has begun goes on without it, and the next one knows of it. */
static int leave(Wait *wait)
{
        uint64_t job = 0;
        int r = 0;

        if (wait->job)
                (void) sscanf(wait->job, JOB_PATH "/%" SCNu64, &job);
        if (!wait->rejoin)
                r = rejoin_new(wait->client, wait->event, job, wait->since, wait->deadline, on_rejoined,
                               wait, &wait->rejoin);
        return r < 0 ? finish(wait, END_VANISHED) : 0;
}

static int on_owner_changed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error)
{
        const char *sender = sd_bus_message_get_sender(message), *name, *before;
        Wait *wait = userdata;

        if (!sender || strcmp(sender, "org.freedesktop.DBus") != 0 ||
            sd_bus_message_read(message, "ss", &name, &before) < 0 || strcmp(before, wait->owner) != 0)
                return 0;
        return leave(wait);
}

static int on_reset_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        Wait *wait = userdata;

        /* The bus may answer in the daemon's place before it tells that the daemon is gone. */
        if (sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NO_REPLY) &&
            now_monotonic_usec() < wait->deadline)
                return leave(wait);
        wait->reply = sd_bus_message_ref(reply);
        return finish(wait, END_REPLY);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        return finish(userdata, END_INTERRUPTED);
}

static int on_redraw(sd_event_source *source, uint64_t usec, void *userdata)
{
        Wait *wait = userdata;
        int r;

        draw(wait);
        r = sd_event_source_set_time_relative(source, REDRAW_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int watch_bus(Wait *wait)
{
        sd_bus *bus = wait->client->bus;
        _cleanup_free_ char *properties = NULL;
        int r;

        if (asprintf(&properties, "type='signal',sender='" BUS_NAME "',path_namespace='" JOB_PATH
                                  "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
                                  "arg0='" JOB_INTERFACE "'") < 0)
                return -ENOMEM;

        r = sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                "org.freedesktop.DBus", "NameOwnerChanged", on_owner_changed, wait);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, BUS_NAME, ROOT_PATH, MANAGER_INTERFACE, "JobNew",
                                        on_job_new, wait);
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, BUS_NAME, ROOT_PATH, MANAGER_INTERFACE, "JobRemoved",
                                        on_job_removed, wait);
        if (r >= 0)
                r = sd_bus_add_match(bus, NULL, properties, on_properties_changed, wait);
        if (r >= 0)
                r = sd_bus_attach_event(bus, wait->event, SD_EVENT_PRIORITY_NORMAL);
        return r;
}

static int append_reset_options(const Client *client, sd_bus_message *call)
{
        int r;

        r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0)
                r = request_append(client, call);
        if (r >= 0 && client->no_wait)
                r = sd_bus_message_append(call, "{sv}", "no_wait", "b", 1);
        if (r >= 0 && client->timeout_usec > 0)
                r = sd_bus_message_append(call, "{sv}", "timeout_usec", "t", client->timeout_usec);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

static int send_reset(Wait *wait)
{
        Client *client = wait->client;
        _cleanup_message_ sd_bus_message *call = NULL;
        uint64_t timeout = (client->timeout_usec > 0 ? client->timeout_usec : DAEMON_TIMEOUT_USEC) +
                           MARGIN_USEC;
        int r;

        r = client_new_call(client, wait->owner, ROOT_PATH, MANAGER_INTERFACE, "Reset", true, &call);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "ss", client->address, client->method);
        if (r < 0)
                return r;
        r = append_reset_options(client, call);
        if (r < 0)
                return r;

        /* The daemon counts from the start of the job, its own timer must always be first. */
        if (timeout < DAEMON_TIMEOUT_USEC + MARGIN_USEC)
                timeout = DAEMON_TIMEOUT_USEC + MARGIN_USEC;
        wait->since = now_realtime_usec();
        wait->deadline = now_monotonic_usec() + timeout;
        return sd_bus_call_async(client->bus, NULL, call, on_reset_reply, wait, timeout);
}

/* `also reset: …`: everything in the set but the target itself. NULL: out of memory. */
static char *others_in_set(const Client *client, json_object *result)
{
        _cleanup_json_ json_object *others = json_object_new_array();
        json_object *set = json_get_array(result, "reset_set");

        if (!others)
                return NULL;
        for (size_t i = 0; i < json_length(set); i++) {
                _cleanup_free_ char *address = device_path_to_address(json_get_string_at(set, i));

                if (!address)
                        return NULL;
                if (strcmp(address, client->address) != 0 &&
                    json_append(others, json_object_new_string(address)) < 0)
                        return NULL;
        }
        return json_join(others, ", ");
}

static int print_success(const Client *client, json_object *result)
{
        _cleanup_free_ char *others = others_in_set(client, result);
        char duration[TEXT_DURATION_MAX];
        int r;

        if (!others)
                return -ENOMEM;
        r = text_print_line(stdout, "%s: reset by %s in %s, verified: %s%s%s", client->address,
                            json_get_string(result, "method"),
                            text_duration(json_get_unsigned(result, "duration_usec"), duration),
                            json_get_string(result, "verdict"), *others ? "; also reset: " : "", others);
        (void) fflush(stdout);
        return r < 0 ? r : print_evidence(stderr, result, true);
}

static ExitCode report_vanished(const Wait *wait)
{
        return report_failure(
                wait->client, EXIT_UNREACHABLE, CLIENT_ERROR("DaemonVanished"),
                "See `systemctl status pciresetd`; once it is back, `pcireset jobs` and `pcireset show` "
                "tell what became of it.",
                wait->begun ? "%s: pciresetd left the bus during the reset. A reset that has begun goes "
                              "on to its end, but nobody has told this client about it"
                            : "%s: pciresetd left the bus before the reset was seen to begin",
                wait->client->address);
}

static int report_result(Wait *wait)
{
        Client *client = wait->client;
        _cleanup_json_ json_object *result = NULL;
        bool timed_out = now_monotonic_usec() >= wait->deadline;
        int r;

        if (sd_bus_message_is_method_error(wait->reply, NULL))
                return report_reply(client, wait->reply, timed_out);

        r = bus_json_read(wait->reply, &result);
        if (r <= 0)
                return r < 0 ? r : -EBADMSG;
        r = client->json ? json_print(stdout, result, false) : print_success(client, result);
        if (r < 0)
                return r;
        /* A daemon that follows its own rules answers so only with `ok`; scripts rely on it. */
        return strcmp(json_get_string(result, "verdict"), "ok") == 0 ? EXIT_OK : EXIT_RESET_FAILED;
}

/* How it ended stands in the history. */
static int report_rejoined(const Wait *wait)
{
        const Client *client = wait->client;
        json_object *result = rejoin_result(wait->rejoin);
        const char *verdict = json_get_string(result, "verdict"), *error = rejoin_error(wait->rejoin);

        if (*error)
                return report_failure(
                        client, error_exit_code(error), error,
                        "`pcireset history` has the checks; the kernel log may say more.",
                        "%s: pciresetd was started anew during the reset by %s, which ended: %s",
                        client->address, json_get_string(result, "method"),
                        *json_get_string(result, "why") ? json_get_string(result, "why") : verdict);
        return client->json ? json_print(stdout, result, false) : print_success(client, result);
}

static ExitCode report_interrupted(const Wait *wait)
{
        const Client *client = wait->client;

        if (in_worker(wait))
                return report_failure(
                        client, EXIT_CANCELLED, CLIENT_ERROR("Interrupted"),
                        "`pcireset jobs` shows when it has ended, `pcireset show` how.",
                        "%s: interrupted, but the reset has begun and cannot be stopped: it goes on "
                        "without this client",
                        client->address);
        if (wait->begun)
                return report_failure(
                        client, EXIT_CANCELLED, CLIENT_ERROR("Interrupted"),
                        "`pcireset show` tells how the device is.",
                        "%s: interrupted between two methods: what was tried has happened, nothing "
                        "more will be tried",
                        client->address);
        return report_failure(client, EXIT_CANCELLED, CLIENT_ERROR("Interrupted"), NULL,
                              "%s: interrupted before the reset began: it is cancelled, nothing was reset",
                              client->address);
}

static int run(Wait *wait)
{
        int r;

        r = client_watch_signals(wait->event, on_signal, wait);
        if (r < 0)
                return r;
        r = watch_bus(wait);
        if (r < 0)
                return r;
        if (wait->client->ask_password)
                wait->agent = agent_start();

        progress_start(&wait->progress);
        if (wait->progress.enabled) {
                r = sd_event_add_time_relative(wait->event, NULL, CLOCK_MONOTONIC, REDRAW_USEC,
                                               REDRAW_USEC / 10, on_redraw, wait);
                if (r < 0)
                        return r;
        }
        r = send_reset(wait);
        if (r < 0)
                return r;
        r = sd_event_loop(wait->event);
        progress_clear(&wait->progress);
        return r;
}

static void wait_done(Wait *wait)
{
        agent_stop(wait->agent);
        rejoin_free(wait->rejoin);
        forget_job(wait);
        free(wait->owner);
        sd_bus_message_unref(wait->reply);
}

static int reset(Client *client, bool tells_rungs)
{
        _cleanup_(cleanup_sd_event_unref) sd_event *event = NULL;
        _cleanup_(wait_done) Wait wait = {.client = client, .tells_rungs = tells_rungs};
        _cleanup_free_ char *path = NULL;
        int r;

        r = client_get_device(client, &path, &wait.owner);
        if (r != EXIT_OK)
                return r;
        r = sd_event_new(&event);
        if (r < 0)
                return r;
        wait.event = event;

        r = run(&wait);
        /* From here on the daemon sees that nobody waits any more. */
        if (wait.end != END_REPLY && wait.end != END_REJOINED)
                sd_bus_close(client->bus);

        switch (wait.end) {
        case END_REPLY:
                return report_result(&wait);
        case END_REJOINED:
                return report_rejoined(&wait);
        case END_INTERRUPTED:
                return report_interrupted(&wait);
        case END_VANISHED:
                return report_vanished(&wait);
        case END_NOT_YET:
                break;
        }
        return r < 0 && r != -ENOMEM ? (int) report_disconnected(client, r) : r < 0 ? r : -EIO;
}

int verb_reset(Client *client, char **arguments)
{
        return reset(client, false);
}

int verb_recover(Client *client, char **arguments)
{
        client->method = "recover";
        return reset(client, !client->json);
}
