/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "reset-model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/cleanup.h"
#include "unit.h"
#include "worker/attribute.h"
#include "worker/come-back.h"
#include "worker/holders.h"

int __real_attribute_write(int fd, const char *value);
int __wrap_attribute_write(int fd, const char *value);

FakePci pci;
KernelModel kernel;
char action_log[2048];
char current_list[64];
WorkerMember members[3];
WorkerRequest request;
WorkerResult *result;
const int *group_fds;

void note(const char *format, ...)
{
        size_t used = strlen(action_log);
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(action_log + used, sizeof(action_log) - used, format, arguments);
        va_end(arguments);
        (void) strncat(action_log, "; ", sizeof(action_log) - strlen(action_log) - 1);
}

static bool list_is_supported(const char *value)
{
        ResetMethodList list, supported;

        ck_assert_int_eq(reset_method_list_parse(value, &list), 0);
        ck_assert_int_eq(reset_method_list_parse(kernel.supported, &supported), 0);
        for (size_t i = 0; i < list.n; i++)
                if (!reset_method_list_contains(&supported, list.names[i]))
                        return false;
        return true;
}

/* The kernel keeps the list that it has when it refuses one. Opening the file has emptied it. */
static int store_list(int fd, const char *text)
{
        (void) snprintf(current_list, sizeof(current_list), "%s", text);
        return __real_attribute_write(fd, text);
}

static int refuse_list(int fd, int error)
{
        ck_assert_int_eq(__real_attribute_write(fd, current_list), 0);
        return error;
}

static int write_list(int fd, const char *value)
{
        note("list '%.*s'", (int) strlen(value) - 1, value);
        ck_assert_msg(value[strlen(value) - 1] == '\n', "a list without newline is a write of no bytes");

        if (kernel.list_error < 0)
                return refuse_list(fd, kernel.list_error);
        if (kernel.fail_list_after > 0 && ++kernel.lists > kernel.fail_list_after)
                return refuse_list(fd, -ENOMEM);
        if (strcmp(value, "default\n") == 0) {
                char text[64];

                if (kernel.default_error < 0)
                        return refuse_list(fd, kernel.default_error);
                (void) snprintf(text, sizeof(text), "%s\n", kernel.supported);
                return store_list(fd, text);
        }
        if (!list_is_supported(value))
                return refuse_list(fd, -EINVAL);
        /* The kernel shows an empty list as no bytes at all. */
        return store_list(fd, strcmp(value, "\n") == 0 ? "" : value);
}

void set_list(const char *list)
{
        (void) snprintf(current_list, sizeof(current_list), "%s%s", list, *list ? "\n" : "");
        fake_attribute_set(&pci, CARD, "reset_method", current_list);
}

static int write_method_list(int fd, const char *value)
{
        int r = write_list(fd, value);

        if (kernel.on_select) {
                kernel.on_select();
                kernel.on_select = NULL;
        }
        return r;
}

static bool is_claimed(void);

static int do_reset(const char *name, const char *device, const char *value)
{
        n_claims += is_claimed();
        ck_assert_str_eq(value, "1");
        note("%s %s", name, device);
        if (kernel.n_busy > 0) {
                kernel.n_busy--;
                if (kernel.on_busy)
                        kernel.on_busy();
                return -EAGAIN;
        }
        if (kernel.on_reset)
                kernel.on_reset();
        return kernel.reset_error;
}

static void remove_device(const char *address)
{
        ck_assert_msg(!is_claimed(), "a claim would keep half of the device");
        if (kernel.nothing_is_removed || !fake_device_exists(&pci, address))
                return;
        fake_device_remove(&pci, address);
        if (kernel.on_removed) {
                kernel.on_removed();
                kernel.on_removed = NULL;
        }
}

void model_find(const char *address)
{
        if (fake_device_exists(&pci, address))
                return;
        fake_device_add_below(&pci, address, PORT);
        if (kernel.autoprobe)
                fake_link_set(&pci, address, "driver", kernel.autoprobe);
        if (strcmp(address, CARD) == 0)
                (void) strcpy(current_list, "flr bus\n");
}

static void find_devices(void)
{
        if (kernel.on_return) {
                kernel.on_return();
                return;
        }
        model_find(CARD);
        model_find(SIBLING);
}

static int switch_slot(const char *slot, const char *value)
{
        note("slot %s %s", slot, value);
        if (strcmp(value, "0") == 0) {
                if (kernel.off_error < 0)
                        return kernel.off_error;
                remove_device(CARD);
                remove_device(SIBLING);
                return 0;
        }
        ck_assert_str_eq(value, "1");
        if (kernel.on_error < 0) {
                int r = kernel.on_error;

                if (kernel.on_failed_on)
                        kernel.on_failed_on();
                return r;
        }
        find_devices();
        return 0;
}

static int write_driver(const char *driver, const char *name, const char *value)
{
        note("%s %s %s", name, driver, value);
        if (strcmp(name, "unbind") == 0) {
                ck_assert_msg(!is_claimed(), "a claim would keep half of the device");
                if (kernel.unbind_error < 0)
                        return kernel.unbind_error;
                if (!kernel.unbind_does_nothing)
                        fake_link_set(&pci, value, "driver", NULL);
                if (kernel.on_unbind)
                        kernel.on_unbind();
                return 0;
        }
        if (kernel.bind_error < 0)
                return kernel.bind_error;
        /* Whichever driver it is: none has this name. */
        if (strncmp(fake_attribute_get(&pci, value, "driver_override"), WORKER_OVERRIDE_PREFIX,
                    strlen(WORKER_OVERRIDE_PREFIX)) == 0)
                return -ENODEV;
        fake_link_set(&pci, value, "driver", driver);
        return 0;
}

/* The path of an open file, below the tree: its last parts are what the kernel would go by. */
static int write_path(int fd, char *path, const char *value)
{
        char *name = strrchr(path, '/') + 1, *parent;

        name[-1] = '\0';
        parent = strrchr(path, '/') + 1;

        if (strcmp(name, "reset_method") == 0)
                return write_method_list(fd, value);
        if (strcmp(name, "reset") == 0 || strcmp(name, "reset_subordinate") == 0 ||
            strcmp(name, "eeh_pe_state") == 0)
                return do_reset(name, parent, value);
        if (strcmp(name, "control") == 0) {
                note("control %s", value);
                return ftruncate(fd, 0) < 0 ? -errno : __real_attribute_write(fd, value);
        }
        if (strcmp(name, "power") == 0)
                return switch_slot(parent, value);
        if (strcmp(name, "unbind") == 0 || strcmp(name, "bind") == 0)
                return write_driver(parent, name, value);
        if (strcmp(name, "driver_override") == 0) {
                note("override %s", strcmp(value, "\n") == 0 ? "none" : value);
                if (kernel.override_error < 0)
                        return kernel.override_error;
                return ftruncate(fd, 0) < 0
                               ? -errno
                               : __real_attribute_write(fd, strcmp(value, "\n") == 0 ? "(null)\n" : value);
        }
        if (strcmp(name, "do_flr") == 0 || strcmp(name, "reset_device") == 0) {
                note("%s %s %s", name, parent, value);
                return kernel.reset_error;
        }
        ck_assert_str_eq(value, "1");
        note("%s %s", name, parent);
        if (strcmp(name, "remove") == 0) {
                remove_device(parent);
                return 0;
        }
        ck_assert_str_eq(name, "rescan");
        find_devices();
        return kernel.on_error;
}

int __wrap_attribute_write(int fd, const char *value)
{
        char link[64], path[PATH_MAX], *deleted;
        ssize_t n;

        (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof(path) - 1);
        ck_assert_int_gt(n, 0);
        path[n] = '\0';
        deleted = strstr(path, " (deleted)");
        if (deleted)
                *deleted = '\0';
        return write_path(fd, path, value);
}

int n_scans, n_claims;

int __wrap_holders_scan(const HoldersRoots *roots, const WorkerRequest *asked, HoldersClaims *claims,
                        WorkerScan **ret);

/* Each claim is a descriptor, so that it can be seen whether it is still there. */
static int claim_fd = -EBADF;

static bool is_claimed(void)
{
        return claim_fd >= 0 && fcntl(claim_fd, F_GETFD) >= 0;
}

int __wrap_holders_scan(const HoldersRoots *roots, const WorkerRequest *asked, HoldersClaims *claims,
                        WorkerScan **ret)
{
        WorkerScan *scan = calloc(1, sizeof(*scan));

        ck_assert_ptr_null(roots);
        ck_assert_ptr_eq(asked, &request);
        ck_assert_msg(!is_claimed(), "its own claim would be found");
        if (++n_scans > kernel.n_scans_before) {
                if (kernel.on_scan)
                        kernel.on_scan();
                scan->error = kernel.scan_error;
                scan->holders = calloc(kernel.n_holders + 1, sizeof(Holder));
                for (size_t i = 0; i < kernel.n_holders; i++)
                        scan->holders[scan->n_holders++] = kernel.holders[i];
        }
        if (claims) {
                claim_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
                claims->fds = calloc(1, sizeof(int));
                claims->fds[claims->n_fds++] = claim_fd;
        }
        *ret = scan;
        return 0;
}

static int on_save(const char *list, void *userdata)
{
        (void) userdata;
        note("save '%s'", list);
        return kernel.save_error;
}

static int on_save_settings(const WorkerSaved *saved, size_t n, void *userdata)
{
        (void) userdata;
        ck_assert_uint_eq(n, request.n_members);
        return kernel.save_error;
}

static int on_save_power(void *userdata)
{
        (void) userdata;
        note("save power");
        return kernel.save_error;
}

static void on_phase(WorkerEventType phase, void *userdata)
{
        (void) userdata;
        note("%s", phase == WORKER_EVENT_RESETTING ? "resetting" : "verifying");
        if (kernel.on_phase)
                kernel.on_phase(phase);
}

void model_setup(void)
{
        fake_pci_begin(&pci);
        fake_bridge_add(&pci, PORT);
        fake_device_add_below(&pci, CARD, PORT);
        fake_device_add_below(&pci, SIBLING, PORT);
        action_log[0] = '\0';
        kernel = (KernelModel){.supported = "flr bus"};
        come_back_times = (ComeBackTimes){
                .device_usec = 300000,
                .driver_usec = 300000,
                .probe_usec = 20000,
                .leave_usec = 300000,
                .empty_usec = 300000,
                .scan_usec = 300000,
        };
        set_list("flr bus");

        members[0] = fake_device_member(&pci, CARD);
        members[1] = fake_device_member(&pci, SIBLING);
        request = (WorkerRequest){
                .job = 1,
                .method = "flr",
                .members = members,
                .n_members = 1,
                .bridge = fake_device_member(&pci, PORT),
                .has_bridge = true,
        };
}

void model_teardown(void)
{
        result = worker_result_free(result);
        fake_pci_end(&pci);
}

void model_use_slot(void)
{
        fake_slot_add(&pci, "3", "0000:01:00\n");
        model_use_method("slot");
        (void) strcpy(request.slot, "3");
}

void model_use_method(const char *method)
{
        (void) snprintf(request.method, sizeof(request.method), "%s", method);
        request.n_members = 2;
}

void run(void)
{
        const ResetEvents events = {
                .save_list = on_save,
                .save_settings = on_save_settings,
                .save_power = on_save_power,
                .phase = on_phase,
        };

        result = worker_result_free(result);
        n_scans = n_claims = 0;
        action_log[0] = '\0';
        ck_assert_int_eq(reset_run(pci.devices_fd, &request, group_fds, &events, &result), 0);
}

void expect_result(WorkerOutcome outcome, const char *why, int error, Verdict verdict, ListRestored list)
{
        ck_assert_msg(result->outcome == outcome, "%s: %s", worker_outcome_to_string(result->outcome),
                      result->message);
        ck_assert_str_eq(result->why, why);
        ck_assert_int_eq(result->error, error);
        ck_assert_msg(result->verdict == verdict, "%s: %s", verdict_to_string(result->verdict),
                      result->message);
        ck_assert_str_eq(list_restored_to_string(result->reset_method), list_restored_to_string(list));

        /* What holds for all. */
        ck_assert_int_eq(result->written, outcome == WORKER_DONE || outcome == WORKER_FAILED);
        ck_assert_int_eq(result->written, result->started_usec != 0);
        ck_assert_uint_le(result->started_usec, result->finished_usec);
        if (outcome != WORKER_DONE || verdict != VERDICT_OK)
                ck_assert_ptr_nonnull(strstr(result->message, "0000:"));
        else
                ck_assert_str_eq(result->message, "");
}

void expect_untouched(WorkerOutcome outcome, const char *why, int error)
{
        run();
        expect_result(outcome, why, error, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "");
        ck_assert_str_eq(fake_attribute_get(&pci, CARD, "reset_method"), "flr bus\n");
}

const WorkerCheck *find_check(const char *device, const char *name)
{
        PciAddress address;

        ck_assert_int_eq(pci_address_parse(device, &address), 0);
        for (size_t i = 0; i < result->n_checks; i++)
                if (pci_address_equal(&result->checks[i].device, &address) &&
                    strcmp(result->checks[i].check, name) == 0)
                        return &result->checks[i];
        return NULL;
}

void expect_check(const char *device, const char *name, CheckResult outcome)
{
        const WorkerCheck *check = find_check(device, name);

        ck_assert_msg(check, "no check %s of %s: %s", name, device, result->message);
        ck_assert_msg(check->result == outcome, "%s of %s is %s: was '%s', is '%s'", name, device,
                      check_result_to_string(check->result), check->before, check->after);
}
