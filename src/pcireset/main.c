/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * pcireset: the table of verbs, and the checks of what was typed that need nobody else. Options are taken
 * apart in command-line.c; everything else is in the verbs.
 */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pcireset/command-line.h"
#include "pcireset/error-text.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"
#include "shared/method.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define PLAN_OPTIONS  (OPTION_IN_USE | OPTION_WHEN_IDLE | OPTION_LEASE)
#define RESET_OPTIONS (OPTION_IN_USE | OPTION_WHEN_IDLE | OPTION_TIMEOUT | OPTION_NO_WAIT | OPTION_LEASE)

#define QUALIFY_OPTIONS                                                                                     \
        (OPTION_IN_USE | OPTION_TIMEOUT | OPTION_LEASE | OPTION_METHOD | OPTION_YES | OPTION_COUNT |        \
         OPTION_KNOWN_BAD | OPTION_OUTPUT)

#define HISTORY_OPTIONS                                                                                     \
        (OPTION_METHOD | OPTION_VERDICT | OPTION_SOURCE | OPTION_HARDWARE | OPTION_SINCE | OPTION_LIMIT |   \
         OPTION_SIGNED_OFF_BY)

/* What the arguments of a verb are. */
typedef enum Arguments {
        ARGUMENTS_OTHER, /* the verb's own business */
        ARGUMENTS_DEVICE, /* the first one, if there is one, is an address */
        ARGUMENTS_DEVICE_METHOD, /* and the second one a method, `any` if it is missing */
        ARGUMENTS_DEVICES_COMMAND, /* all are addresses; behind `--` is a command */
} Arguments;

typedef struct Verb {
        const char *name;
        const char *synopsis; /* the arguments */
        int min, max; /* how many of them */
        Arguments arguments;
        unsigned options; /* of Option */
        int (*run)(Client *client, char **arguments);
        bool connects; /* by itself, if it needs the bus */
} Verb;

static const Verb verbs[] = {
        {"list", "", 0, 0, ARGUMENTS_OTHER, 0, verb_list},
        {"show", " ADDRESS", 1, 1, ARGUMENTS_DEVICE, 0, verb_show},
        {"methods", " ADDRESS", 1, 1, ARGUMENTS_DEVICE, OPTION_IN_USE, verb_methods},
        {"plan", " ADDRESS [METHOD]", 1, 2, ARGUMENTS_DEVICE_METHOD, PLAN_OPTIONS, verb_plan},
        {"holders", " ADDRESS", 1, 1, ARGUMENTS_DEVICE, 0, verb_holders},
        {"health", " ADDRESS", 1, 1, ARGUMENTS_DEVICE, OPTION_PROBE, verb_health},
        {"doctor", " [ADDRESS]", 0, 1, ARGUMENTS_DEVICE, 0, verb_doctor},
        {"report", " ADDRESS", 1, 1, ARGUMENTS_DEVICE, OPTION_WITH_SERIALS, verb_report},
        {"history", " [ADDRESS | export [ADDRESS] | import [FILE]]", 0, 2, ARGUMENTS_OTHER, HISTORY_OPTIONS,
         verb_history},
        {"policy", " [show [ADDRESS] | set MATCH KEY=VALUE... | unset RULE | edit [FILE] | check FILE]", 0,
         INT_MAX, ARGUMENTS_OTHER, OPTION_RUNTIME | OPTION_WHY, verb_policy, .connects = true},
        {"reset", " ADDRESS [METHOD]", 1, 2, ARGUMENTS_DEVICE_METHOD, RESET_OPTIONS, verb_reset},
        {"recover", " ADDRESS", 1, 1, ARGUMENTS_DEVICE, RESET_OPTIONS, verb_recover},
        {"qualify", " ADDRESS", 1, 1, ARGUMENTS_DEVICE, QUALIFY_OPTIONS, verb_qualify},
        {"run", " ADDRESS... -- COMMAND [ARGUMENT...]", 1, INT_MAX, ARGUMENTS_DEVICES_COMMAND,
         OPTION_WHO | OPTION_WHY, verb_run},
        {"inhibit", " [ADDRESS...] -- COMMAND [ARGUMENT...]", 0, INT_MAX, ARGUMENTS_DEVICES_COMMAND,
         OPTION_WHO | OPTION_WHY | OPTION_MODE, verb_inhibit},
        {"quarantine", " ADDRESS REASON", 2, 2, ARGUMENTS_DEVICE, 0, verb_quarantine},
        {"release", " ADDRESS REASON", 2, 2, ARGUMENTS_DEVICE, 0, verb_release},
        {"jobs", "", 0, 0, ARGUMENTS_OTHER, 0, verb_jobs},
        {"cancel", " JOB", 1, 1, ARGUMENTS_OTHER, 0, verb_cancel},
        {"leases", "", 0, 0, ARGUMENTS_OTHER, 0, verb_leases},
        {"inhibitors", "", 0, 0, ARGUMENTS_OTHER, 0, verb_inhibitors},
        {"monitor", "", 0, 0, ARGUMENTS_OTHER, 0, verb_monitor},
};

static void print_help(void)
{
        (void) fputs(
                "Usage: pcireset [OPTION...] VERB [ARGUMENT...]\n"
                "Reset PCI devices through pciresetd, if they may be reset.\n"
                "\n"
                "Verbs:\n"
                "  list                     all devices\n"
                "  show ADDRESS             one device, its methods and its last reset\n"
                "  methods ADDRESS          how the device could be reset, and what speaks against it\n"
                "  plan ADDRESS [METHOD]    what a reset would do; changes nothing\n"
                "  holders ADDRESS          who uses the device now\n"
                "  health ADDRESS           how the device was found the last time\n"
                "  doctor [ADDRESS]         why a device can or cannot be reset now, and the next step\n"
                "  report ADDRESS           what a kernel developer needs to know of a device\n"
                "  history [ADDRESS]        what became of resets\n"
                "  history export [ADDRESS], history import [FILE]\n"
                "                           move that from machine to machine\n"
                "  policy [show [ADDRESS]]  what rules say about resets, and which rule says it\n"
                "  policy set MATCH KEY=VALUE..., policy unset RULE\n"
                "                           set a rule for devices, or take one away\n"
                "  policy edit [FILE], policy check FILE\n"
                "                           change a policy file, and see whether it is right\n"
                "  reset ADDRESS [METHOD]   reset the device and prove that it is alive\n"
                "  recover ADDRESS          bring a broken device back, by everything that there is\n"
                "  qualify ADDRESS          try every method of the device, several times\n"
                "  run ADDRESS... -- COMMAND [ARGUMENT...]\n"
                "                           run a command that has the devices for itself\n"
                "  inhibit [ADDRESS...] -- COMMAND [ARGUMENT...]\n"
                "                           forbid or delay resets while a command runs\n"
                "  quarantine ADDRESS REASON\n"
                "                           give the device to nobody any more\n"
                "  release ADDRESS REASON   let it out of quarantine\n"
                "  jobs                     resets that are on their way\n"
                "  cancel JOB               end a reset that has not begun\n"
                "  leases                   who has taken devices for himself\n"
                "  inhibitors               who forbids or delays resets\n"
                "  monitor                  show what happens, until interrupted\n"
                "\n"
                "ADDRESS is written 0000:01:00.0 or 01:00.0. METHOD is a method's name, or any (the\n"
                "default), function, link or recover. MATCH is an address or words such as 'class=0300*'.\n"
                "\n"
                "Options:\n"
                "  --json                   one JSON document (monitor: one a line) instead of text\n"
                "  --in-use                 methods, plan, reset, recover, qualify: also if a program or a "
                "driver "
                "uses the "
                "device\n"
                "  --when-idle              plan, reset: wait until nobody uses the device\n"
                "  --timeout=SECONDS        reset, qualify: give up waiting after so long (1 to 3600; else "
                "900)\n"
                "  --no-wait                reset: fail instead of queueing behind another reset\n"
                "  --lease=ID               plan, reset, qualify: under this lease of the caller's\n"
                "  --probe                  health: look now\n"
                "  --yes                    qualify: do not ask first\n"
                "  --count=N                qualify: so often each (1 to 100; else 3)\n"
                "  --known-bad              qualify: also methods that are known to do harm\n"
                "  --output=FILE            qualify: write what was found out there, as JSON\n"
                "  --with-serials           report: with serial numbers and MAC addresses\n"
                "  --who=TEXT, --why=TEXT   run, inhibit: what others are told\n"
                "  --runtime                policy set: until the next boot only (--why: its reason)\n"
                "  --mode=MODE              inhibit: block (the default) or delay\n"
                "  --method=METHOD, --verdict=VERDICT, --source=own|imported, --hardware=VVVV:DDDD,\n"
                "  --since=AGE, --limit=N   history: only such resets, no older than 30min, 12h, 7d or 4w,\n"
                "                           so many of them (1 to 1000; else 100)\n"
                "                           (--method also: qualify, only by that one)\n"
                "  --signed-off-by=TEXT     history export: who vouches for it\n"
                "  --no-ask-password        never ask for a password\n"
                "  --help, --version\n"
                "\n"
                "Exit status:\n"
                "  0  ok                            6  reset failed\n"
                "  1  other failure                 7  device dead\n"
                "  2  usage                         8  timed out\n"
                "  3  not authorised                9  cancelled or interrupted\n"
                "  4  no such device, or it is gone 10  pciresetd unreachable or vanished\n"
                "  5  not usable now: in use, leased, inhibited, quarantined, not usable, invalid method,\n"
                "     limits\n"
                "run and inhibit exit as the command does; with 125 if it was not run, 126 if it could not\n"
                "be executed, 127 if it was not found, 128 and more if a signal ended it.\n"
                "\n"
                "See pcireset(1).\n",
                stdout);
}

static ExitCode usage_error(const Client *client, const char *complaint)
{
        return report_failure(client, failure_code(client, EXIT_USAGE), CLIENT_ERROR("Usage"),
                              "See `pcireset --help`.", "%s", complaint);
}

static const Verb *find_verb(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

static bool check_address(CommandLine *line, const char *text, PciAddress *ret)
{
        if (pci_address_parse_typed(text, ret) >= 0)
                return true;
        command_line_complain(line,
                              "\"%s\" is not the address of a PCI device: it is written 0000:01:00.0 or "
                              "01:00.0, in hexadecimal; `pcireset list` shows those that there are",
                              text);
        return false;
}

static void take_method(Client *client, CommandLine *line, const char *text)
{
        client->method = text ? text : "any";
        if (!reset_method_name_is_valid(client->method))
                command_line_complain(
                        line,
                        "\"%s\" cannot be a reset method: their names are of lower-case "
                        "letters, digits and _; `pcireset methods %s` shows those of the device",
                        client->method, client->address);
}

static void check_number(CommandLine *line, const Verb *verb, int n, char **arguments)
{
        if (n < verb->min)
                command_line_complain(line, "`%s` needs more arguments: pcireset %s%s", verb->name,
                                      verb->name, verb->synopsis);
        else if (n > verb->max)
                command_line_complain(line, "\"%s\" is one argument too many: pcireset %s%s",
                                      arguments[verb->max], verb->name, verb->synopsis);
}

static void take_device(Client *client, CommandLine *line, char **arguments)
{
        PciAddress address;

        if (check_address(line, arguments[0], &address))
                (void) pci_address_format(&address, client->address);
}

/* The verb reads the addresses again; for messages there is only one if it is about one device. */
static void take_devices_and_command(Client *client, CommandLine *line, const Verb *verb, int n,
                                     char **arguments)
{
        PciAddress address;

        if (!line->behind_dashes || !line->behind_dashes[0])
                command_line_complain(line, "the command is missing: pcireset %s%s", verb->name,
                                      verb->synopsis);
        for (int i = 0; i < n && !line->complaint; i++)
                (void) check_address(line, arguments[i], &address);
        if (!line->complaint && n == 1)
                (void) pci_address_format(&address, client->address);
        client->command = line->behind_dashes;
}

/* Holds the arguments against what the verb wants, and takes over what they say. */
static void check_arguments(Client *client, CommandLine *line, const Verb *verb)
{
        int n = line->n_words - 1;
        char **arguments = line->words + 1;

        check_number(line, verb, n, arguments);
        if (line->complaint)
                return;
        switch (verb->arguments) {
        case ARGUMENTS_OTHER:
                break;
        case ARGUMENTS_DEVICE:
                if (n > 0)
                        take_device(client, line, arguments);
                break;
        case ARGUMENTS_DEVICE_METHOD:
                take_device(client, line, arguments);
                take_method(client, line, arguments[1]);
                break;
        case ARGUMENTS_DEVICES_COMMAND:
                take_devices_and_command(client, line, verb, n, arguments);
                break;
        }
}

/* NULL with a complaint, or because there is no memory for one. */
static const Verb *check_line(Client *client, CommandLine *line)
{
        const Verb *verb;

        if (line->n_words == 0)
                command_line_join(line);
        if (line->n_words == 0) {
                command_line_complain(line, "what to do is missing: a verb, such as list, show or reset");
                return NULL;
        }
        verb = find_verb(line->words[0]);
        if (!verb) {
                command_line_complain(line, "\"%s\" is nothing that pcireset can do", line->words[0]);
                return NULL;
        }
        client->verb = verb->name;
        client->runs_command = verb->arguments == ARGUMENTS_DEVICES_COMMAND;
        if (!client->runs_command)
                command_line_join(line);
        command_line_check_options(line, verb->name, verb->options);
        check_arguments(client, line, verb);
        return verb;
}

/* Output that could not be written must not pass for success. */
static int close_stdout(void)
{
        bool failed = ferror(stdout) != 0;

        errno = 0;
        if (fclose(stdout) != 0 || failed)
                return errno > 0 ? -errno : -EIO;
        return 0;
}

static int run(Client *client, int argc, char **argv)
{
        _cleanup_(command_line_done) CommandLine line = {};
        const Verb *verb;
        int r;

        r = command_line_parse(client, argc, argv, &line);
        if (r < 0)
                return r;
        if (line.help && !line.complaint) {
                print_help();
                return EXIT_OK;
        }
        if (line.version && !line.complaint) {
                (void) puts("pcireset " PACKAGE_VERSION);
                return EXIT_OK;
        }

        verb = check_line(client, &line);
        if (line.complaint)
                return usage_error(client, line.complaint);
        if (!verb)
                return -ENOMEM;

        r = verb->connects ? EXIT_OK : client_connect(client);
        if (r != EXIT_OK)
                return r < 0 ? r : (int) failure_code(client, (ExitCode) r);
        return verb->run(client, line.words + 1);
}

static void client_done(Client *client)
{
        sd_bus_close_unref(client->bus);
}

int main(int argc, char **argv)
{
        _cleanup_(client_done) Client client = {
                .verb = "",
                .ask_password = isatty(STDIN_FILENO),
        };
        int r, closed;

        text_init();
        r = run(&client, argc, argv);

        if (r < 0)
                r = (int) report_failure(&client, failure_code(&client, EXIT_OTHER), CLIENT_ERROR("Failed"),
                                         NULL, "%s%s%s failed: %s", client.verb, *client.address ? " " : "",
                                         client.address, strerror(-r));
        closed = close_stdout();
        /* What a command has written is its own affair. */
        if (closed < 0 && r == EXIT_OK && !client.runs_command) {
                (void) fprintf(stderr, "pcireset: the output could not be written: %s\n", strerror(-closed));
                r = EXIT_OTHER;
        }
        return r;
}
