/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The request of the operation `order`: what is written is read again, and nothing else is.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/cleanup.h"
#include "shared/worker-protocol.h"
#include "unit.h"

DEFINE_CLEANUP(WorkerRequest *, worker_request_free);

static WorkerMember member;

static WorkerRequest order_of(const char *list)
{
        WorkerRequest request = {.operation = WORKER_ORDER,
                                 .job = 7,
                                 .method = WORKER_ORDER_METHOD,
                                 .members = &member,
                                 .n_members = 1};

        member.inode = 4711;
        ck_assert_int_eq(pci_address_parse("0000:01:00.0", &member.address), 0);
        ck_assert_int_eq(reset_method_list_parse(list, &request.list), 0);
        return request;
}

START_TEST(comes_through)
{
        static const char *const lists[] = {"", "flr", "bus flr", "default", "a_newer_one pm"};

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                _cleanup_(cleanup_worker_request_free) WorkerRequest *parsed = NULL;
                const WorkerRequest request = order_of(lists[i]);
                char text[RESET_METHOD_LIST_STRING_MAX];
                _cleanup_free_ char *line = NULL;

                ck_assert_int_eq(worker_request_format(&request, &line), 0);
                ck_assert_int_eq(worker_request_parse(line, strlen(line) - 1, &parsed), 0);
                ck_assert_int_eq(parsed->operation, WORKER_ORDER);
                ck_assert_str_eq(reset_method_list_format(&parsed->list, text), lists[i]);
        }
}
END_TEST

START_TEST(others_are_not_written)
{
        WorkerRequest request = order_of("flr");
        WorkerMember two[2] = {member, member};
        char *line;

        two[1].address.device++;
        request.members = two;
        request.n_members = 2;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
        request = order_of("flr");
        (void) snprintf(request.method, sizeof(request.method), "flr");
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
        /* A reset has no list. */
        request.operation = WORKER_RESET;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
        request = order_of("flr");
        request.n_fds = 1;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
        request = order_of("flr");
        request.has_bridge = true;
        ck_assert_int_eq(worker_request_format(&request, &line), -EINVAL);
}
END_TEST

static const struct {
        const char *from, *to;
} changes[] = {
        {"\"flr bus\"", "\"flr  bus\""},
        {"\"flr bus\"", "\" flr bus\""},
        {"\"flr bus\"", "\"flr\\nbus\""},
        {"\"flr bus\"", "\"flr/bus\""},
        {"\"flr bus\"", "\"flr bus\",\"list\":\"pm\""},
        {"\"flr bus\"", "[\"flr\"]"},
        {"\"list\":\"flr bus\"", "\"more\":\"flr bus\""},
        {"\"operation\":\"order\"", "\"operation\":\"reset\""},
        {"\"operation\":\"order\"", "\"operation\":\"scan\""},
        {"\"method\":\"order\"", "\"method\":\"flr\""},
};

START_TEST(others_are_not_read)
{
        _cleanup_free_ char *line = NULL, *changed = NULL;
        const WorkerRequest request = order_of("flr bus");
        WorkerRequest *parsed;
        char *at;

        ck_assert_int_eq(worker_request_format(&request, &line), 0);
        at = strstr(line, changes[_i].from);
        ck_assert_ptr_nonnull(at);
        ck_assert_int_ge(asprintf(&changed, "%.*s%s%s", (int) (at - line), line, changes[_i].to,
                                  at + strlen(changes[_i].from)),
                         0);
        ck_assert_int_eq(worker_request_parse(changed, strlen(changed) - 1, &parsed), -EBADMSG);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("worker-order");

        unit_add(suite, comes_through);
        unit_add(suite, others_are_not_written);
        unit_add_table(suite, others_are_not_read, changes);
        return unit_run(suite);
}
