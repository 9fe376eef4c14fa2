/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);
DEFINE_CLEANUP(WorkerRecord *, worker_record_free);

/* The examples of worker-protocol.h and its neighbours, with their dots filled in. */
const char request_example[] =
        "{\"version\":2,\"operation\":\"reset\",\"job\":7,\"uid\":1001,\"method\":\"flr\",\"settle_usec\":0,"
        "\"retry_usec\":0,\"allow_held\":false,\"driver\":\"keep\",\"slot\":\"\",\"n_fds\":0,\"owners\":"
        "false,"
        "\"members\":[{\"address\":\"0000:01:00.0\",\"inode\":4711,\"vendor\":32902,\"device\":4307,"
        "\"class\":131072,\"driver\":\"\",\"must_be_disabled\":false},"
        "{\"address\":\"0000:01:10.0\",\"inode\":4712,\"vendor\":32902,\"device\":5421,\"class\":131072,"
        "\"driver\":\"vfio-pci\",\"must_be_disabled\":true}],"
        "\"bridge\":{\"address\":\"0000:00:1c.0\",\"inode\":815,\"vendor\":32902,\"device\":1,"
        "\"class\":394240,\"driver\":\"pcieport\",\"must_be_disabled\":false}}";

#define HOLDER_EXAMPLE                                                                                      \
        "{\"device\":\"0000:01:00.0\",\"kind\":\"process\",\"pid\":812,\"uid\":1000,\"command\":\"qemu\","  \
        "\"unit\":\"\",\"what\":\"/dev/dri/card0\",\"silent\":false,\"truncated\":false}"

const char result_example[] =
        "{\"event\":\"result\",\"outcome\":\"done\",\"why\":\"\",\"errno\":0,\"verdict\":\"ok\",\"written\":"
        "true,"
        "\"reset_method\":\"exact\",\"tries\":1,\"started_usec\":5000000,\"finished_usec\":5117000,"
        "\"message\":\"\",\"firmware\":\"1.0\","
        "\"checks\":[{\"device\":\"0000:01:00.0\",\"check\":\"command\",\"result\":\"ok\","
        "\"before\":\"0x0006\",\"after\":\"0x0006\"},{\"device\":\"0000:01:00.0\",\"check\":\"aer\","
        "\"result\":\"skipped\",\"before\":\"\",\"after\":\"\"}],\"holders\":[" HOLDER_EXAMPLE "]}";

const char scan_example[] =
        "{\"event\":\"scan\",\"errno\":0,\"message\":\"\",\"uses\":[{\"device\":\"0000:01:00.0\","
        "\"errno\":0,\"owner\":\"@gpu\",\"vfio_uid\":1000,\"nodes\":[\"/dev/dri/card0\",\"/dev/vfio/"
        "7\"],\"more_nodes\":false,\"frozen\":true},"
        "{\"device\":\"0000:01:00.1\",\"errno\":19,\"owner\":\"\",\"vfio_uid\":null,\"nodes\":[],\"more_"
        "nodes\":true,\"frozen\":false}],"
        "\"holders\":[" HOLDER_EXAMPLE "]}";

const char resetting_example[] = "{\"event\":\"phase\",\"phase\":\"resetting\"}";
const char verifying_example[] = "{\"event\":\"phase\",\"phase\":\"verifying\"}";

int parse_request(const char *text, size_t length)
{
        _cleanup_(cleanup_worker_request_free) WorkerRequest *request = NULL;

        return worker_request_parse(text, length, &request);
}

int parse_event(const char *text, size_t length)
{
        _cleanup_event_ WorkerEvent event = {};

        return worker_event_parse(text, length, &event);
}

int parse_record(const char *text, size_t length)
{
        _cleanup_(cleanup_worker_record_free) WorkerRecord *record = NULL;

        return worker_record_parse(text, length, &record);
}

void event_done(WorkerEvent *event)
{
        event->result = worker_result_free(event->result);
        event->scan = worker_scan_free(event->scan);
}

int parse_exactly(Parse parse, const char *text, size_t length)
{
        _cleanup_free_ char *copy = malloc(length > 0 ? length : 1);

        memcpy(copy, text, length);
        return parse(copy, length);
}

int parse_string(Parse parse, const char *text)
{
        return parse_exactly(parse, text, strlen(text));
}

char *replace(const char *text, const char *from, const char *to)
{
        const char *at = strstr(text, from);
        char *result;

        ck_assert_msg(at, "no '%s' in: %s", from, text);
        ck_assert_int_ge(asprintf(&result, "%.*s%s%s", (int) (at - text), text, to, at + strlen(from)), 0);
        return result;
}

void assert_replaced(Parse parse, const char *text, const char *from, const char *to, int wanted)
{
        _cleanup_free_ char *changed = replace(text, from, to);
        int r = parse_string(parse, changed);

        ck_assert_msg(r == wanted, "%d for: %s", r, changed);
}

char *record_example(bool has_list, bool has_result)
{
        char *text;

        ck_assert_int_ge(asprintf(&text,
                                  "{\"version\":2,\"pid\":4242,\"saved_reset_method\":%s,\"request\":%s,"
                                  "\"result\":%s}",
                                  has_list ? "\"flr bus\"" : "null", request_example,
                                  has_result ? result_example : "null"),
                         0);
        return text;
}
