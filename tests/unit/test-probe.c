/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * What drivers say of their devices: read from plain files, and compared with what they said before.
 */

#include <string.h>
#include <sys/stat.h>

#include "fake-pci.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/health.h"

#define CARD "0000:01:00.0"

DEFINE_CLEANUP(Health *, health_free);

/* ---- reading ---- */

typedef struct File {
        const char *name, *text; /* NULL: there is none */
} File;

static const struct {
        uint32_t class;
        File files[6];
        ProbeResult result;
        const char *text;
} readings[] = {
        {0x010802, {{"nvme/nvme0/state", "live\n"}}, PROBE_WORKS, "nvme0 live"},
        {0x010802, {{"nvme/nvme0/state", "new\n"}}, PROBE_PENDING, "nvme0 new"},
        {0x010802, {{"nvme/nvme0/state", "resetting\n"}}, PROBE_PENDING, "nvme0 resetting"},
        {0x010802, {{"nvme/nvme0/state", "connecting\n"}}, PROBE_PENDING, "nvme0 connecting"},
        {0x010802, {{"nvme/nvme0/state", "dead\n"}}, PROBE_FAILED, "nvme0 dead"},
        {0x010802, {{"nvme/nvme0/state", "deleting (no IO)\n"}}, PROBE_FAILED, "nvme0 deleting (no IO)"},
        {0x010802, {{"nvme/nvme0/model", "x\n"}}, PROBE_NONE, ""},
        {0x010802, {}, PROBE_NONE, ""},
        /* Not what this class is asked for. */
        {0x010601, {{"nvme/nvme0/state", "live\n"}}, PROBE_NONE, ""},
        {0x020000,
         {{"net/eth0/flags", "0x1003\n"}, {"net/eth0/carrier", "1\n"}},
         PROBE_WORKS,
         "eth0 carrier"},
        {0x020000,
         {{"net/eth0/flags", "0x1003\n"}, {"net/eth0/carrier", "0\n"}},
         PROBE_PENDING,
         "eth0 no carrier"},
        /* One that is down has none to tell of. */
        {0x020000, {{"net/eth0/flags", "0x1002\n"}, {"net/eth0/carrier", "1\n"}}, PROBE_NONE, ""},
        {0x020000, {{"net/eth0/flags", "0x1003\n"}}, PROBE_NONE, ""},
        /* The worse of two. */
        {0x028000,
         {{"net/a/flags", "0x1\n"},
          {"net/a/carrier", "1\n"},
          {"net/b/flags", "0x1\n"},
          {"net/b/carrier", "0\n"}},
         PROBE_PENDING,
         NULL},
};

static void add_file(const FakePci *pci, const File *file)
{
        char path[256], *slash;

        (void) snprintf(path, sizeof(path), "%s/devices/" CARD "/%s", pci->root, file->name);
        for (slash = strchr(strstr(path, CARD), '/'); (slash = strchr(slash + 1, '/'));) {
                *slash = '\0';
                (void) mkdir(path, 0700);
                *slash = '/';
        }
        fake_attribute_set(pci, CARD, file->name, file->text);
}

START_TEST(is_read)
{
        char text[WORKER_VALUE_MAX];
        WorkerMember member;
        Device device;
        FakePci pci;

        fake_pci_begin(&pci);
        fake_device_add(&pci, CARD);
        for (const File *file = readings[_i].files; file->name; file++)
                add_file(&pci, file);
        member = fake_device_member(&pci, CARD);
        ck_assert_int_eq(device_open(pci.devices_fd, &member, &device), 0);
        member.class = readings[_i].class;
        ck_assert_int_eq(probe_read(&device, text), readings[_i].result);
        if (readings[_i].text)
                ck_assert_str_eq(text, readings[_i].text);
        device_close(&device);
        fake_pci_end(&pci);
}
END_TEST

/* ---- comparing ---- */

static const struct {
        ProbeResult before, after;
        bool off; /* its driver was taken off */
        bool degraded; /* something else is wrong */
        const char *check; /* its result, NULL: there is no such check */
        Verdict verdict;
        bool pending;
} comparisons[] = {
        {PROBE_WORKS, PROBE_WORKS, false, false, "ok", VERDICT_OK, false},
        {PROBE_WORKS, PROBE_PENDING, false, false, "failed", VERDICT_DEGRADED, true},
        {PROBE_WORKS, PROBE_FAILED, false, false, "failed", VERDICT_DEGRADED, false},
        {PROBE_WORKS, PROBE_PENDING, false, true, "failed", VERDICT_DEGRADED, false},
        {PROBE_WORKS, PROBE_NONE, false, false, "skipped", VERDICT_OK, false},
        {PROBE_WORKS, PROBE_NONE, true, false, "skipped", VERDICT_OK, false},
        {PROBE_PENDING, PROBE_FAILED, false, false, NULL, VERDICT_OK, false},
        {PROBE_NONE, PROBE_PENDING, false, false, NULL, VERDICT_OK, false},
        {PROBE_FAILED, PROBE_WORKS, false, false, NULL, VERDICT_OK, false},
};

static const char *probe_check(const WorkerResult *result)
{
        for (size_t i = 0; i < result->n_checks; i++)
                if (strcmp(result->checks[i].check, "probe") == 0)
                        return check_result_to_string(result->checks[i].result);
        return NULL;
}

START_TEST(is_compared)
{
        WorkerMember member = {.address = {.bus = 1}, .vendor = 0x8086, .device = 0x5845};
        const WorkerRequest request = {.method = "flr", .members = &member, .n_members = 1};
        _cleanup_(cleanup_health_free) Health *before = health_new(1), *after = health_new(1);
        WorkerResult result = {};

        ck_assert(before && after);
        before->members[0] = (DeviceHealth){
                .vendor = 0x8086, .device = 0x5845, .command = 6, .has_driver = true, .driver = "nvme"};
        after->members[0] = before->members[0];
        before->members[0].probe = comparisons[_i].before;
        after->members[0].probe = comparisons[_i].after;
        after->members[0].driver_is_off = before->members[0].driver_is_off = comparisons[_i].off;
        if (comparisons[_i].degraded)
                after->members[0].command = 0;
        ck_assert_int_eq(health_prepare_result(&request, &result), 0);
        health_compare(&request, before, after, &result);
        ck_assert_str_eq(verdict_to_string(result.verdict), verdict_to_string(comparisons[_i].verdict));
        if (comparisons[_i].check)
                ck_assert_pstr_eq(probe_check(&result), comparisons[_i].check);
        else
                ck_assert_ptr_null(probe_check(&result));
        ck_assert_int_eq(health_is_pending(before, after, &result), comparisons[_i].pending);
        free(result.checks);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("probe");

        unit_add_table(suite, is_read, readings);
        unit_add_table(suite, is_compared, comparisons);
        return unit_run(suite);
}
