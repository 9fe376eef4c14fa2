/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What is said on the socket and stands in the records: everything that is written can be read, and each
 * field is held to its bounds. Damage of other kinds is in test-worker-hostile.c.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol.h"
#include "unit.h"

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);
DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

START_TEST(request_round_trip)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;
        _cleanup_free_ char *line = NULL;

        ck_assert_int_eq(worker_request_parse(request_example, strlen(request_example), &request), 0);
        ck_assert_uint_eq(request->job, 7);
        ck_assert_uint_eq(request->uid, 1001);
        ck_assert_str_eq(request->method, "flr");
        ck_assert_int_eq(request->operation, WORKER_RESET);
        ck_assert_int_eq(request->driver, WORKER_DRIVER_KEEP);
        ck_assert(!request->allow_held);
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

/* A text with each of these changes in it, and what the parser reads there. */
START_TEST(requests_of_our_own_methods)
{
        _cleanup_free_ char *slot = replace(request_example, "\"flr\"", "\"slot\""),
                            *named = replace(slot, "\"slot\":\"\"", "\"slot\":\"0-1\""),
                            *rebind = replace(named, "\"keep\"", "\"rebind\""),
                            *retry = replace(rebind, "\"retry_usec\":0", "\"retry_usec\":5000000"),
                            *hot = replace(request_example, "\"flr\"", "\"vfio_hot\""),
                            *presented = replace(hot, "\"n_fds\":0", "\"n_fds\":16"),
                            *too_many = replace(hot, "\"n_fds\":0", "\"n_fds\":17"),
                            *held = replace(presented, "\"allow_held\":false", "\"allow_held\":true"),
                            *dated = replace(held, "\"uid\":1001",
                                             "\"uid\":1001,\"queued_at\":3,\"started_at\":4"),
                            *half = replace(held, "\"uid\":1001", "\"uid\":1001,\"queued_at\":3");
        _cleanup_(cleanup_worker_request_free) WorkerRequest *a = NULL, *b = NULL, *c = NULL;
        _cleanup_free_ char *line = NULL, *again = NULL;

        ck_assert_int_eq(worker_request_parse(retry, strlen(retry), &a), 0);
        ck_assert_str_eq(a->method, "slot");
        ck_assert_str_eq(a->slot, "0-1");
        ck_assert_int_eq(a->driver, WORKER_DRIVER_REBIND);
        ck_assert_uint_eq(a->retry_usec, 5000000);
        ck_assert_int_eq(worker_request_format(a, &line), 0);
        ck_assert_int_eq(strncmp(line, retry, strlen(retry)), 0);

        ck_assert_int_eq(worker_request_parse(held, strlen(held), &b), 0);
        ck_assert_uint_eq(b->n_fds, 16);
        ck_assert(b->allow_held);
        ck_assert_int_eq(parse_string(parse_request, too_many), -EBADMSG);

        ck_assert_int_eq(worker_request_parse(dated, strlen(dated), &c), 0);
        ck_assert_uint_eq(c->queued_at, 3);
        ck_assert_uint_eq(c->started_at, 4);
        ck_assert_int_eq(worker_request_format(c, &again), 0);
        ck_assert_int_eq(strncmp(again, dated, strlen(dated)), 0);
        ck_assert_int_eq(parse_string(parse_request, half), -EBADMSG);
}
END_TEST

#define IMAGE(address, bars)                                                                                \
        "{\"address\":\"" address                                                                           \
        "\",\"inode\":4711,\"answers\":true,\"vendor\":32902,\"device\":4307,\"subsystem\":1,"              \
        "\"header_type\":128,\"class_revision\":33554432,\"command\":1030,\"bars\":\"" bars                 \
        "\",\"has_link\":true,\"link_speed\":3,\"link_width\":4,\"link_reports_active\":true,"              \
        "\"link_active\":false,\"driver\":\"igb\",\"probe\":\"live\"}"
#define TWO_BARS "fe800000 00000004"

/* Of the job's earlier methods; to a member, or the bridge, and of each one. */
START_TEST(images_round_trip)
{
        static const char *const bad[] = {
                ",\"images\":[]}",
                ",\"images\":[" IMAGE("0000:07:00.0", "") "]}",
                ",\"images\":[" IMAGE("0000:01:00.0", "") "," IMAGE("0000:01:00.0", "") "]}",
                ",\"images\":[" IMAGE("0000:01:00.0", "fe80000") "]}",
                ",\"images\":[" IMAGE("0000:01:00.0", "fe800000 ") "]}",
                ",\"images\":[" IMAGE("0000:01:00.0", "fe800000  00000004") "]}",
                ",\"images\":[" IMAGE("0000:01:00.0", "fe800000,00000004") "]}",
                ",\"images\":[" IMAGE("0000:01:00.0", "0xe80000") "]}",
                ",\"images\":[" IMAGE("0000:01:00.0",
                                      TWO_BARS " " TWO_BARS " " TWO_BARS " " TWO_BARS " 00000000") "]}",
        };
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;
        _cleanup_free_ char *line = NULL, *text = NULL;
        char *head = strdup(request_example);

        head[strlen(head) - 1] = '\0';
        ck_assert_int_gt(asprintf(&text,
                                  "%s,\"images\":[" IMAGE("0000:01:00.0", TWO_BARS) "," IMAGE("0000:00:1c.0",
                                                                                              "") "]}",
                                  head),
                         0);
        ck_assert_int_eq(worker_request_parse(text, strlen(text), &request), 0);
        ck_assert_uint_eq(request->n_images, 2);
        ck_assert_uint_eq(request->images[0].command, 0x0406);
        ck_assert_uint_eq(request->images[0].n_bars, 2);
        ck_assert_uint_eq(request->images[0].bars[0], 0xfe800000);
        ck_assert_uint_eq(request->images[1].n_bars, 0);
        ck_assert_ptr_eq(worker_image_find(request->images, 2, &request->bridge.address),
                         &request->images[1]);
        ck_assert_int_eq(worker_request_format(request, &line), 0);
        ck_assert_int_eq(strncmp(line, text, strlen(text)), 0);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_free_ char *other = NULL;

                ck_assert_int_gt(asprintf(&other, "%s%s", head, bad[i]), 0);
                ck_assert_msg(parse_string(parse_request, other) == -EBADMSG, "%s", other);
        }
        free(head);
}
END_TEST

/* Only of a worker that comes after a boot. */
START_TEST(request_after_a_boot)
{
        _cleanup_free_ char *reset = replace(request_example, "\"members\"",
                                             "\"machine_stopped\":true,\"members\""),
                            *mend = replace(reset, "\"operation\":\"reset\"", "\"operation\":\"mend\""),
                            *odd = replace(mend, "_stopped\":true", "_stopped\":1"), *line = NULL;
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;

        ck_assert_int_eq(parse_string(parse_request, reset), -EBADMSG);
        ck_assert_int_eq(parse_string(parse_request, odd), -EBADMSG);
        ck_assert_int_eq(worker_request_parse(mend, strlen(mend), &request), 0);
        ck_assert(request->machine_stopped);
        ck_assert_int_eq(worker_request_format(request, &line), 0);
        ck_assert_int_eq(strncmp(line, mend, strlen(mend)), 0);
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
        _cleanup_event_ WorkerEvent event = {};
        _cleanup_free_ char *line = NULL;
        const WorkerResult *result;

        ck_assert_int_eq(worker_event_parse(result_example, strlen(result_example), &event), 0);
        ck_assert_int_eq(event.type, WORKER_EVENT_RESULT);
        ck_assert_ptr_null(event.scan);
        result = event.result;
        ck_assert_int_eq(result->outcome, WORKER_DONE);
        ck_assert_int_eq(result->verdict, VERDICT_OK);
        ck_assert_int_eq(result->reset_method, LIST_EXACT);
        ck_assert(result->written);
        ck_assert_uint_eq(result->finished_usec - result->started_usec, 117000);
        ck_assert_str_eq(result->firmware, "1.0");
        ck_assert_uint_eq(result->n_checks, 2);
        ck_assert_str_eq(result->checks[0].check, "command");
        ck_assert_str_eq(result->checks[0].before, "0x0006");
        ck_assert_int_eq(result->checks[1].result, CHECK_SKIPPED);
        ck_assert_uint_eq(result->n_holders, 1);
        ck_assert_int_eq(result->holders[0].kind, HOLDER_PROCESS);
        ck_assert_uint_eq(result->holders[0].pid, 812);
        ck_assert_str_eq(result->holders[0].what, "/dev/dri/card0");

        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_int_eq(strncmp(line, result_example, strlen(result_example)), 0);
        ck_assert_str_eq(line + strlen(result_example), "\n");
}
END_TEST

START_TEST(scan_round_trip)
{
        _cleanup_event_ WorkerEvent event = {};
        _cleanup_free_ char *line = NULL;
        const WorkerScan *scan;

        ck_assert_int_eq(worker_event_parse(scan_example, strlen(scan_example), &event), 0);
        ck_assert_int_eq(event.type, WORKER_EVENT_SCAN);
        ck_assert_ptr_null(event.result);
        scan = event.scan;
        ck_assert_uint_eq(scan->n_uses, 2);
        ck_assert_str_eq(scan->uses[0].owner, "@gpu");
        ck_assert(scan->uses[0].has_vfio_uid);
        ck_assert_uint_eq(scan->uses[0].vfio_uid, 1000);
        ck_assert_uint_eq(scan->uses[0].n_nodes, 2);
        ck_assert_str_eq(scan->uses[0].nodes[1], "/dev/vfio/7");
        ck_assert(!scan->uses[1].has_vfio_uid);
        ck_assert(!scan->uses[0].more_nodes);
        ck_assert(scan->uses[1].more_nodes);
        ck_assert_uint_eq(scan->n_holders, 1);
        ck_assert_str_eq(scan->holders[0].command, "qemu");

        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_int_eq(strncmp(line, scan_example, strlen(scan_example)), 0);
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
                _cleanup_event_ WorkerEvent event = {};

                ck_assert_int_eq(worker_event_parse(phases[i].text, strlen(phases[i].text), &event), 0);
                ck_assert_int_eq(event.type, phases[i].type);
                ck_assert_ptr_null(event.result);
                ck_assert_ptr_null(event.scan);
                ck_assert_int_eq(worker_event_format(&event, &line), 0);
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

static const struct {
        const char *from, *to;
        bool good;
} request_changes[] = {
        {"\"version\":2", "\"version\":1"},
        {"\"version\":2", "\"version\":3"},
        {"\"version\":2", "\"version\":\"2\""},
        {"\"reset\"", "\"remove\""},
        {"\"reset\"", "\"scan\""}, /* its method is no reset's */
        {"\"operation\":\"reset\",\"job\":7,\"uid\":1001,\"method\":\"flr\"",
         "\"operation\":\"scan\",\"job\":7,\"uid\":1001,\"method\":\"scan\"", true},
        {"\"reset\"", "\"\""},
        {"\"job\":7", "\"job\":4294967295", true},
        {"\"job\":7", "\"job\":4294967296"},
        {"\"job\":7", "\"job\":-1"},
        {"\"uid\":1001", "\"uid\":4294967296"},
        /* methods: only names of a known scope */
        {"\"flr\"", "\"bus\"", true},
        {"\"flr\"", "\"device_specific\"", true},
        {"\"flr\"", "\"d3cold\""},
        {"\"flr\"", "\"\""},
        {"\"flr\"", "\"flr \""},
        {"\"flr\"", "\"flr bus\""},
        {"\"flr\"", "\"flr\\nbus\""},
        {"\"flr\"", "\"default\""},
        {"\"flr\"", "\"scan\""},
        {"\"flr\"", "\"subordinate\"", true},
        {"\"flr\"", "\"vfio_hot\"", true},
        {"\"flr\"", "\"rescan\"", true},
        /* a slot belongs to the method of that name, and to no other */
        {"\"flr\"", "\"slot\""},
        {"\"slot\":\"\"", "\"slot\":\"3\""},
        /* and descriptors to theirs */
        {"\"n_fds\":0", "\"n_fds\":1"},
        {"\"n_fds\":0", "\"n_fds\":-1"},
        {"\"flr\"", "\"FLR\""},
        {"\"flr\"", "\"flr\\u0000\""},
        {"\"flr\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""},
        {"\"settle_usec\":0", "\"settle_usec\":60000000", true},
        {"\"settle_usec\":0", "\"settle_usec\":60000001"},
        {"\"settle_usec\":0", "\"settle_usec\":18446744073709551616"},
        {"\"retry_usec\":0", "\"retry_usec\":60000000", true},
        {"\"retry_usec\":0", "\"retry_usec\":60000001"},
        {"\"allow_held\":false", "\"allow_held\":true", true},
        {"\"allow_held\":false", "\"allow_held\":1"},
        {"\"keep\"", "\"rebind\"", true},
        {"\"keep\"", "\"refuse\""},
        {"\"keep\"", "\"\""},
        {"\"owners\":false", "\"owners\":true", true},
        {"\"owners\":false", "\"owners\":null"},
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
        {"\"firmware\":\"1.0\",", "", true}, /* of a worker of an earlier version */
        {"\"firmware\":\"1.0\"", "\"firmware\":1"},
        {"\"firmware\":\"1.0\"", "\"firmware\":\"\\n\""},
        {"\"message\":\"\"", "\"message\":\"\xff\""},
        {"\"check\":\"command\"", "\"check\":\"Command\""},
        {"\"check\":\"command\"", "\"check\":\"\""},
        {"\"result\":\"ok\"", "\"result\":\"good\""},
        {"\"checks\":[", "\"checks\":[null,"},
        {"\"event\":\"result\",", "\"event\":\"result\",\"phase\":\"resetting\","},
        /* holders */
        {"\"kind\":\"process\"", "\"kind\":\"mount\"", true},
        {"\"kind\":\"process\"", "\"kind\":\"daemon\""},
        {"\"pid\":812", "\"pid\":2147483647", true},
        {"\"pid\":812", "\"pid\":2147483648"},
        {"\"uid\":1000", "\"uid\":4294967296"},
        {"\"command\":\"qemu\"", "\"command\":\"a\\tb\""},
        {"\"holders\":[", "\"holders\":[{},"},
};

START_TEST(result_changed)
{
        assert_replaced(parse_event, result_example, result_changes[_i].from, result_changes[_i].to,
                        result_changes[_i].good ? 0 : -EBADMSG);
}
END_TEST

static const struct {
        const char *from, *to;
        bool good;
} scan_changes[] = {
        {"\"scan\"", "\"result\""},
        {"\"scan\"", "\"Scan\""},
        {"\"scan\"", "7"},
        {"\"errno\":0", "\"errno\":12", true},
        {"\"errno\":0", "\"errno\":4096"},
        {"\"event\":\"scan\",", "\"event\":\"scan\",\"phase\":\"resetting\","},
        {"\"0000:01:00.1\"", "\"0000:01:00.9\""},
        {"\"vfio_uid\":1000", "\"vfio_uid\":null", true},
        {"\"vfio_uid\":1000", "\"vfio_uid\":\"alice\""},
        {"\"vfio_uid\":1000", "\"vfio_uid\":4294967296"},
        {"\"truncated\":false", "\"truncated\":true", true},
        {"\"truncated\":false", "\"truncated\":0"},
        {"\"more_nodes\":false", "\"more_nodes\":true", true},
        {"\"more_nodes\":false", "\"more_nodes\":null"},
        /* nodes are watched: paths that lead nowhere else */
        {"\"/dev/vfio/7\"", "\"/dev/snd/../../etc/shadow\""},
        {"\"/dev/vfio/7\"", "\"dev/vfio/7\""},
        {"\"/dev/vfio/7\"", "\"\""},
        {"\"/dev/vfio/7\"", "\"/dev/a b\""},
        {"\"/dev/vfio/7\"", "\"/dev/vfio/7\\u0000\""},
        {"\"/dev/vfio/7\"", "7"},
        {"\"uses\":[", "\"uses\":[null,"},
        {"\"holders\":[", "\"holders\":[7,"},
};

START_TEST(scan_changed)
{
        assert_replaced(parse_event, scan_example, scan_changes[_i].from, scan_changes[_i].to,
                        scan_changes[_i].good ? 0 : -EBADMSG);
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

        assert_replaced(parse_record, record, "\"version\":2,\"pid\"", "\"version\":1,\"pid\"", -EBADMSG);
        assert_replaced(parse_record, record, "\"pid\":4242", "\"pid\":0", -EBADMSG);
        assert_replaced(parse_record, record, "\"pid\":4242", "\"pid\":2147483648", -EBADMSG);
        assert_replaced(parse_record, record, "\"flr bus\"", "\"flr,bus\"", -EBADMSG);
        assert_replaced(parse_record, record, "\"flr bus\"", "false", -EBADMSG);
        assert_replaced(parse_record, record, "\"request\":{\"version\":2", "\"request\":{\"version\":1",
                        -EBADMSG);
        assert_replaced(parse_record, record, "\"verdict\":\"ok\"", "\"verdict\":\"fine\"", -EBADMSG);
}
END_TEST

/* What comes from hardware and drivers may be anything; the line must be readable all the same. */
START_TEST(dirty_texts_are_cleaned)
{
        WorkerCheck check = {.check = "driver", .before = "\xff\xfe", .after = "a\nb"};
        Holder holder = {.command = "\x1b]0;rm\x07"};
        WorkerResult result = {
                .message = "\x1b[31m", .checks = &check, .n_checks = 1, .holders = &holder, .n_holders = 1};
        WorkerEvent event = {.type = WORKER_EVENT_RESULT, .result = &result};
        _cleanup_event_ WorkerEvent parsed = {};
        _cleanup_free_ char *line = NULL;

        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &parsed), 0);
        ck_assert_str_eq(parsed.result->message, "?[31m");
        ck_assert_str_eq(parsed.result->checks[0].before, "??");
        ck_assert_str_eq(parsed.result->checks[0].after, "a?b");
        ck_assert_str_eq(parsed.result->holders[0].command, "?]0;rm?");
}
END_TEST

START_TEST(bad_requests_are_not_formatted)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;
        _cleanup_free_ char *line = NULL;

        ck_assert_int_eq(worker_request_parse(request_example, strlen(request_example), &request), 0);

        (void) strcpy(request->method, "d3cold");
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        (void) strcpy(request->method, "slot"); /* but which? */
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        (void) strcpy(request->slot, "..");
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        (void) strcpy(request->slot, "1/../..");
        ck_assert_int_eq(worker_request_format(request, &line), -EINVAL);
        request->slot[0] = '\0';
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
        Suite *suite = suite_create("worker-messages");

        unit_add(suite, request_round_trip);
        unit_add(suite, requests_of_our_own_methods);
        unit_add(suite, images_round_trip);
        unit_add(suite, request_after_a_boot);
        unit_add(suite, request_without_bridge);
        unit_add(suite, event_round_trip);
        unit_add(suite, scan_round_trip);
        unit_add(suite, phases_round_trip);
        unit_add(suite, record_round_trip);
        unit_add(suite, record_with_an_empty_list);
        unit_add_table(suite, request_changed, request_changes);
        unit_add_table(suite, result_changed, result_changes);
        unit_add_table(suite, scan_changed, scan_changes);
        unit_add(suite, phase_changed);
        unit_add(suite, record_changed);
        unit_add(suite, dirty_texts_are_cleaned);
        unit_add(suite, bad_requests_are_not_formatted);
        unit_add(suite, names);
        return unit_run(suite);
}
