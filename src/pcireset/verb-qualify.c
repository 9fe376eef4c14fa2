/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * `qualify`: resets a device by each method that can be used, several times, and shows what became of it.
 *
 * First it is found out, and told, what would be done; then it is asked; then a lease is taken, so that
 * nobody takes the device in between; then come the resets, the narrow ones first. The first one that leaves
 * the device dead, that is refused, or that nobody knows the end of is the last one. The lease is a
 * descriptor and the calls hang on the connection, so whatever ends this process ends them as well.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "pcireset/agent.h"
#include "pcireset/error-text.h"
#include "pcireset/qualification-plan.h"
#include "pcireset/qualification.h"
#include "pcireset/request.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"

#define COUNT_DEFAULT 3U
#define TIMEOUT_USEC  (15 * 60 * USEC_PER_SEC) /* the daemon's default for one reset */
#define MARGIN_USEC   (5 * 60 * USEC_PER_SEC) /* polkit's dialog, the queue for the reply */
#define ANSWER_MAX    16

typedef struct Run {
        Client *client;
        sd_event *event;
        char *path, *owner; /* the device, and the daemon that knows it */
        json_object *document, *methods, *left_out;
        pid_t agent;
        int lease; /* a descriptor, negative: none of ours */
        bool interrupted;
        sd_bus_message *reply;
        json_object *result; /* of the last reset */
        ExitCode stopped_by; /* EXIT_OK: nothing has */
} Run;

static void run_done(Run *run)
{
        agent_stop(run->agent);
        if (run->lease >= 0)
                (void) close(run->lease);
        sd_bus_message_unref(run->reply);
        json_object_put(run->result);
        json_object_put(run->document);
        free(run->path);
        free(run->owner);
        if (run->event)
                (void) sd_bus_detach_event(run->client->bus);
        sd_event_unref(run->event);
}

/* EXIT_OK: go on. */
static int ask(const Run *run)
{
        const Client *client = run->client;
        char answer[ANSWER_MAX];

        if (client->yes)
                return EXIT_OK;
        if (!isatty(STDIN_FILENO))
                return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"), NULL,
                                      "%s: nobody can be asked whether it may be reset: nothing was reset; "
                                      "--yes goes on without asking",
                                      client->address);
        (void) fprintf(stderr, "Reset it now? Whatever uses these devices will feel it. [y/N] ");
        (void) fflush(stderr);
        if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y') &&
            (answer[1] == '\n' || strcasecmp(answer, "yes\n") == 0))
                return EXIT_OK;
        return report_failure(client, EXIT_CANCELLED, CLIENT_ERROR("Declined"), NULL,
                              "%s: nothing was reset", client->address);
}

/* Who may not have a lease goes on without; a device that somebody else has is left alone. */
static int acquire(Run *run)
{
        Client *client = run->client;
        _cleanup_message_ sd_bus_message *call = NULL, *reply = NULL;
        _cleanup_json_ json_object *failure = NULL;
        const char *id;
        int fd, r;

        if (client->lease || request_has_lease())
                return EXIT_OK;
        r = client_new_call(client, run->owner, ROOT_PATH, MANAGER_INTERFACE, "Acquire", true, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "asssa{sv}", 1, client->address, "pcireset qualify",
                                          "methods are being tried", 0);
        if (r < 0)
                return r;
        client->failure = &failure;
        r = client_call(client, call, &reply);
        client->failure = NULL;
        if (r == EXIT_NOT_AUTHORIZED)
                return text_print_line(stderr,
                                       "%s: without a lease, which this user may not have: somebody else "
                                       "could take the device in between",
                                       client->address);
        if (r > EXIT_OK) {
                return report_kept(client, (ExitCode) r, failure, "Nothing was reset.");
        }
        if (r >= 0)
                r = sd_bus_message_read(reply, "hs", &fd, &id);
        if (r < 0)
                return r;
        run->lease = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return run->lease < 0 ? -errno : json_add(run->document, "lease", json_object_new_string(id));
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
        Run *run = userdata;

        run->interrupted = true;
        return 0;
}

static int on_reply(sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
        Run *run = userdata;

        run->reply = sd_bus_message_ref(reply);
        return 0;
}

static int append_options(const Run *run, sd_bus_message *call)
{
        const Client *client = run->client;
        int r = sd_bus_message_open_container(call, 'a', "{sv}");

        if (r >= 0)
                r = request_append(client, call);
        if (r >= 0 && run->lease >= 0)
                r = sd_bus_message_append(call, "{sv}", "lease_fd", "h", run->lease);
        if (r >= 0 && client->timeout_usec > 0)
                r = sd_bus_message_append(call, "{sv}", "timeout_usec", "t", client->timeout_usec);
        return r < 0 ? r : sd_bus_message_close_container(call);
}

/* Waits for one reset. The reply is there, or `interrupted` is set, or it returns a negative errno. */
static int reset_once(Run *run, const char *method)
{
        Client *client = run->client;
        _cleanup_message_ sd_bus_message *call = NULL;
        _cleanup_slot_ sd_bus_slot *slot = NULL;
        uint64_t timeout = client->timeout_usec > TIMEOUT_USEC ? client->timeout_usec : TIMEOUT_USEC;
        int r;

        run->reply = sd_bus_message_unref(run->reply);
        r = client_new_call(client, run->owner, ROOT_PATH, MANAGER_INTERFACE, "Reset", true, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, "ss", client->address, method);
        if (r >= 0)
                r = append_options(run, call);
        if (r >= 0)
                r = sd_bus_call_async(client->bus, &slot, call, on_reply, run, timeout + MARGIN_USEC);
        while (r >= 0 && !run->reply && !run->interrupted)
                r = sd_event_run(run->event, UINT64_MAX);
        return r;
}

/* What an error says in its body beside its text. */
static void read_result(Run *run)
{
        sd_bus_message *reply = run->reply;
        const char *contents;
        char type;

        json_object_put(steal_pointer(run->result));
        if (sd_bus_message_is_method_error(reply, NULL) && sd_bus_message_skip(reply, "s") < 0)
                return;
        if (sd_bus_message_peek_type(reply, &type, &contents) > 0 && type == SD_BUS_TYPE_ARRAY &&
            strcmp(contents, "{sv}") == 0)
                (void) bus_json_read(reply, &run->result);
}

/* What ends all of it. A method that cannot be used any more and one that fails do not keep the others from
 * being tried. */
static ExitCode stops(const char *error)
{
        ExitCode code = *error ? error_exit_code(error) : EXIT_OK;

        if (code == EXIT_RESET_FAILED || strcmp(error, ERROR_PREFIX "NotUsable") == 0 ||
            strcmp(error, ERROR_PREFIX "InvalidMethod") == 0 || strcmp(error, ERROR_PREFIX "InUse") == 0)
                return EXIT_OK;
        return code;
}

static int note_run(Run *run, json_object *method, uint64_t number, bool *ret_refused)
{
        const sd_bus_error *error = run->reply ? sd_bus_message_get_error(run->reply) : NULL;
        const char *name = run->interrupted && !run->reply ? CLIENT_ERROR("Interrupted")
                           : error                         ? error->name
                                                           : "";
        const char *message = error && error->message ? error->message : "", *outcome;
        char duration[TEXT_DURATION_MAX];

        if (run->reply)
                read_result(run);
        else
                json_object_put(steal_pointer(run->result));
        outcome = qualification_add_run(method, run->result, name, message);
        if (!outcome)
                return -ENOMEM;
        *ret_refused = strcmp(outcome, "refused") == 0;
        run->stopped_by = run->interrupted ? EXIT_CANCELLED : stops(name);
        if (strcmp(outcome, "dead") == 0)
                run->stopped_by = EXIT_DEVICE_DEAD;
        return text_print_line(
                stderr, "%s: %s %" PRIu64 " of %" PRIu64 ": %s%s%s%s%s", run->client->address,
                json_get_string(method, "method"), number, run->client->count, outcome, *name ? "" : ", ",
                *name ? "" : text_duration(json_get_unsigned(run->result, "duration_usec"), duration),
                *message ? ": " : "", message);
}

/* All resets by one method. */
static int try_method(Run *run, json_object *method)
{
        bool refused = false;
        int r = 0;

        for (uint64_t i = 1; i <= run->client->count && r >= 0 && !refused; i++) {
                r = reset_once(run, json_get_string(method, "method"));
                if (r >= 0 || run->interrupted)
                        r = note_run(run, method, i, &refused);
                if (run->stopped_by != EXIT_OK)
                        break;
        }
        return r;
}

/* The daemon is believed to have done so, but it is looked. */
static int look_at_quarantine(Run *run)
{
        _cleanup_json_ json_object *properties = NULL, *failure = NULL;
        json_object *quarantine;
        const char *cause;
        int r;

        run->client->failure = &failure;
        r = client_get_properties(run->client, run->path, &properties);
        run->client->failure = NULL;
        if (r != EXIT_OK)
                return r < 0 ? r
                             : text_print_line(stderr, "%s: whether it is in quarantine cannot be seen: %s",
                                               run->client->address,
                                               json_get_string(json_get_dict(failure, "error"), "message"));
        quarantine = json_get_dict(properties, "Quarantine");
        cause = json_get_string(quarantine, "cause");
        r = *cause ? text_print_line(stderr,
                                     "%s: it is in quarantine (%s): nobody is given it; `pcireset show %s` "
                                     "tells more",
                                     run->client->address, cause, run->client->address)
                   : text_print_line(stderr,
                                     "%s: it is NOT in quarantine: `pcireset quarantine %s REASON` keeps "
                                     "others from it",
                                     run->client->address, run->client->address);
        if (r >= 0 && quarantine)
                r = json_add(run->document, "quarantine", json_object_get(quarantine));
        return r;
}

static int tell_why_stopped(Run *run)
{
        static const char *const reasons[] = {
                [EXIT_OTHER] = "an error",          [EXIT_USAGE] = "an error",
                [EXIT_NOT_AUTHORIZED] = "refused",  [EXIT_NO_DEVICE] = "gone",
                [EXIT_NOT_NOW] = "refused",         [EXIT_DEVICE_DEAD] = "dead",
                [EXIT_TIMED_OUT] = "timed-out",     [EXIT_CANCELLED] = "interrupted",
                [EXIT_UNREACHABLE] = "unreachable",
        };
        const char *reason = run->stopped_by < ELEMENTSOF(reasons) && reasons[run->stopped_by]
                                     ? reasons[run->stopped_by]
                                     : "";
        int r = json_add(run->document, "stopped", json_object_new_string(reason));

        if (r >= 0 && *reason)
                r = text_print_line(stderr, "%s: stopped before the end (%s): nothing more is tried",
                                    run->client->address, reason);
        if (r >= 0 && run->stopped_by == EXIT_CANCELLED)
                r = text_print_line(stderr,
                                    "%s: a reset that has begun cannot be stopped and goes on to its end; "
                                    "`pcireset jobs` shows it",
                                    run->client->address);
        return r;
}

static int exit_code(const Run *run)
{
        if (run->stopped_by != EXIT_OK)
                return run->stopped_by;
        if (qualification_count(run->document, "failed") + qualification_count(run->document, "degraded") >
            0)
                return EXIT_RESET_FAILED;
        return qualification_count(run->document, "refused") > 0 ? EXIT_NOT_NOW : EXIT_OK;
}

/* NULL if it is not wanted; it is opened before anything is reset, so that nothing is found out in vain. */
static int open_output(Run *run, FILE **ret)
{
        const Client *client = run->client;

        *ret = NULL;
        if (!client->output)
                return EXIT_OK;
        *ret = fopen(client->output, "we");
        if (*ret)
                return EXIT_OK;
        return report_failure(client, EXIT_OTHER, CLIENT_ERROR("Output"), "Nothing was reset.", "%s: %s",
                              client->output, strerror(errno));
}

static int write_output(Run *run, FILE *file)
{
        bool failed;
        int r;

        if (!file)
                return EXIT_OK;
        r = json_print(file, run->document, false);
        failed = ferror(file) != 0;
        if (fclose(file) == 0 && !failed && r >= 0)
                return EXIT_OK;
        return report_failure(run->client, EXIT_OTHER, CLIENT_ERROR("Output"), NULL, "%s: %s",
                              run->client->output, strerror(errno > 0 ? errno : EIO));
}

static int try_all(Run *run)
{
        int r = sd_bus_attach_event(run->client->bus, run->event, SD_EVENT_PRIORITY_NORMAL);

        if (r >= 0)
                r = client_watch_signals(run->event, on_signal, run);
        for (size_t i = 0; i < json_length(run->methods) && r >= 0 && run->stopped_by == EXIT_OK; i++)
                r = try_method(run, json_object_array_get_idx(run->methods, i));
        /* Before anything else is asked: a reset that has not begun goes with its caller. */
        if (run->interrupted)
                sd_bus_close(run->client->bus);
        if (r < 0 && r != -ENOMEM) {
                run->stopped_by = EXIT_UNREACHABLE;
                r = 0;
        }
        for (size_t i = 0; i < json_length(run->methods) && r >= 0; i++)
                r = qualification_summarize(json_object_array_get_idx(run->methods, i));
        if (r >= 0)
                r = json_add(run->document, "finished_usec", json_object_new_uint64(now_realtime_usec()));
        if (r >= 0 && run->stopped_by == EXIT_DEVICE_DEAD)
                r = look_at_quarantine(run);
        return r < 0 ? r : tell_why_stopped(run);
}

static int report(Run *run)
{
        (void) fflush(stderr);
        return run->client->json ? json_print(stdout, run->document, false)
                                 : qualification_print(stdout, run->document);
}

static int start_document(Run *run)
{
        _cleanup_json_ json_object *properties = NULL;
        static const char *const ids[] = {
                "VendorId", "DeviceId", "SubsystemVendorId", "SubsystemDeviceId", "Revision",
                "Class",    "Driver"};
        static const char *const keys[] = {
                "vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id", "revision",
                "class",     "driver"};
        struct utsname names;
        int r = client_get_properties(run->client, run->path, &properties);

        if (r != EXIT_OK)
                return r;
        run->document = json_object_new_object();
        if (!run->document)
                return -ENOMEM;
        r = json_add(run->document, "address", json_object_new_string(run->client->address));
        for (size_t i = 0; i < ELEMENTSOF(ids) && r >= 0; i++) {
                json_object *value = NULL;

                if (json_object_object_get_ex(properties, ids[i], &value))
                        r = json_add(run->document, keys[i], json_object_get(value));
        }
        if (r >= 0 && uname(&names) == 0)
                r = json_add(run->document, "kernel", json_object_new_string(names.release));
        if (r >= 0)
                r = json_add(run->document, "started_usec", json_object_new_uint64(now_realtime_usec()));
        if (r >= 0)
                r = json_add(run->document, "count", json_object_new_uint64(run->client->count));
        if (r >= 0)
                r = json_add(run->document, "methods", run->methods = json_object_new_array());
        if (r >= 0)
                r = json_add(run->document, "left_out", run->left_out = json_object_new_array());
        return r;
}

static int prepare(Run *run)
{
        Client *client = run->client;
        int r;

        if (client->count == 0)
                client->count = COUNT_DEFAULT;
        r = client_get_device(client, &run->path, &run->owner);
        if (r == EXIT_OK)
                r = start_document(run);
        if (r == EXIT_OK)
                r = qualification_plan(client, run->methods, run->left_out);
        if (r != EXIT_OK)
                return r;
        if (json_length(run->methods) == 0)
                return report_failure(client, EXIT_NOT_NOW, ERROR_PREFIX "NotUsable",
                                      "`pcireset doctor` tells what to do about it.",
                                      "%s: there is no method that can be tried now", client->address);
        r = ask(run);
        if (r == EXIT_OK)
                r = sd_event_new(&run->event);
        if (r != EXIT_OK)
                return r;
        if (client->ask_password)
                run->agent = agent_start();
        return acquire(run);
}

int verb_qualify(Client *client, char **arguments)
{
        _cleanup_(run_done) Run run = {.client = client, .lease = -EBADF};
        FILE *file;
        int r = prepare(&run), code;

        if (r == EXIT_OK)
                r = open_output(&run, &file);
        if (r != EXIT_OK)
                return r;
        r = try_all(&run);
        code = write_output(&run, file);
        if (r >= 0)
                r = report(&run);
        if (r < 0)
                return r;
        return exit_code(&run) != EXIT_OK ? exit_code(&run) : code;
}
