/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Both ends of the socket read with these parsers, and neither trusts the other, so most of this is hostile:
 * every cut, every missing, doubled, unknown or mistyped member, values just past each bound, and random
 * damage.
 */

#include <errno.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/worker-protocol.h"
#include "unit.h"

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);
DEFINE_CLEANUP(WorkerResult *, worker_result_free);
DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

/* The examples of worker-protocol.h, with their dots filled in. */
static const char request_example[] =
        "{\"version\":1,\"operation\":\"reset\",\"job\":7,\"uid\":1001,\"method\":\"flr\",\"settle_usec\":0,"
        "\"members\":[{\"address\":\"0000:01:00.0\",\"inode\":4711,\"vendor\":32902,\"device\":4307,"
        "\"class\":131072,\"driver\":\"\",\"must_be_disabled\":false},"
        "{\"address\":\"0000:01:10.0\",\"inode\":4712,\"vendor\":32902,\"device\":5421,\"class\":131072,"
        "\"driver\":\"vfio-pci\",\"must_be_disabled\":true}],"
        "\"bridge\":{\"address\":\"0000:00:1c.0\",\"inode\":815,\"vendor\":32902,\"device\":1,\"class\":"
        "394240,"
        "\"driver\":\"pcieport\",\"must_be_disabled\":false}}";

static const char result_example[] =
        "{\"event\":\"result\",\"outcome\":\"done\",\"why\":\"\",\"errno\":0,\"verdict\":\"ok\",\"written\":"
        "true,"
        "\"reset_method\":\"exact\",\"started_usec\":5000000,\"finished_usec\":5117000,\"message\":\"\","
        "\"checks\":[{\"device\":\"0000:01:00.0\",\"check\":\"command\",\"result\":\"ok\",\"before\":"
        "\"0x0006\","
        "\"after\":\"0x0006\"},{\"device\":\"0000:01:00.0\",\"check\":\"aer\",\"result\":\"skipped\","
        "\"before\":\"\",\"after\":\"\"}]}";

static const char resetting_example[] = "{\"event\":\"phase\",\"phase\":\"resetting\"}";
static const char verifying_example[] = "{\"event\":\"phase\",\"phase\":\"verifying\"}";

/* What the parsers make of a text, with a copy that ends where the text ends, so that a sanitizer sees every
 * read past it. */
typedef int (*Parse)(const char *text, size_t length);

static int parse_request(const char *text, size_t length)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;

        return worker_request_parse(text, length, &request);
}

static int parse_event(const char *text, size_t length)
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = NULL;
        WorkerEventType type;

        return worker_event_parse(text, length, &type, &result);
}

static int parse_record(const char *text, size_t length)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;

        return worker_record_parse(text, length, &record);
}

static int parse_exactly(Parse parse, const char *text, size_t length)
{
        _cleanup_free_ char *copy = malloc(length > 0 ? length : 1);

        memcpy(copy, text, length);
        return parse(copy, length);
}

static int parse_string(Parse parse, const char *text)
{
        return parse_exactly(parse, text, strlen(text));
}

/* `text` with the first `from` replaced by `to`, in a new string. */
static char *replace(const char *text, const char *from, const char *to)
{
        const char *at = strstr(text, from);
        char *result;

        ck_assert_msg(at, "no '%s' in: %s", from, text);
        ck_assert_int_ge(asprintf(&result, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from)), 0);
        return result;
}

static void assert_replaced(Parse parse, const char *text, const char *from, const char *to, int wanted)
{
        _cleanup_free_ char *changed = replace(text, from, to);
        int r = parse_string(parse, changed);

        ck_assert_msg(r == wanted, "%d for: %s", r, changed);
}

static char *record_example(bool has_list, bool has_result)
{
        char *text;

        ck_assert_int_ge(asprintf(&text,
                                  "{\"version\":1,\"pid\":4242,\"saved_reset_method\":%s,\"request\":%s,"
                                  "\"result\":%s}",
                                  has_list ? "\"flr bus\"" : "null", request_example,
                                  has_result ? result_example : "null"),
                         0);
        return text;
}

START_TEST(request_round_trip)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;
        _cleanup_free_ char *line = NULL;

        ck_assert_int_eq(worker_request_parse(request_example, strlen(request_example), &request), 0);
        ck_assert_uint_eq(request->job, 7);
        ck_assert_uint_eq(request->uid, 1001);
        ck_assert_str_eq(request->method, "flr");
        ck_assert_uint_eq(request->n_members, 2);
        ck_assert_uint_eq(request->members[0].inode, 4711);
        ck_assert_uint_eq(request->members[0].class, 0x020000);
        ck_assert_str_eq(request->members[1].driver, "vfio-pci");
        ck_assert(!request->members[0].must_be_disabled);
        ck_assert(request->members[1].must_be_disabled);
        ck_assert(request->has_bridge);
        ck_assert_uint_eq(request->bridge.address.device, 0x1c);

        ck_assert_int_eq(worker_request_format(request, &line), 0);
        ck_assert_uint_eq(strlen(line), strlen(request_example) + 1);
        ck_assert_int_eq(strncmp(line, request_example, strlen(request_example)), 0);
        ck_assert_str_eq(line + strlen(request_example), "\n");
}
END_TEST

START_TEST(request_without_bridge)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;
        _cleanup_free_ char *text = strdup(request_example), *line = NULL;

        memcpy(strstr(text, ",\"bridge\""), "}", 2);
        ck_assert_int_eq(worker_request_parse(text, strlen(text), &request), 0);
        ck_assert(!request->has_bridge);
        ck_assert_int_eq(worker_request_format(request, &line), 0);
        ck_assert_int_eq(strncmp(line, text, strlen(text)), 0);
}
END_TEST

START_TEST(event_round_trip)
{
        _cleanup_(cleanup_worker_result_free) WorkerResult *result = NULL;
        _cleanup_free_ char *line = NULL;
        WorkerEventType type;

        ck_assert_int_eq(worker_event_parse(result_example, strlen(result_example), &type, &result), 0);
        ck_assert_int_eq(type, WORKER_EVENT_RESULT);
        ck_assert_int_eq(result->outcome, WORKER_DONE);
        ck_assert_int_eq(result->verdict, VERDICT_OK);
        ck_assert_int_eq(result->reset_method, LIST_EXACT);
        ck_assert(result->written);
        ck_assert_uint_eq(result->finished_usec - result->started_usec, 117000);
        ck_assert_uint_eq(result->n_checks, 2);
        ck_assert_str_eq(result->checks[0].check, "command");
        ck_assert_str_eq(result->checks[0].before, "0x0006");
        ck_assert_int_eq(result->checks[1].result, CHECK_SKIPPED);

        ck_assert_int_eq(worker_event_format(type, result, &line), 0);
        ck_assert_int_eq(strncmp(line, result_example, strlen(result_example)), 0);
        ck_assert_str_eq(line + strlen(result_example), "\n");
}
END_TEST

START_TEST(phases_round_trip)
{
        static const struct {
                const char *text;
                WorkerEventType type;
        } phases[] = {{resetting_example, WORKER_EVENT_RESETTING},
                      {verifying_example, WORKER_EVENT_VERIFYING}};

        for (size_t i = 0; i < ELEMENTSOF(phases); i++) {
                _cleanup_free_ char *line = NULL;
                WorkerResult *result = (WorkerResult *) -1;
                WorkerEventType type;

                ck_assert_int_eq(worker_event_parse(phases[i].text, strlen(phases[i].text), &type, &result),
                                 0);
                ck_assert_int_eq(type, phases[i].type);
                ck_assert_ptr_null(result);
                ck_assert_int_eq(worker_event_format(type, NULL, &line), 0);
                ck_assert_int_eq(strncmp(line, phases[i].text, strlen(phases[i].text)), 0);
        }
}
END_TEST

START_TEST(record_round_trip)
{
        for (int i = 0; i < 4; i++) {
                _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;
                _cleanup_free_ char *text = record_example(i & 1, i & 2), *line = NULL;

                ck_assert_int_eq(worker_record_parse(text, strlen(text), &record), 0);
                ck_assert_uint_eq(record->pid, 4242);
                ck_assert_uint_eq(record->request->job, 7);
                ck_assert_int_eq(record->has_saved_reset_method, (i & 1) != 0);
                ck_assert_str_eq(record->saved_reset_method, i & 1 ? "flr bus" : "");
                ck_assert_int_eq(record->result != NULL, (i & 2) != 0);

                ck_assert_int_eq(worker_record_format(record, &line), 0);
                ck_assert_int_eq(strncmp(line, text, strlen(text)), 0);
                /* As it stands in the file, with its newline. */
                ck_assert_int_eq(parse_string(parse_record, line), 0);
        }
}
END_TEST

START_TEST(record_with_an_empty_list)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;
        _cleanup_free_ char *example = record_example(true, false), *text = replace(example, "flr bus", "");

        ck_assert_int_eq(worker_record_parse(text, strlen(text), &record), 0);
        ck_assert(record->has_saved_reset_method);
        ck_assert_str_eq(record->saved_reset_method, "");
}
END_TEST

static void assert_no_cut_is_accepted(Parse parse, const char *text)
{
        for (size_t n = 0; n < strlen(text); n++)
                ck_assert_msg(parse_exactly(parse, text, n) == -EBADMSG, "accepted when cut at %zu", n);
        ck_assert_int_eq(parse_string(parse, text), 0);
}

START_TEST(cut_short)
{
        _cleanup_free_ char *record = record_example(true, true);

        assert_no_cut_is_accepted(parse_request, request_example);
        assert_no_cut_is_accepted(parse_event, result_example);
        assert_no_cut_is_accepted(parse_event, resetting_example);
        assert_no_cut_is_accepted(parse_record, record);
}
END_TEST

/* The end of the member that starts at `p` with its key: behind its value. */
static const char *member_end(const char *p)
{
        int depth = 0;
        bool in_string = false;

        for (;; p++) {
                if (*p == '"')
                        in_string = !in_string;
                else if (!in_string && (*p == '{' || *p == '['))
                        depth++;
                else if (!in_string && depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
                        return p;
                else if (!in_string && (*p == '}' || *p == ']'))
                        depth--;
        }
}

/* For each member of each object in the text: without it, with it twice, and with a stranger before it. */
static void assert_members_are_held_to(Parse parse, const char *text, const char *optional)
{
        for (const char *p = text; (p = strchr(p, '"')); p = strchr(p + 1, '"') + 1) {
                const char *end, *key_end = strchr(p + 1, '"');
                _cleanup_free_ char *without = NULL, *twice = NULL, *stranger = NULL, *key = NULL;

                if (key_end[1] != ':')
                        continue;
                end = member_end(p);
                key = strndup(p + 1, (size_t) (key_end - p - 1));

                ck_assert_int_ge(
                        asprintf(&twice, "%.*s%.*s,%s", (int) (p - text), text, (int) (end - p), p, p), 0);
                ck_assert_msg(parse_string(parse, twice) == -EBADMSG, "'%s' twice: %s", key, twice);

                ck_assert_int_ge(asprintf(&stranger, "%.*s\"stranger\":1,%s", (int) (p - text), text, p), 0);
                ck_assert_msg(parse_string(parse, stranger) == -EBADMSG, "stranger: %s", stranger);

                if (*end == ',')
                        ck_assert_int_ge(asprintf(&without, "%.*s%s", (int) (p - text), text, end + 1), 0);
                else
                        ck_assert_int_ge(asprintf(&without, "%.*s%s", (int) (p - text - 1), text, end), 0);
                ck_assert_msg(parse_string(parse, without) ==
                                      (optional && strcmp(key, optional) == 0 ? 0 : -EBADMSG),
                              "no '%s': %s", key, without);
        }
}

START_TEST(members_missing_doubled_and_strange)
{
        _cleanup_free_ char *record = record_example(true, true);

        assert_members_are_held_to(parse_request, request_example, "bridge");
        assert_members_are_held_to(parse_event, result_example, NULL);
        assert_members_are_held_to(parse_event, resetting_example, NULL);
        assert_members_are_held_to(parse_record, record, "bridge");
}
END_TEST

/* Every value in turn is replaced by one of each type. At most the type it has may pass. */
START_TEST(values_of_the_wrong_type)
{
        static const char *const values[] = {"null",   "true", "[]", "{}", "[{}]",
                                             "[null]", "1.5",  "-1", "1e2"};

        for (const char *p = request_example; (p = strstr(p, "\":")); p += 2)
                for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                        _cleanup_free_ char *text = NULL;
                        bool is_boolean = p[2] == 't' || p[2] == 'f';

                        ck_assert_int_ge(asprintf(&text, "%.*s%s%s", (int) (p + 2 - request_example),
                                                  request_example, values[i], member_end(p + 2)),
                                         0);
                        ck_assert_msg(parse_string(parse_request, text) ==
                                              (is_boolean && strcmp(values[i], "true") == 0 ? 0 : -EBADMSG),
                                      "%s", text);
                }
}
END_TEST

static const struct {
        const char *from, *to;
        bool good;
} request_changes[] = {
        {"\"version\":1", "\"version\":0"},
        {"\"version\":1", "\"version\":2"},
        {"\"version\":1", "\"version\":\"1\""},
        {"\"reset\"", "\"remove\""},
        {"\"reset\"", "\"\""},
        {"\"job\":7", "\"job\":4294967295", true},
        {"\"job\":7", "\"job\":4294967296"},
        {"\"job\":7", "\"job\":-1"},
        {"\"uid\":1001", "\"uid\":4294967296"},
        /* methods: only names in the kernel's form, of function or link scope */
        {"\"flr\"", "\"bus\"", true},
        {"\"flr\"", "\"device_specific\"", true},
        {"\"flr\"", "\"d3cold\""},
        {"\"flr\"", "\"\""},
        {"\"flr\"", "\"flr \""},
        {"\"flr\"", "\"flr bus\""},
        {"\"flr\"", "\"flr\\nbus\""},
        {"\"flr\"", "\"default\""},
        {"\"flr\"", "\"subordinate\""},
        {"\"flr\"", "\"slot\""},
        {"\"flr\"", "\"FLR\""},
        {"\"flr\"", "\"flr\\u0000\""},
        {"\"flr\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""},
        {"\"settle_usec\":0", "\"settle_usec\":60000000", true},
        {"\"settle_usec\":0", "\"settle_usec\":60000001"},
        {"\"settle_usec\":0", "\"settle_usec\":18446744073709551616"},
        /* addresses */
        {"\"0000:01:00.0\"", "\"10000:01:00.0\"", true},
        {"\"0000:01:00.0\"", "\"01:00.0\""},
        {"\"0000:01:00.0\"", "\"0000:01:00.8\""},
        {"\"0000:01:00.0\"", "\"0000:01:20.0\""},
        {"\"0000:01:00.0\"", "\"0000:01:00.0/\""},
        {"\"0000:01:00.0\"", "\"../../etc\""},
        {"\"0000:01:00.0\"", "\"0000:0A:00.0\""},
        {"\"0000:01:00.0\"", "\"\""},
        {"\"0000:01:00.0\"", "\"0000:01:10.0\""}, /* the second member */
        {"\"0000:01:00.0\"", "\"0000:00:1c.0\""}, /* the bridge */
        {"\"inode\":4711", "\"inode\":18446744073709551614", true},
        {"\"inode\":4711", "\"inode\":18446744073709551615"},
        {"\"inode\":4711", "\"inode\":18446744073709551616"},
        {"\"inode\":4711", "\"inode\":0"},
        {"\"vendor\":32902", "\"vendor\":65535", true},
        {"\"vendor\":32902", "\"vendor\":65536"},
        {"\"device\":4307", "\"device\":65536"},
        {"\"class\":131072", "\"class\":16777215", true},
        {"\"class\":131072", "\"class\":16777216"},
        /* drivers: names of directories */
        {"\"driver\":\"\"", "\"driver\":\"Intel(R) driver\"", true},
        {"\"driver\":\"\"", "\"driver\":\"a/b\""},
        {"\"driver\":\"\"", "\"driver\":\"..\""},
        {"\"driver\":\"\"", "\"driver\":\".\""},
        {"\"driver\":\"\"", "\"driver\":\"a\\nb\""},
        {"\"driver\":\"\"", "\"driver\":\"123456789012345678901234567890123456789012345678901234567890123\"",
         true},
        {"\"driver\":\"\"",
         "\"driver\":\"1234567890123456789012345678901234567890123456789012345678901234\""},
        {"\"must_be_disabled\":false", "\"must_be_disabled\":0"},
        {"\"must_be_disabled\":false", "\"must_be_disabled\":\"false\""},
        /* around it */
        {"{\"version\"", " { \"version\"", true},
        {"{\"version\"", "[{\"version\""},
        {"{\"version\"", "{}{\"version\""},
        {"{\"version\"", "\xef\xbb\xbf{\"version\""},
        {"\"members\":[", "\"members\":[null,"},
        {"\"members\":[", "\"members\":[[],"},
};

START_TEST(request_changed)
{
        assert_replaced(parse_request, request_example, request_changes[_i].from, request_changes[_i].to,
                        request_changes[_i].good ? 0 : -EBADMSG);
}
END_TEST

static const struct {
        const char *from, *to;
        bool good;
} result_changes[] = {
        {"\"result\"", "\"phase\""},
        {"\"result\"", "\"Result\""},
        {"\"done\"", "\"gone\"", true},
        {"\"done\"", "\"ok\""},
        {"\"why\":\"\"", "\"why\":\"method-refused\"", true},
        {"\"why\":\"\"", "\"why\":\"Method refused\""},
        {"\"errno\":0", "\"errno\":4095", true},
        {"\"errno\":0", "\"errno\":4096"},
        {"\"errno\":0", "\"errno\":-25"},
        {"\"verdict\":\"ok\"", "\"verdict\":\"dead\"", true},
        {"\"verdict\":\"ok\"", "\"verdict\":\"alive\""},
        {"\"written\":true", "\"written\":1"},
        {"\"exact\"", "\"lost\"", true},
        {"\"exact\"", "\"\""},
        {"\"started_usec\":5000000", "\"started_usec\":18446744073709551615"},
        {"\"message\":\"\"", "\"message\":\"gr\xc3\xbc\xc3\x9f\"", true},
        {"\"message\":\"\"", "\"message\":\"\\n\""},
        {"\"message\":\"\"", "\"message\":\"\xff\""},
        {"\"check\":\"command\"", "\"check\":\"Command\""},
        {"\"check\":\"command\"", "\"check\":\"\""},
        {"\"result\":\"ok\"", "\"result\":\"good\""},
        {"\"checks\":[", "\"checks\":[null,"},
        {"\"event\":\"result\",", "\"event\":\"result\",\"phase\":\"resetting\","},
};

START_TEST(result_changed)
{
        assert_replaced(parse_event, result_example, result_changes[_i].from, result_changes[_i].to,
                        result_changes[_i].good ? 0 : -EBADMSG);
}
END_TEST

START_TEST(phase_changed)
{
        assert_replaced(parse_event, resetting_example, "resetting", "result", -EBADMSG);
        assert_replaced(parse_event, resetting_example, "resetting", "", -EBADMSG);
        assert_replaced(parse_event, resetting_example, "\"event\":\"phase\"", "\"event\":\"result\"",
                        -EBADMSG);
}
END_TEST

START_TEST(record_changed)
{
        _cleanup_free_ char *record = record_example(true, true);

        assert_replaced(parse_record, record, "\"pid\":4242", "\"pid\":0", -EBADMSG);
        assert_replaced(parse_record, record, "\"pid\":4242", "\"pid\":2147483648", -EBADMSG);
        assert_replaced(parse_record, record, "\"flr bus\"", "\"flr,bus\"", -EBADMSG);
        assert_replaced(parse_record, record, "\"flr bus\"", "false", -EBADMSG);
        assert_replaced(parse_record, record, "\"request\":{\"version\":1", "\"request\":{\"version\":3",
                        -EBADMSG);
        assert_replaced(parse_record, record, "\"verdict\":\"ok\"", "\"verdict\":\"fine\"", -EBADMSG);
}
END_TEST

START_TEST(no_or_too_many_members)
{
        _cleanup_free_ WorkerMember *members = calloc(WORKER_MEMBERS_MAX + 1, sizeof(WorkerMember));
        _cleanup_(cleanup_worker_request_free) WorkerRequest *parsed = NULL;
        _cleanup_free_ char *line = NULL;
        WorkerRequest request = {.method = "bus", .members = members, .n_members = WORKER_MEMBERS_MAX};

        for (size_t i = 0; i <= WORKER_MEMBERS_MAX; i++) {
                members[i] = (WorkerMember){
                        .address = {.domain = 0xffffffff,
                                    .bus = (uint8_t) (i >> 3 >> 5),
                                    .device = i >> 3 & 31,
                                    .function = i & 7},
                        .inode = UINT64_MAX - 1,
                        .vendor = 0xffff,
                        .device = 0xffff,
                        .class = 0xffffff,
                };
                memset(members[i].driver, '"', WORKER_DRIVER_MAX - 1);
        }

        /* The longest request that there is fits. */
        ck_assert_int_eq(worker_request_format(&request, &line), 0);
        ck_assert_uint_le(strlen(line), WORKER_REQUEST_MAX);
        ck_assert_int_eq(worker_request_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_uint_eq(parsed->n_members, WORKER_MEMBERS_MAX);

        request.n_members++;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
        request.n_members = 0;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);

        ck_assert_int_eq(parse_string(parse_request,
                                      "{\"version\":1,\"operation\":\"reset\",\"job\":7,\"uid\":1,"
                                      "\"method\":\"flr\",\"settle_usec\":0,\"members\":[]}"),
                         -EBADMSG);
}
END_TEST

START_TEST(one_member_too_many_is_not_parsed)
{
        _cleanup_free_ char *text = malloc(WORKER_REQUEST_MAX);
        size_t used;

        used = (size_t) sprintf(text, "{\"version\":1,\"operation\":\"reset\",\"job\":7,\"uid\":1,"
                                      "\"method\":\"flr\",\"settle_usec\":0,\"members\":[");
        for (unsigned i = 0; i <= WORKER_MEMBERS_MAX; i++)
                used += (size_t) sprintf(
                        text + used,
                        "%s{\"address\":\"0000:%02x:%02x.%x\",\"inode\":1,\"vendor\":1,"
                        "\"device\":1,\"class\":1,\"driver\":\"\",\"must_be_disabled\":false}",
                        i > 0 ? "," : "", i >> 8, i >> 3 & 31, i & 7);
        used += (size_t) sprintf(text + used, "]}");
        ck_assert_int_eq(parse_exactly(parse_request, text, used), -EBADMSG);
}
END_TEST

START_TEST(longest_result)
{
        WorkerResult result = {.error = 4095, .started_usec = 1, .finished_usec = 2};
        _cleanup_(cleanup_worker_result_free) WorkerResult *parsed = NULL;
        _cleanup_free_ WorkerCheck *checks = calloc(WORKER_CHECKS_MAX, sizeof(WorkerCheck));
        _cleanup_free_ char *line = NULL;
        WorkerEventType type;

        memset(result.why, 'w', sizeof(result.why) - 1);
        memset(result.message, '\\', sizeof(result.message) - 1);
        result.checks = checks;
        result.n_checks = WORKER_CHECKS_MAX;
        for (size_t i = 0; i < WORKER_CHECKS_MAX; i++) {
                checks[i] = (WorkerCheck){.device.domain = 0xffffffff, .result = CHECK_SKIPPED};
                memset(checks[i].check, 'c', sizeof(checks[i].check) - 1);
                memset(checks[i].before, '"', sizeof(checks[i].before) - 1);
                memset(checks[i].after, '"', sizeof(checks[i].after) - 1);
        }

        ck_assert_int_eq(worker_event_format(WORKER_EVENT_RESULT, &result, &line), 0);
        ck_assert_uint_le(strlen(line), WORKER_LINE_MAX);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &type, &parsed), 0);
        ck_assert_uint_eq(parsed->n_checks, WORKER_CHECKS_MAX);
        ck_assert_str_eq(parsed->checks[WORKER_CHECKS_MAX - 1].after, checks[0].after);
}
END_TEST

/* What comes from hardware and drivers may be anything; the line must be readable all the same. */
START_TEST(dirty_texts_are_cleaned)
{
        WorkerCheck check = {.check = "driver", .before = "\xff\xfe", .after = "a\nb"};
        WorkerResult result = {.message = "\x1b[31m", .checks = &check, .n_checks = 1};
        _cleanup_(cleanup_worker_result_free) WorkerResult *parsed = NULL;
        _cleanup_free_ char *line = NULL;
        WorkerEventType type;

        ck_assert_int_eq(worker_event_format(WORKER_EVENT_RESULT, &result, &line), 0);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &type, &parsed), 0);
        ck_assert_str_eq(parsed->message, "?[31m");
        ck_assert_str_eq(parsed->checks[0].before, "??");
        ck_assert_str_eq(parsed->checks[0].after, "a?b");
}
END_TEST

START_TEST(bad_requests_are_not_formatted)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;
        _cleanup_free_ char *line = NULL;

        ck_assert_int_eq(worker_request_parse(request_example, strlen(request_example), &request), 0);

        (void) strcpy(request->method, "rescan");
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        (void) strcpy(request->method, "pm");
        request->settle_usec = WORKER_SETTLE_MAX_USEC + 1;
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        request->settle_usec = WORKER_SETTLE_MAX_USEC;
        request->members[1].address = request->members[0].address;
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        request->members[1].address = request->bridge.address;
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        ck_assert_ptr_null(line);
}
END_TEST

START_TEST(long_lines)
{
        size_t length = WORKER_LINE_MAX + 10;
        _cleanup_free_ char *text = malloc(length);

        /* Blanks before a good request: one byte under the bound is good, at the bound it is not. */
        memset(text, ' ', length);
        memcpy(text + WORKER_REQUEST_MAX - 1 - strlen(request_example), request_example,
               strlen(request_example));
        ck_assert_int_eq(parse_exactly(parse_request, text, WORKER_REQUEST_MAX - 1), 0);
        ck_assert_int_eq(parse_exactly(parse_request, text, WORKER_REQUEST_MAX), -EBADMSG);

        memset(text, ' ', length);
        memcpy(text + WORKER_LINE_MAX - 1 - strlen(result_example), result_example, strlen(result_example));
        ck_assert_int_eq(parse_exactly(parse_event, text, WORKER_LINE_MAX - 1), 0);
        ck_assert_int_eq(parse_exactly(parse_event, text, WORKER_LINE_MAX), -EBADMSG);

        /* Deep nesting, and many small values. */
        memset(text, '[', length);
        ck_assert_int_eq(parse_exactly(parse_request, text, WORKER_REQUEST_MAX - 1), -EBADMSG);
        for (size_t i = 0; i + 5 <= length; i += 5)
                memcpy(text + i, "{\"a\":", 5);
        ck_assert_int_eq(parse_exactly(parse_request, text, WORKER_REQUEST_MAX - 1), -EBADMSG);
        ck_assert_int_eq(parse_exactly(parse_event, text, WORKER_LINE_MAX - 1), -EBADMSG);
}
END_TEST

/* A fixed seed: a failure must happen again. */
static uint32_t random_state = 20240229;

static uint32_t random_below(uint32_t n)
{
        random_state ^= random_state << 13;
        random_state ^= random_state >> 17;
        random_state ^= random_state << 5;
        return random_state % n;
}

/* Damages a good text in a few places, with bytes that mean something in JSON more often than not. */
static void damage(char *text, size_t length)
{
        static const char bytes[] = "{}[]\",:\\0123456789-+.eEtfnu \n\x00\x01\x7f\x80\xc3\xff";

        for (uint32_t i = random_below(4) + 1; i > 0; i--)
                switch (random_below(3)) {
                case 0:
                        text[random_below((uint32_t) length)] = bytes[random_below(sizeof(bytes))];
                        break;
                case 1: {
                        size_t a = random_below((uint32_t) length), b = random_below((uint32_t) length);
                        char c = text[a];

                        text[a] = text[b];
                        text[b] = c;
                        break;
                }
                default: {
                        size_t a = random_below((uint32_t) length), b = random_below((uint32_t) length);
                        size_t n = random_below(20);

                        if (a + n < length && b + n < length)
                                memmove(text + a, text + b, n);
                }
                }
}

/* Whatever comes: no crash, and what is accepted can be written and read again. */
START_TEST(random_damage)
{
        size_t length = strlen(request_example);
        _cleanup_free_ char *text = malloc(length);
        unsigned accepted = 0;

        for (int i = 0; i < 20000; i++) {
                _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL, *again = NULL;
                _cleanup_free_ char *line = NULL;
                int r;

                memcpy(text, request_example, length);
                damage(text, length);
                r = worker_request_parse(text, length, &request);
                if (r < 0) {
                        ck_assert_int_eq(r, -EBADMSG);
                        continue;
                }
                accepted++;
                ck_assert_int_eq(worker_request_format(request, &line), 0);
                ck_assert_int_eq(worker_request_parse(line, strlen(line) - 1, &again), 0);
        }
        /* Otherwise the damage is too great to reach anything behind the grammar. */
        ck_assert_uint_gt(accepted, 100);
}
END_TEST

START_TEST(random_damage_to_events)
{
        size_t length = strlen(result_example);
        _cleanup_free_ char *text = malloc(length);

        for (int i = 0; i < 20000; i++) {
                memcpy(text, result_example, length);
                damage(text, length);
                (void) parse_event(text, length);
        }
}
END_TEST

START_TEST(names)
{
        ck_assert_str_eq(verdict_to_string(VERDICT_DEGRADED), "degraded");
        ck_assert_str_eq(check_result_to_string(CHECK_FAILED), "failed");
        ck_assert_str_eq(worker_outcome_to_string(WORKER_REFUSED), "refused");
        ck_assert_str_eq(list_restored_to_string(LIST_REDUCED), "reduced");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("worker-protocol");

        unit_add(suite, request_round_trip);
        unit_add(suite, request_without_bridge);
        unit_add(suite, event_round_trip);
        unit_add(suite, phases_round_trip);
        unit_add(suite, record_round_trip);
        unit_add(suite, record_with_an_empty_list);
        unit_add(suite, cut_short);
        unit_add(suite, members_missing_doubled_and_strange);
        unit_add(suite, values_of_the_wrong_type);
        unit_add_table(suite, request_changed, request_changes);
        unit_add_table(suite, result_changed, result_changes);
        unit_add(suite, phase_changed);
        unit_add(suite, record_changed);
        unit_add(suite, no_or_too_many_members);
        unit_add(suite, one_member_too_many_is_not_parsed);
        unit_add(suite, longest_result);
        unit_add(suite, dirty_texts_are_cleaned);
        unit_add(suite, bad_requests_are_not_formatted);
        unit_add(suite, long_lines);
        unit_add(suite, random_damage);
        unit_add(suite, random_damage_to_events);
        unit_add(suite, names);
        return unit_run(suite);
}
