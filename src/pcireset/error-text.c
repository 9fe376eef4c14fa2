/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The daemon's messages are written for people and are shown as they are. The client adds what only it
 * knows: the evidence behind them, laid out, and the option or command that comes next.
 */

#include "pcireset/error-text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pcireset/bus-json.h"
#include "pcireset/holders.h"
#include "pcireset/lease-fd.h"
#include "pcireset/text.h"
#include "pcireset/words.h"

#define DBUS_ERROR(name) "org.freedesktop.DBus.Error." name
#define BUS_DRIVER       "org.freedesktop.DBus"
#define ACTION_PREFIX    "org.pciresetd1."

/* Exit code and advice for each error. %A in an advice stands for the address. */
static const struct {
        const char *name;
        ExitCode code;
        const char *next_step;
} known_errors[] = {
        {DBUS_ERROR("AccessDenied"), EXIT_NOT_AUTHORIZED, NULL}, /* advice: see authorization_advice() */
        {DBUS_ERROR("AuthFailed"), EXIT_NOT_AUTHORIZED, NULL},
        {DBUS_ERROR("InteractiveAuthorizationRequired"), EXIT_NOT_AUTHORIZED, NULL},
        {ERROR_PREFIX "PolicyDenied", EXIT_NOT_AUTHORIZED, NULL},
        {ERROR_PREFIX "NoSuchDevice", EXIT_NO_DEVICE, "`pcireset list` shows the devices that there are."},
        {ERROR_PREFIX "DeviceGone", EXIT_NO_DEVICE,
         "Look with `pcireset list` whether the device, or another one at its address, is there now."},
        {DBUS_ERROR("UnknownObject"), EXIT_NO_DEVICE,
         "Look with `pcireset list` whether the device, or another one at its address, is there now."},
        {ERROR_PREFIX "InvalidMethod", EXIT_NOT_NOW,
         "`pcireset methods %A` shows the methods of this device."},
        {ERROR_PREFIX "NotUsable", EXIT_NOT_NOW, "`pcireset methods %A` says of each method why."},
        {ERROR_PREFIX "InUse", EXIT_NOT_NOW, NULL}, /* advice: see in_use_advice() */
        {ERROR_PREFIX "Leased", EXIT_NOT_NOW, NULL}, /* advice: see leased_advice() */
        {ERROR_PREFIX "Inhibited", EXIT_NOT_NOW,
         "`pcireset inhibitors` shows since when. It ends with the program that asked for it."},
        {ERROR_PREFIX "Quarantined", EXIT_NOT_NOW,
         "`pcireset show` tells why it is in quarantine. An administrator has to release it (`pcireset release "
         "ADDRESS REASON`), or to reset it."},
        {ERROR_PREFIX "Recovering", EXIT_NOT_NOW,
         "Follow it with `pcireset monitor` and try again when the device is idle."},
        {ERROR_PREFIX "LimitsExceeded", EXIT_NOT_NOW,
         "`pcireset jobs` shows what is still on its way; try again later."},
        {DBUS_ERROR("LimitsExceeded"), EXIT_NOT_NOW,
         "`pcireset jobs` shows what is still on its way; try again later."},
        {ERROR_PREFIX "ResetFailed", EXIT_RESET_FAILED,
         "`pcireset plan %A` shows what else could be tried; `journalctl -u pciresetd` has the details."},
        {ERROR_PREFIX "DeviceDead", EXIT_DEVICE_DEAD,
         "Do not use the device. `pcireset methods %A` shows whether a method of wider scope is left; after "
         "that "
         "only a power cycle helps."},
        {ERROR_PREFIX "TimedOut", EXIT_TIMED_OUT,
         "A reset that has begun goes on: `pcireset jobs` and `pcireset show %A` tell when and how it "
         "ends."},
        {ERROR_PREFIX "Cancelled", EXIT_CANCELLED, NULL},
        {DBUS_ERROR("InvalidArgs"), EXIT_USAGE, "See `pcireset --help`."},
        {DBUS_ERROR("UnknownMethod"), EXIT_OTHER,
         "The daemon may be older than this client: compare the versions."},
        {DBUS_ERROR("UnknownInterface"), EXIT_OTHER,
         "The daemon may be older than this client: compare the versions."},
        {DBUS_ERROR("ServiceUnknown"), EXIT_UNREACHABLE, NULL},
        {DBUS_ERROR("NameHasNoOwner"), EXIT_UNREACHABLE, NULL},
        {DBUS_ERROR("NoServer"), EXIT_UNREACHABLE, NULL},
        {DBUS_ERROR("NoReply"), EXIT_UNREACHABLE, NULL},
        {DBUS_ERROR("Disconnected"), EXIT_UNREACHABLE, NULL},
        {DBUS_ERROR("FileExists"), EXIT_UNREACHABLE,
         NULL}, /* systemd's, of a masked unit that has an alias */
        {DBUS_ERROR("Timeout"), EXIT_UNREACHABLE, NULL},
        {DBUS_ERROR("TimedOut"), EXIT_UNREACHABLE, NULL}, /* the bus's: the service did not start in time */
};

#define SYSTEMD_ERROR_PREFIX "org.freedesktop.systemd1."

#define UNREACHABLE_ADVICE                                                                                  \
        "Look at `systemctl status pciresetd` and `journalctl -u pciresetd`; `systemctl start pciresetd` "  \
        "starts it."

ExitCode error_exit_code(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(known_errors); i++)
                if (strcmp(known_errors[i].name, name) == 0)
                        return known_errors[i].code;

        /* Spawn.ChildExited, Spawn.ServiceNotFound, …: the bus could not start the daemon. */
        if (strncmp(name, DBUS_ERROR("Spawn."), strlen(DBUS_ERROR("Spawn."))) == 0)
                return EXIT_UNREACHABLE;
        /* UnitMasked, NoSuchUnit, …: systemd could not do so for the bus. */
        if (strncmp(name, SYSTEMD_ERROR_PREFIX, strlen(SYSTEMD_ERROR_PREFIX)) == 0)
                return EXIT_UNREACHABLE;
        return EXIT_OTHER;
}

static bool names(const char *message, const char *text)
{
        return *text && strstr(message, text);
}

static bool names_pid(const char *message, uint64_t pid)
{
        char number[24];

        (void) snprintf(number, sizeof(number), " %" PRIu64, pid);
        for (const char *p = message; (p = strstr(p, number)); p++)
                if (p[strlen(number)] < '0' || p[strlen(number)] > '9')
                        return true;
        return false;
}

/* The daemon's words for holders of other users. */
static bool names_count(const char *message, uint64_t count)
{
        char words[48];

        (void) snprintf(words, sizeof(words), "%" PRIu64 " process%s of others", count,
                        count == 1 ? "" : "es");
        return names(message, words);
}

/* Is the holder in the message already? Those of other users have nothing but a number. What somebody says
 * about himself does not count: it could hide the rest. */
static bool is_told(const char *message, json_object *holder)
{
        uint64_t pid = json_get_unsigned(holder, "pid");

        if (pid > 0)
                return names_pid(message, pid);
        if (json_get_unsigned(holder, "count") > 0)
                return names_count(message, json_get_unsigned(holder, "count"));
        return names(message, json_get_string(holder, "what")) ||
               names(message, json_get_string(holder, "id"));
}

/* The daemon's message names some, its details have them all. */
static int print_untold_holders(const char *message, json_object *holders)
{
        int r = 0;

        for (size_t i = 0; i < json_length(holders) && r >= 0; i++) {
                json_object *holder = json_object_array_get_idx(holders, i);
                _cleanup_free_ char *text = NULL;

                if (is_told(message, holder))
                        continue;
                text = holder_to_text(holder);
                r = text ? text_print_line(stderr, "  %s", text) : -ENOMEM;
        }
        return r;
}

static int report(const Client *client, const char *name, const char *message, const char *next_step,
                  json_object *details)
{
        _cleanup_json_ json_object *document = NULL;
        json_object *error;
        int r;

        if (!client->json && !client->failure) {
                r = text_print_line(stderr, "pcireset: %s", message);
                if (r >= 0 && details)
                        r = print_evidence(stderr, details, false);
                if (r >= 0)
                        r = print_untold_holders(message, json_get_array(details, "holders"));
                if (r >= 0 && next_step)
                        r = text_print_line(stderr, "%s", next_step);
                return r;
        }

        document = json_object_new_object();
        if (!document)
                return -ENOMEM;
        error = json_object_new_object();
        r = json_add(document, "error", error);
        if (r >= 0)
                r = json_add(error, "name", json_object_new_string(name));
        if (r >= 0)
                r = json_add(error, "message", json_object_new_string(message));
        if (r >= 0 && next_step)
                r = json_add(error, "next_step", json_object_new_string(next_step));
        if (r >= 0)
                r = json_add(error, "details",
                             details ? json_object_get(details) : json_object_new_object());
        if (r < 0)
                return r;
        if (client->failure) {
                json_object_put(*client->failure);
                *client->failure = steal_pointer(document);
                return 0;
        }
        return json_print(stdout, document, strcmp(client->verb, "monitor") == 0);
}

/* Why the last attempt came to nothing, as a code. "" if that is not told. */
static const char *last_why(json_object *details)
{
        json_object *attempts = json_get_array(details, "attempts");
        size_t n = json_length(attempts);

        return n > 0 ? json_get_string(json_object_array_get_idx(attempts, n - 1), "why") : "";
}

/* Who said no, and what would make it a yes. What the daemon's message says is not said again. */
static char *authorization_advice(const Client *client, const char *name, const char *message,
                                  const char *sender, json_object *details)
{
        const char *interactive = "";
        char *advice = NULL;

        /* The bus itself refuses only if its policy lacks the daemon's file. */
        if (sender && strcmp(sender, BUS_DRIVER) == 0)
                return strdup("The bus's own policy refused the call: is org.pciresetd1.conf in "
                              "/usr/share/dbus-1/system.d?");
        if (strcmp(last_why(details), "polkit-failed") == 0)
                return strdup("Look at `systemctl status polkit`: without it nothing is allowed, not even "
                              "to root.");
        if (strcmp(last_why(details), "dismissed") == 0)
                return strdup("The question for a password was not answered; call again to be asked again.");

        if (strcmp(name, DBUS_ERROR("InteractiveAuthorizationRequired")) == 0)
                interactive = client->ask_password ? "A password would do, but nothing here can ask for it "
                                                     "(pkttyagent could). "
                                                   : "A password would do: call from a terminal, without "
                                                     "--no-ask-password. ";
        if (strstr(message, ACTION_PREFIX))
                return asprintf(&advice, "%spcireset(1) has an example of such a rule.", interactive) < 0
                               ? NULL
                               : advice;
        /* Where a rule would help, the daemon's messages about everything but a reset say so. */
        if (!client->method)
                return *interactive ? strndup(interactive, strlen(interactive) - 1) : NULL;
        return asprintf(&advice,
                        "%sA polkit rule in /etc/polkit-1/rules.d allows it: `pcireset plan %s %s%s` names "
                        "the actions, pcireset(1) has an example.",
                        interactive, client->address, client->method, client->in_use ? " --in-use" : "") < 0
                       ? NULL
                       : advice;
}

static bool is_reset(const Client *client)
{
        return strcmp(client->verb, "reset") == 0;
}

static bool any_hard(json_object *holders)
{
        for (size_t i = 0; i < json_length(holders); i++)
                if (json_get_bool(json_object_array_get_idx(holders, i), "hard"))
                        return true;
        return false;
}

/* What the daemon says of its options is said again of ours, and nothing else. */
static char *in_use_advice(const Client *client, json_object *details)
{
        const char *wait = client->when_idle ? "" : "--when-idle waits until it is over. ";
        char *advice = NULL;
        int r;

        if (!is_reset(client))
                r = asprintf(&advice, "`pcireset holders` shows all of it.");
        else if (client->in_use || any_hard(json_get_array(details, "holders")))
                r = asprintf(&advice, "--in-use does not lift this. %s`pcireset plan %s` shows all of it.",
                             wait, client->address);
        else
                r = asprintf(
                        &advice,
                        "%s--in-use resets the device under its user, which may lose what it was doing, and "
                        "needs " ACTION_PREFIX "reset-in-use. `pcireset plan %s` shows all of it.",
                        wait, client->address);
        return r < 0 ? NULL : advice;
}

static char *leased_advice(const Client *client, json_object *details)
{
        if (strcmp(last_why(details), "lease-gone") == 0 || client->lease)
                return strdup("`pcireset leases` shows what each lease holds, and whose it is.");
        return strdup(
                is_reset(client) && !client->when_idle
                        ? "`pcireset leases` shows since when, and why. --when-idle waits until it is over."
                        : "`pcireset leases` shows since when, and why.");
}

/* A descriptor that was inherited by chance: the user has never heard of the option. */
static bool is_about_lease_fd(const char *name, const char *message)
{
        return strcmp(name, DBUS_ERROR("InvalidArgs")) == 0 && strstr(message, "lease_fd") &&
               getenv(LEASE_FD_VARIABLE);
}

static char *known_advice(const Client *client, const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(known_errors); i++) {
                const char *advice = known_errors[i].next_step, *gap;
                char *text;

                if (strcmp(known_errors[i].name, name) != 0 || !advice)
                        continue;
                gap = strstr(advice, "%A");
                if (!gap)
                        return strdup(advice);
                /* `cancel` works on a job and knows no address. */
                if (!client->address[0])
                        return NULL;
                return asprintf(&text, "%.*s%s%s", (int) (gap - advice), advice, client->address, gap + 2) <
                                       0
                               ? NULL
                               : text;
        }
        return NULL;
}

/* NULL also if there is nothing to say. */
static char *find_advice(const Client *client, const char *name, const char *message, ExitCode code,
                         const char *sender, json_object *details)
{
        if (strcmp(name, ERROR_PREFIX "PolicyDenied") == 0)
                return strdup("The policy of this machine says no, whoever asks: see pciresetd(8).");
        if (strcmp(name, ERROR_PREFIX "PolicyDenied") == 0)
                return strdup("The rule is in the file that is named. Whoever may change it decides, not "
                              "polkit.");
        if (code == EXIT_NOT_AUTHORIZED)
                return authorization_advice(client, name, message, sender, details);
        if (code == EXIT_UNREACHABLE)
                return strdup(UNREACHABLE_ADVICE);
        if (strcmp(name, ERROR_PREFIX "InUse") == 0)
                return in_use_advice(client, details);
        if (strcmp(name, ERROR_PREFIX "Leased") == 0)
                return leased_advice(client, details);
        if (is_about_lease_fd(name, message))
                return strdup("The environment has it in " LEASE_FD_VARIABLE
                              ": unset that to go on without.");
        if (strcmp(last_why(details), "busy") == 0)
                return strdup("`pcireset jobs` shows what is in the way.");
        if (strcmp(client->verb, "cancel") == 0 && strcmp(name, DBUS_ERROR("UnknownObject")) == 0)
                return strdup("`pcireset jobs` shows those that there are.");
        return known_advice(client, name);
}

/* The second argument of an error's body, if it is there and is a dictionary. */
static json_object *read_details(sd_bus_message *reply)
{
        _cleanup_json_ json_object *details = NULL;
        const char *contents;
        char type;

        if (sd_bus_message_rewind(reply, true) < 0 || sd_bus_message_skip(reply, "s") < 0 ||
            sd_bus_message_peek_type(reply, &type, &contents) <= 0 || type != SD_BUS_TYPE_ARRAY ||
            strcmp(contents, "{sv}") != 0 || bus_json_read(reply, &details) <= 0)
                return NULL;
        return steal_pointer(details);
}

ExitCode report_reply(const Client *client, sd_bus_message *reply, bool timed_out)
{
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        const char *name = error && error->name ? error->name : DBUS_ERROR("Failed");
        const char *message = error && error->message && *error->message ? error->message : name;
        _cleanup_json_ json_object *details = NULL;
        _cleanup_free_ char *advice = NULL, *sentence = NULL;
        ExitCode code = error_exit_code(name);

        if (timed_out)
                return report_failure(
                        client, EXIT_TIMED_OUT, CLIENT_ERROR("NoAnswer"),
                        "What was begun goes on: see `pcireset jobs` and `journalctl -u pciresetd`.",
                        "pciresetd did not answer in time.");

        /* The bus library's words for it are an object path. */
        if (strcmp(name, DBUS_ERROR("UnknownObject")) == 0 && strncmp(message, "Unknown object", 14) == 0)
                message = client->address[0] ? "the device is gone"
                                             : "there is no such job, or it has ended";

        /* The bus's texts speak of names and services; say first what they mean here. */
        if (code == EXIT_UNREACHABLE) {
                if (asprintf(&sentence, "pciresetd cannot be reached: %s", message) < 0)
                        sentence = NULL;
                else
                        message = sentence;
        }

        details = read_details(reply);
        advice = find_advice(client, name, message, code, sd_bus_message_get_sender(reply), details);
        (void) report(client, name, message, advice, details);
        return code;
}

ExitCode report_failure(const Client *client, ExitCode code, const char *name, const char *next_step,
                        const char *format, ...)
{
        _cleanup_free_ char *message = NULL;
        va_list arguments;
        int r;

        va_start(arguments, format);
        r = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (r < 0)
                message = NULL;

        (void) report(client, name, message ? message : name, next_step, NULL);
        return code;
}

ExitCode report_kept(const Client *client, ExitCode code, struct json_object *failure, const char *next_step)
{
        json_object *error = json_get_dict(failure, "error");
        const char *kept = json_get_string(error, "next_step");

        return report_failure(client, code, json_get_string(error, "name"),
                              next_step ? next_step
                              : *kept   ? kept
                                        : NULL,
                              "%s", json_get_string(error, "message"));
}

ExitCode report_disconnected(const Client *client, int error)
{
        return report_failure(client, EXIT_UNREACHABLE, CLIENT_ERROR("Unreachable"), UNREACHABLE_ADVICE,
                              "pciresetd cannot be reached: the connection to the system bus failed: %s",
                              strerror(-error));
}
