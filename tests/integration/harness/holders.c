/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "holders.h"

#include <string.h>
#include <sys/stat.h>

#include "claims.h"

#define STARTED "/run/tmp/started-workers"

void card_with_node(void)
{
        const MockDevice card = {
                .address = CARD, .parent = PORT, .methods = "flr pm", .driver = "nvme", .class = 0x030000};

        nodes_init();
        sysfs_add(&mock_port);
        sysfs_add(&card);
        node_of(CARD, "drm/" NODE, NODE_ZERO);
}

void start_with_vfio(const char *group)
{
        const MockDevice card = {.address = CARD,
                                 .parent = PORT,
                                 .methods = "flr pm bus",
                                 .driver = "vfio-pci",
                                 .iommu_group = group};

        nodes_init();
        sysfs_add(&mock_port);
        sysfs_add(&card);
        vfio_group_add(group, NODE_FULL, UID_BOB);
        polkit_start(polkit_rules_everybody);
        fixture_start();
        signals_watch(observer);
        (void) get_holders(observer, CARD);
        daemon_settle();
}

void workers_count(void)
{
        static const char program[] = "/run/tmp/counted-worker";

        file_print(program, "#!/bin/sh\necho >> " STARTED "\nexec %s\n", tested_path("PCIRESET_WORKER"));
        ck_assert_int_eq(chmod(program, 0755), 0);
        daemon_argument("--worker=/run/tmp/counted-worker");
}

size_t workers_started(void)
{
        _cleanup_free_ char *lines = file_read(STARTED, NULL);

        return lines ? strlen(lines) : 0;
}

Reply *get_holders(Client *client, const char *address)
{
        Reply *reply = call(client, device_path(address), DEVICE_INTERFACE, "GetHolders", "a{sv}", 0);

        expect_success(reply);
        return reply;
}

void expect_process(json_object *holder, const Process *process, uid_t uid, const char *kind,
                    const char *what)
{
        ck_assert_str_eq(json_object_get_string(json_at(holder, "device")), device_path(CARD));
        ck_assert_str_eq(json_object_get_string(json_at(holder, "kind")), kind);
        ck_assert_str_eq(json_object_get_string(json_at(holder, "what")), what);
        ck_assert_int_eq(json_object_get_int(json_at(holder, "pid")), process->pid);
        ck_assert_int_eq(json_object_get_int(json_at(holder, "uid")), uid);
        ck_assert_str_ne(json_object_get_string(json_at(holder, "command")), "");
        ck_assert(json_at(holder, "unit"));
        ck_assert(!json_object_get_boolean(json_at(holder, "hard")));
        ck_assert_ptr_null(json_at(holder, "count"));
}

void expect_hidden(json_object *holder, const char *kind, int count)
{
        ck_assert_str_eq(json_object_get_string(json_at(holder, "device")), device_path(CARD));
        ck_assert_str_eq(json_object_get_string(json_at(holder, "kind")), kind);
        ck_assert_int_eq(json_object_get_int(json_at(holder, "count")), count);
        ck_assert_int_eq(json_object_object_length(holder), 4); /* and `hard` */
}

bool is_in_use(const char *address)
{
        _cleanup_reply_ Reply *reply = get_property(observer, device_path(address), DEVICE_INTERFACE,
                                                    "InUse");

        return json_object_get_boolean(reply_at(reply, "0"));
}
