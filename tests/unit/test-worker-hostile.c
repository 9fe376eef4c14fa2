/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Both ends of the socket read with these parsers, and neither trusts the other: every cut, every missing,
 * doubled, unknown or mistyped member, the longest lines, and random damage.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"
#include "unit.h"

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);

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
        assert_no_cut_is_accepted(parse_event, scan_example);
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
                ck_assert_msg(parse_string(parse, without) == (strstr(optional, key) ? 0 : -EBADMSG),
                              "no '%s': %s", key, without);
        }
}

START_TEST(members_missing_doubled_and_strange)
{
        _cleanup_free_ char *record = record_example(true, true);

        assert_members_are_held_to(parse_request, request_example, "bridge");
        assert_members_are_held_to(parse_event, result_example, "firmware");
        assert_members_are_held_to(parse_event, scan_example, "");
        assert_members_are_held_to(parse_event, resetting_example, "");
        assert_members_are_held_to(parse_record, record, "bridge firmware");
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

#define REQUEST_HEAD                                                                                        \
        "{\"version\":2,\"operation\":\"reset\",\"job\":7,\"uid\":1,\"method\":\"flr\",\"settle_usec\":0,"  \
        "\"retry_usec\":0,\"allow_held\":false,\"driver\":\"keep\",\"slot\":\"\",\"n_fds\":0,\"owners\":"   \
        "false,"                                                                                            \
        "\"members\":["

START_TEST(no_or_too_many_members)
{
        _cleanup_free_ WorkerMember *members = calloc(WORKER_MEMBERS_MAX + 1, sizeof(WorkerMember));
        _cleanup_(cleanup_worker_request_free) WorkerRequest *parsed = NULL;
        _cleanup_free_ char *line = NULL;
        _cleanup_free_ WorkerImage *images = calloc(WORKER_MEMBERS_MAX, sizeof(WorkerImage));
        WorkerRequest request = {.method = "bus",
                                 .members = members,
                                 .n_members = WORKER_MEMBERS_MAX,
                                 .images = images,
                                 .n_images = WORKER_MEMBERS_MAX};

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
        for (size_t i = 0; i < WORKER_MEMBERS_MAX; i++) {
                images[i] = (WorkerImage){
                        .address = members[i].address,
                        .inode = UINT64_MAX - 1,
                        .answers = false,
                        .vendor = UINT16_MAX,
                        .device = UINT16_MAX,
                        .subsystem = UINT32_MAX,
                        .header_type = UINT8_MAX,
                        .class_revision = UINT32_MAX,
                        .command = UINT16_MAX,
                        .n_bars = WORKER_IMAGE_BARS,
                        .link_speed = UINT8_MAX,
                        .link_width = UINT8_MAX,
                };
                memset(images[i].driver, '"', WORKER_DRIVER_MAX - 1);
                memset(images[i].probe, '"', WORKER_VALUE_MAX - 1);
        }
        ck_assert_int_eq(worker_request_format(&request, &line), 0);
        ck_assert_uint_le(strlen(line), WORKER_REQUEST_MAX);
        ck_assert_int_eq(worker_request_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_uint_eq(parsed->n_members, WORKER_MEMBERS_MAX);

        request.n_members++;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
        request.n_members = 0;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);

        ck_assert_int_eq(parse_string(parse_request, REQUEST_HEAD "]}"), -EBADMSG);
}
END_TEST

START_TEST(one_member_too_many_is_not_parsed)
{
        _cleanup_free_ char *text = malloc(WORKER_REQUEST_MAX);
        size_t used;

        used = (size_t) sprintf(text, REQUEST_HEAD);
        for (unsigned i = 0; i <= WORKER_MEMBERS_MAX; i++)
                used += (size_t) sprintf(
                        text + used,
                        "%s{\"address\":\"0000:%02x:%02x.%x\",\"inode\":1,\"vendor\":1,"
                        "\"device\":1,\"class\":1,\"driver\":\"\",\"must_be_disabled\":false}",
                        i > 0 ? "," : "", i >> 8, i >> 3 & 31, i & 7);
        used += (size_t) sprintf(text + used, "]}");
        ck_assert_int_eq(parse_exactly(parse_request, text, used), -EBADMSG);

        /* It is the number that was wrong. */
        used = (size_t) (strstr(text, ",{\"address\":\"0000:02:00.0\"") - text);
        (void) strcpy(text + used, "]}");
        ck_assert_int_eq(parse_exactly(parse_request, text, used + 2), 0);
}
END_TEST

START_TEST(longest_result)
{
        WorkerResult result = {.error = 4095, .started_usec = 1, .finished_usec = 2};
        WorkerEvent event = {.type = WORKER_EVENT_RESULT, .result = &result};
        _cleanup_free_ WorkerCheck *checks = calloc(WORKER_CHECKS_MAX, sizeof(WorkerCheck));
        _cleanup_event_ WorkerEvent parsed = {};
        _cleanup_free_ char *line = NULL;

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

        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_uint_le(strlen(line), WORKER_LINE_MAX);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_uint_eq(parsed.result->n_checks, WORKER_CHECKS_MAX);
        ck_assert_str_eq(parsed.result->checks[WORKER_CHECKS_MAX - 1].after, checks[0].after);
}
END_TEST

static Holder *holders_of_all_bytes(void)
{
        Holder *holders = calloc(HOLDERS_MAX, sizeof(Holder));

        for (size_t i = 0; i < HOLDERS_MAX; i++) {
                holders[i] = (Holder){.device.domain = 0xffffffff,
                                      .kind = HOLDER_INTERFACE,
                                      .pid = INT32_MAX,
                                      .uid = UINT32_MAX,
                                      .truncated = true};
                memset(holders[i].command, '"', HOLDER_COMMAND_MAX - 1);
                memset(holders[i].unit, '"', HOLDER_UNIT_MAX - 1);
                memset(holders[i].what, '"', HOLDER_WHAT_MAX - 1);
        }
        return holders;
}

/* A refusal that has all the holders there may be: they are found before anything is checked. */
START_TEST(most_holders)
{
        _cleanup_free_ Holder *holders = holders_of_all_bytes();
        WorkerResult result = {.outcome = WORKER_REFUSED, .holders = holders, .n_holders = HOLDERS_MAX};
        WorkerEvent event = {.type = WORKER_EVENT_RESULT, .result = &result};
        _cleanup_event_ WorkerEvent parsed = {};
        _cleanup_free_ char *line = NULL;

        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_uint_eq(parsed.result->n_holders, HOLDERS_MAX);
        ck_assert_str_eq(parsed.result->holders[HOLDERS_MAX - 1].what, holders[0].what);
}
END_TEST

START_TEST(longest_scan)
{
        enum { EACH = WORKER_SCAN_NODES_MAX / WORKER_MEMBERS_MAX };
        _cleanup_free_ Holder *holders = holders_of_all_bytes();
        char(*nodes)[WORKER_NODE_MAX] = calloc(EACH, WORKER_NODE_MAX);
        _cleanup_free_ WorkerUse *uses = calloc(WORKER_MEMBERS_MAX, sizeof(WorkerUse));
        WorkerScan scan = {
                .uses = uses, .n_uses = WORKER_MEMBERS_MAX, .holders = holders, .n_holders = HOLDERS_MAX};
        WorkerEvent event = {.type = WORKER_EVENT_SCAN, .scan = &scan};
        _cleanup_event_ WorkerEvent parsed = {};
        _cleanup_free_ char *line = NULL;

        for (size_t i = 0; i < EACH; i++)
                memset(nodes[i], '/', WORKER_NODE_MAX - 1);
        for (size_t i = 0; i < WORKER_MEMBERS_MAX; i++) {
                uses[i] = (WorkerUse){.has_vfio_uid = true, .nodes = nodes, .n_nodes = EACH};
                memset(uses[i].owner, '"', WORKER_OWNER_MAX - 1);
        }

        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_uint_eq(parsed.scan->n_uses, WORKER_MEMBERS_MAX);
        ck_assert_uint_eq(parsed.scan->uses[WORKER_MEMBERS_MAX - 1].n_nodes, EACH);
        free(nodes);
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

static const char *const damaged_events[] = {result_example, scan_example};

START_TEST(random_damage_to_events)
{
        const char *example = damaged_events[_i];
        size_t length = strlen(example);
        _cleanup_free_ char *text = malloc(length);
        unsigned accepted = 0;

        for (int i = 0; i < 20000; i++) {
                memcpy(text, example, length);
                damage(text, length);
                accepted += parse_exactly(parse_event, text, length) == 0;
        }
        ck_assert_uint_gt(accepted, 100);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("worker-hostile");

        unit_add(suite, cut_short);
        unit_add(suite, members_missing_doubled_and_strange);
        unit_add(suite, values_of_the_wrong_type);
        unit_add(suite, no_or_too_many_members);
        unit_add(suite, one_member_too_many_is_not_parsed);
        unit_add(suite, longest_result);
        unit_add(suite, most_holders);
        unit_add(suite, longest_scan);
        unit_add(suite, long_lines);
        unit_add(suite, random_damage);
        unit_add_table(suite, random_damage_to_events, damaged_events);
        return unit_run(suite);
}
