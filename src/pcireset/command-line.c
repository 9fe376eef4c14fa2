/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Options may stand before and after the verb, so all words are collected by hand, in their order: getopt's
 * own way, which moves them to the end, would lose the place of the `--` behind which a command starts.
 */

#include "pcireset/command-line.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "pcireset/text.h"
#include "shared/method.h"
#include "shared/utf8.h"

/* What the daemon accepts as timeout_usec. */
#define TIMEOUT_MIN_SECONDS 1UL
#define TIMEOUT_MAX_SECONDS 3600UL
/* What the daemon accepts as limit, and how many minutes to weeks are enough for everybody. */
#define LIMIT_MAX 1000U
#define SINCE_MAX 100000U
/* More resets by one method in a row tell nothing more. */
#define COUNT_MAX 100U

enum {
        ARG_WORD = 1, /* getopt's, for what is no option */
        ARG_JSON = 0x100,
        ARG_IN_USE,
        ARG_WHEN_IDLE,
        ARG_TIMEOUT,
        ARG_NO_WAIT,
        ARG_LEASE,
        ARG_WHO,
        ARG_WHY,
        ARG_MODE,
        ARG_WITH_SERIALS,
        ARG_PROBE,
        ARG_METHOD,
        ARG_VERDICT,
        ARG_SOURCE,
        ARG_HARDWARE,
        ARG_SINCE,
        ARG_LIMIT,
        ARG_SIGNED_OFF_BY,
        ARG_RUNTIME,
        ARG_YES,
        ARG_COUNT,
        ARG_KNOWN_BAD,
        ARG_OUTPUT,
        ARG_NO_ASK_PASSWORD,
        ARG_VERSION,
};

static const struct option long_options[] = {
        {"json", no_argument, NULL, ARG_JSON},
        {"in-use", no_argument, NULL, ARG_IN_USE},
        {"when-idle", no_argument, NULL, ARG_WHEN_IDLE},
        {"timeout", required_argument, NULL, ARG_TIMEOUT},
        {"no-wait", no_argument, NULL, ARG_NO_WAIT},
        {"lease", required_argument, NULL, ARG_LEASE},
        {"who", required_argument, NULL, ARG_WHO},
        {"why", required_argument, NULL, ARG_WHY},
        {"mode", required_argument, NULL, ARG_MODE},
        {"with-serials", no_argument, NULL, ARG_WITH_SERIALS},
        {"probe", no_argument, NULL, ARG_PROBE},
        {"method", required_argument, NULL, ARG_METHOD},
        {"verdict", required_argument, NULL, ARG_VERDICT},
        {"source", required_argument, NULL, ARG_SOURCE},
        {"hardware", required_argument, NULL, ARG_HARDWARE},
        {"since", required_argument, NULL, ARG_SINCE},
        {"limit", required_argument, NULL, ARG_LIMIT},
        {"signed-off-by", required_argument, NULL, ARG_SIGNED_OFF_BY},
        {"runtime", no_argument, NULL, ARG_RUNTIME},
        {"yes", no_argument, NULL, ARG_YES},
        {"count", required_argument, NULL, ARG_COUNT},
        {"known-bad", no_argument, NULL, ARG_KNOWN_BAD},
        {"output", required_argument, NULL, ARG_OUTPUT},
        {"no-ask-password", no_argument, NULL, ARG_NO_ASK_PASSWORD},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, ARG_VERSION},
        {},
};

void command_line_complain(CommandLine *line, const char *format, ...)
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
                command_line_complain(line, "--timeout=%s: not a whole number of seconds from %lu to %lu",
                                      text, TIMEOUT_MIN_SECONDS, TIMEOUT_MAX_SECONDS);
                return;
        }
        client->timeout_usec = seconds * USEC_PER_SEC;
        line->given |= OPTION_TIMEOUT;
}

/* The bus carries UTF-8 alone. */
static void parse_text(CommandLine *line, Option option, const char *name, const char **ret)
{
        if (!utf8_is_valid(optarg))
                command_line_complain(line, "--%s=%s: not UTF-8", name, optarg);
        else if (option == OPTION_LEASE && !*optarg)
                command_line_complain(
                        line, "--%s= needs the id of a lease; `pcireset leases` shows those that there are",
                        name);
        *ret = optarg;
        line->given |= option;
}

/* A whole number of at least 1. */
static bool parse_number(const char *text, uint64_t max, char **end, uint64_t *ret)
{
        errno = 0;
        *ret = strtoull(text, end, 10);
        return text[0] >= '0' && text[0] <= '9' && errno == 0 && *ret >= 1 && *ret <= max;
}

static void parse_limit(Client *client, CommandLine *line)
{
        char *end;

        if (!parse_number(optarg, LIMIT_MAX, &end, &client->filter.limit) || *end)
                command_line_complain(line, "--limit=%s: not a whole number from 1 to %u", optarg,
                                      LIMIT_MAX);
        line->given |= OPTION_LIMIT;
}

/* What only `qualify` knows. */
static void take_qualify_option(Client *client, CommandLine *line, int c)
{
        char *end;

        switch (c) {
        case ARG_YES:
                client->yes = true;
                line->given |= OPTION_YES;
                break;
        case ARG_KNOWN_BAD:
                client->known_bad = true;
                line->given |= OPTION_KNOWN_BAD;
                break;
        case ARG_OUTPUT:
                if (!*optarg)
                        command_line_complain(line, "--output= needs the name of a file");
                client->output = optarg;
                line->given |= OPTION_OUTPUT;
                break;
        default:
                if (!parse_number(optarg, COUNT_MAX, &end, &client->count) || *end)
                        command_line_complain(line, "--count=%s: not a whole number from 1 to %u", optarg,
                                              COUNT_MAX);
                line->given |= OPTION_COUNT;
        }
}

static void parse_since(Client *client, CommandLine *line)
{
        static const struct {
                const char *unit;
                uint64_t usec;
        } units[] = {
                {"min", 60 * USEC_PER_SEC},
                {"h", 3600 * USEC_PER_SEC},
                {"d", 86400 * USEC_PER_SEC},
                {"w", 7 * 86400 * USEC_PER_SEC},
        };
        uint64_t number;
        char *end;

        line->given |= OPTION_SINCE;
        if (parse_number(optarg, SINCE_MAX, &end, &number))
                for (size_t i = 0; i < ELEMENTSOF(units); i++)
                        if (strcmp(end, units[i].unit) == 0) {
                                client->filter.age_usec = number * units[i].usec;
                                return;
                        }
        command_line_complain(line, "--since=%s: not how long ago, like 30min, 12h, 7d or 4w", optarg);
}

static void parse_hardware(Client *client, CommandLine *line)
{
        static const char digits[] = "0123456789abcdefABCDEF";

        if (strlen(optarg) != 9 || strspn(optarg, digits) != 4 || optarg[4] != ':' ||
            strspn(optarg + 5, digits) != 4)
                command_line_complain(line, "--hardware=%s: not ids of vendor and device, like 8086:10d3",
                                      optarg);
        client->filter.hardware = optarg;
        line->given |= OPTION_HARDWARE;
}

/* One of a few words. */
static void parse_word(CommandLine *line, Option option, const char *name, const char *const *words,
                       const char **ret)
{
        bool known = false;

        for (; *words; words++)
                known |= strcmp(*words, optarg) == 0;
        if (!known)
                command_line_complain(line, "--%s=%s: the history has no such %s", name, optarg, name);
        *ret = optarg;
        line->given |= option;
}

static void parse_method(Client *client, CommandLine *line)
{
        if (!reset_method_name_is_valid(optarg))
                command_line_complain(line, "--method=%s: that cannot be a reset method", optarg);
        client->filter.method = optarg;
        line->given |= OPTION_METHOD;
}

static void take_filter(Client *client, CommandLine *line, int c)
{
        static const char *const verdicts[] = {"ok", "degraded", "dead", "unverified", NULL};
        static const char *const sources[] = {"own", "imported", NULL};

        switch (c) {
        case ARG_METHOD:
                parse_method(client, line);
                break;
        case ARG_VERDICT:
                parse_word(line, OPTION_VERDICT, "verdict", verdicts, &client->filter.verdict);
                break;
        case ARG_SOURCE:
                parse_word(line, OPTION_SOURCE, "source", sources, &client->filter.source);
                break;
        case ARG_HARDWARE:
                parse_hardware(client, line);
                break;
        case ARG_SINCE:
                parse_since(client, line);
                break;
        case ARG_LIMIT:
                parse_limit(client, line);
                break;
        default:
                parse_text(line, OPTION_SIGNED_OFF_BY, "signed-off-by", &client->signed_off_by);
        }
}

static void parse_mode(Client *client, CommandLine *line)
{
        if (strcmp(optarg, "block") != 0 && strcmp(optarg, "delay") != 0)
                command_line_complain(line, "--mode=%s: neither block nor delay", optarg);
        client->mode = optarg;
        line->given |= OPTION_MODE;
}

static void complain_of_missing_value(CommandLine *line, const char *option)
{
        const char *value = optopt == ARG_TIMEOUT ? "SECONDS"
                            : optopt == ARG_LEASE ? "ID"
                            : optopt == ARG_MODE  ? "block or =delay"
                                                  : "TEXT";
        const char *name = "";

        for (size_t i = 0; i < ELEMENTSOF(long_options) && !*name; i++)
                if (long_options[i].val == optopt && long_options[i].name)
                        name = long_options[i].name;
        command_line_complain(line, "%s needs a value: --%s=%s", option, name, value);
}

static void complain_of_option(CommandLine *line, const char *option)
{
        if (optopt > 0 && optopt < ARG_JSON)
                command_line_complain(line, "-%c is no option", optopt);
        else if (optopt > 0)
                command_line_complain(line, "%s: the option takes no value", option);
        else
                command_line_complain(line, "%s is no option", option);
}

static void take_option(Client *client, CommandLine *line, int c, char **argv)
{
        switch (c) {
        case ARG_WORD:
                line->words[line->n_words++] = optarg;
                break;
        case ARG_JSON:
                client->json = true;
                break;
        case ARG_IN_USE:
                client->in_use = true;
                line->given |= OPTION_IN_USE;
                break;
        case ARG_WHEN_IDLE:
                client->when_idle = true;
                line->given |= OPTION_WHEN_IDLE;
                break;
        case ARG_TIMEOUT:
                parse_timeout(client, line, optarg);
                break;
        case ARG_NO_WAIT:
                client->no_wait = true;
                line->given |= OPTION_NO_WAIT;
                break;
        case ARG_LEASE:
                parse_text(line, OPTION_LEASE, "lease", &client->lease);
                break;
        case ARG_WHO:
                parse_text(line, OPTION_WHO, "who", &client->who);
                break;
        case ARG_WHY:
                parse_text(line, OPTION_WHY, "why", &client->why);
                break;
        case ARG_MODE:
                parse_mode(client, line);
                break;
        case ARG_WITH_SERIALS:
                client->with_serials = true;
                line->given |= OPTION_WITH_SERIALS;
                break;
        case ARG_PROBE:
                client->probe = true;
                line->given |= OPTION_PROBE;
                break;
        case ARG_RUNTIME:
                client->runtime = true;
                line->given |= OPTION_RUNTIME;
                break;
        case ARG_YES:
        case ARG_COUNT:
        case ARG_KNOWN_BAD:
        case ARG_OUTPUT:
                take_qualify_option(client, line, c);
                break;
        case ARG_METHOD:
        case ARG_VERDICT:
        case ARG_SOURCE:
        case ARG_HARDWARE:
        case ARG_SINCE:
        case ARG_LIMIT:
        case ARG_SIGNED_OFF_BY:
                take_filter(client, line, c);
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
                complain_of_missing_value(line, argv[optind - 1]);
                break;
        default:
                complain_of_option(line, argv[optind - 1]);
        }
}

int command_line_parse(Client *client, int argc, char **argv, CommandLine *ret)
{
        int c;

        *ret = (CommandLine){.words = calloc((size_t) argc + 1, sizeof(char *))};
        if (!ret->words)
                return -ENOMEM;

        opterr = 0;
        while ((c = getopt_long(argc, argv, "-:h", long_options, NULL)) != -1)
                take_option(client, ret, c, argv);
        /* Words have been returned one by one: getopt stops at the end or behind `--`. */
        if (optind > 1 && strcmp(argv[optind - 1], "--") == 0 && optind <= argc)
                ret->behind_dashes = argv + optind;
        return 0;
}

void command_line_done(CommandLine *line)
{
        free(line->complaint);
        free(line->words);
}

void command_line_join(CommandLine *line)
{
        for (char **word = line->behind_dashes; word && *word; word++)
                line->words[line->n_words++] = *word;
        line->behind_dashes = NULL;
}

void command_line_check_options(CommandLine *line, const char *verb, unsigned allowed)
{
        static const struct {
                Option option;
                const char *name;
        } names[] = {
                {OPTION_IN_USE, "--in-use"},
                {OPTION_WHEN_IDLE, "--when-idle"},
                {OPTION_TIMEOUT, "--timeout"},
                {OPTION_NO_WAIT, "--no-wait"},
                {OPTION_LEASE, "--lease"},
                {OPTION_WHO, "--who"},
                {OPTION_WHY, "--why"},
                {OPTION_MODE, "--mode"},
                {OPTION_WITH_SERIALS, "--with-serials"},
                {OPTION_PROBE, "--probe"},
                {OPTION_METHOD, "--method"},
                {OPTION_VERDICT, "--verdict"},
                {OPTION_SOURCE, "--source"},
                {OPTION_HARDWARE, "--hardware"},
                {OPTION_SINCE, "--since"},
                {OPTION_LIMIT, "--limit"},
                {OPTION_SIGNED_OFF_BY, "--signed-off-by"},
                {OPTION_RUNTIME, "--runtime"},
                {OPTION_YES, "--yes"},
                {OPTION_COUNT, "--count"},
                {OPTION_KNOWN_BAD, "--known-bad"},
                {OPTION_OUTPUT, "--output"},
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (line->given & ~allowed & names[i].option)
                        command_line_complain(line, "%s has no meaning for `%s`", names[i].name, verb);
        if (line->given & OPTION_WHEN_IDLE && line->given & OPTION_NO_WAIT)
                command_line_complain(line,
                                      "--when-idle waits and --no-wait does not: only one can be given");
}
