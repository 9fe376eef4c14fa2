/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * pcireset: options, the table of verbs, and the checks of what was typed that need nobody else. Everything
 * else is in the verbs.
 */

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pcireset/error-text.h"
#include "pcireset/text.h"
#include "pcireset/verbs.h"
#include "shared/method.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* What the daemon accepts as timeout_usec. */
#define TIMEOUT_MIN_SECONDS 1UL
#define TIMEOUT_MAX_SECONDS 3600UL

/* Options that not every verb takes. */
typedef enum Option {
        OPTION_IN_USE = 1 << 0,
        OPTION_TIMEOUT = 1 << 1,
        OPTION_NO_WAIT = 1 << 2,
} Option;

typedef struct Verb {
        const char *name;
        const char *synopsis; /* the arguments */
        int min, max; /* how many of them */
        bool has_address; /* the first one is an address */
        bool has_method; /* the second one is a method, or `any` */
        unsigned options; /* of Option */
        int (*run)(Client *client, char **arguments);
} Verb;

static const Verb verbs[] = {
        {"list", "", 0, 0, false, false, 0, verb_list},
        {"show", " ADDRESS", 1, 1, true, false, 0, verb_show},
        {"methods", " ADDRESS", 1, 1, true, false, OPTION_IN_USE, verb_methods},
        {"plan", " ADDRESS [METHOD]", 1, 2, true, true, OPTION_IN_USE, verb_plan},
        {"reset", " ADDRESS [METHOD]", 1, 2, true, true, OPTION_IN_USE | OPTION_TIMEOUT | OPTION_NO_WAIT,
         verb_reset},
        {"jobs", "", 0, 0, false, false, 0, verb_jobs},
        {"cancel", " JOB", 1, 1, false, false, 0, verb_cancel},
        {"monitor", "", 0, 0, false, false, 0, verb_monitor},
};

/* What the command line says, before it is held against a verb. */
typedef struct CommandLine {
        unsigned given; /* of Option */
        bool help, version;
        char *complaint; /* about the first bad option */
} CommandLine;

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
                "  reset ADDRESS [METHOD]   reset the device and prove that it is alive\n"
                "  jobs                     resets that are on their way\n"
                "  cancel JOB               end a reset that has not begun\n"
                "  monitor                  show what happens, until interrupted\n"
                "\n"
                "ADDRESS is written 0000:01:00.0 or 01:00.0. METHOD is a method's name, or any (the\n"
                "default), function or link.\n"
                "\n"
                "Options:\n"
                "  --json                   one JSON document (monitor: one a line) instead of text\n"
                "  --in-use                 methods, plan, reset: also with a driver of the host bound\n"
                "  --timeout=SECONDS        reset: give up waiting after so long (1 to 3600; else 900)\n"
                "  --no-wait                reset: fail instead of queueing behind another reset\n"
                "  --no-ask-password        never ask for a password\n"
                "  --help, --version\n"
                "\n"
                "Exit status:\n"
                "  0  ok                            6  reset failed\n"
                "  1  other failure                 7  device dead\n"
                "  2  usage                         8  timed out\n"
                "  3  not authorised                9  cancelled or interrupted\n"
                "  4  no such device, or it is gone 10  pciresetd unreachable or vanished\n"
                "  5  not usable now: in use, not usable, invalid method, limits\n"
                "\n"
                "See pcireset(1).\n",
                stdout);
}

static ExitCode usage_error(const Client *client, const char *complaint)
{
        return report_failure(client, EXIT_USAGE, CLIENT_ERROR("Usage"), "See `pcireset --help`.", "%s",
                              complaint);
}

/* Keeps the first complaint; the rest of the line is still read, since --json may be in it. */
__attribute__((format(printf, 2, 3))) static void complain(CommandLine *line, const char *format, ...)
{
        va_list arguments;

        if (line->complaint)
                return;
        va_start(arguments, format);
        if (vasprintf(&line->complaint, format, arguments) < 0)
                line->complaint = NULL;
        va_end(arguments);
}

static void parse_timeout(Client *client, CommandLine *line, const char *text)
{
        unsigned long seconds;
        char *end;

        errno = 0;
        seconds = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno || seconds < TIMEOUT_MIN_SECONDS ||
            seconds > TIMEOUT_MAX_SECONDS) {
                complain(line, "--timeout=%s: not a whole number of seconds from %lu to %lu", text,
                         TIMEOUT_MIN_SECONDS, TIMEOUT_MAX_SECONDS);
                return;
        }
        client->timeout_usec = seconds * USEC_PER_SEC;
        line->given |= OPTION_TIMEOUT;
}

static void parse_options(Client *client, CommandLine *line, int argc, char **argv)
{
        enum {
                ARG_JSON = 0x100,
                ARG_IN_USE,
                ARG_TIMEOUT,
                ARG_NO_WAIT,
                ARG_NO_ASK_PASSWORD,
                ARG_VERSION,
        };
        static const struct option options[] = {
                {"json", no_argument, NULL, ARG_JSON},
                {"in-use", no_argument, NULL, ARG_IN_USE},
                {"timeout", required_argument, NULL, ARG_TIMEOUT},
                {"no-wait", no_argument, NULL, ARG_NO_WAIT},
                {"no-ask-password", no_argument, NULL, ARG_NO_ASK_PASSWORD},
                {"help", no_argument, NULL, 'h'},
                {"version", no_argument, NULL, ARG_VERSION},
                {},
        };
        int c;

        opterr = 0;
        while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
                switch (c) {
                case ARG_JSON:
                        client->json = true;
                        break;
                case ARG_IN_USE:
                        client->in_use = true;
                        line->given |= OPTION_IN_USE;
                        break;
                case ARG_TIMEOUT:
                        parse_timeout(client, line, optarg);
                        break;
                case ARG_NO_WAIT:
                        client->no_wait = true;
                        line->given |= OPTION_NO_WAIT;
                        break;
                case ARG_NO_ASK_PASSWORD:
                        client->ask_password = false;
                        break;
                case ARG_VERSION:
                        line->version = true;
                        break;
                case 'h':
                        line->help = true;
                        break;
                case ':':
                        complain(line, "%s needs a value: --timeout=SECONDS", argv[optind - 1]);
                        break;
                default:
                        if (optopt > 0 && optopt < ARG_JSON)
                                complain(line, "-%c is no option", optopt);
                        else if (optopt > 0)
                                complain(line, "%s: the option takes no value", argv[optind - 1]);
                        else
                                complain(line, "%s is no option", argv[optind - 1]);
                }
        }
}

static const Verb *find_verb(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        return NULL;
}

static void check_options(CommandLine *line, const Verb *verb)
{
        static const struct {
                Option option;
                const char *name;
        } names[] = {
                {OPTION_IN_USE, "--in-use"},
                {OPTION_TIMEOUT, "--timeout"},
                {OPTION_NO_WAIT, "--no-wait"},
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (line->given & ~verb->options & names[i].option)
                        complain(line, "%s has no meaning for `%s`", names[i].name, verb->name);
}

/* Holds the arguments against what the verb wants, and takes address and method over. */
static void check_arguments(Client *client, CommandLine *line, const Verb *verb, int n, char **arguments)
{
        PciAddress address;

        if (n < verb->min)
                complain(line, "`%s` needs more arguments: pcireset %s%s", verb->name, verb->name,
                         verb->synopsis);
        else if (n > verb->max)
                complain(line, "\"%s\" is one argument too many: pcireset %s%s", arguments[verb->max],
                         verb->name, verb->synopsis);
        if (line->complaint)
                return;

        if (verb->has_address) {
                if (pci_address_parse_typed(arguments[0], &address) < 0) {
                        complain(line,
                                 "\"%s\" is not the address of a PCI device: it is written 0000:01:00.0 or "
                                 "01:00.0, "
                                 "in hexadecimal; `pcireset list` shows those that there are",
                                 arguments[0]);
                        return;
                }
                (void) pci_address_format(&address, client->address);
        }
        if (verb->has_method) {
                client->method = n > 1 ? arguments[1] : "any";
                if (!reset_method_name_is_valid(client->method))
                        complain(line,
                                 "\"%s\" cannot be a reset method: their names are of lower-case letters, "
                                 "digits and "
                                 "_; `pcireset methods %s` shows those of the device",
                                 client->method, client->address);
        }
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
        _cleanup_free_ char *complaint = NULL;
        CommandLine line = {};
        const Verb *verb = NULL;
        int r;

        parse_options(client, &line, argc, argv);
        if (line.help && !line.complaint) {
                print_help();
                return EXIT_OK;
        }
        if (line.version && !line.complaint) {
                (void) puts("pcireset " PACKAGE_VERSION);
                return EXIT_OK;
        }

        if (optind >= argc) {
                complain(&line,
                         "what to do is missing: list, show, methods, plan, reset, jobs, cancel or monitor");
        } else {
                verb = find_verb(argv[optind]);
                if (verb) {
                        client->verb = verb->name;
                        check_options(&line, verb);
                        check_arguments(client, &line, verb, argc - optind - 1, argv + optind + 1);
                } else {
                        complain(&line, "\"%s\" is nothing that pcireset can do", argv[optind]);
                }
        }
        complaint = line.complaint;
        if (complaint)
                return usage_error(client, complaint);
        if (!verb)
                return -ENOMEM;

        r = client_connect(client);
        return r != EXIT_OK ? r : verb->run(client, argv + optind + 1);
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
                r = (int) report_failure(&client, EXIT_OTHER, CLIENT_ERROR("Failed"), NULL,
                                         "%s%s%s failed: %s", client.verb, *client.address ? " " : "",
                                         client.address, strerror(-r));
        closed = close_stdout();
        if (closed < 0 && r == EXIT_OK) {
                (void) fprintf(stderr, "pcireset: the output could not be written: %s\n", strerror(-closed));
                r = EXIT_OTHER;
        }
        return r;
}
