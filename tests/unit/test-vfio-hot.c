/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Hot resets through VFIO. Its three calls are wrapped by the linker, and a model of VFIO stands behind
 * them: which group each device is in, who has it open, what the kernel would reset.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "reset-model.h"
#include "shared/cleanup.h"
#include "unit.h"
#include "worker/vfio.h"

int __wrap_vfio_open(const char *path);
int __wrap_vfio_ioctl(int fd, unsigned long command, unsigned long argument);
int __wrap_vfio_group_of(int fd, char ret[static VFIO_GROUP_MAX]);

#define FDS_MAX 64

static struct {
        const char *open_path; /* opening it fails with the error */
        int open_error;
        int container_error, iommu_error, device_error, info_error, reset_error;
        int n_device_busy, n_reset_busy; /* so many -EAGAIN before */
        const char *devices[4]; /* what the kernel would reset */
} vfio;

/* By descriptor: what it is of. */
static char what[FDS_MAX][32];

static int add_fd(const char *name)
{
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_lt(fd, FDS_MAX);
        (void) snprintf(what[fd], sizeof(what[fd]), "%s", name);
        return fd;
}

static bool is_open(const char *name)
{
        for (int fd = 0; fd < FDS_MAX; fd++)
                if (strcmp(what[fd], name) == 0 && fcntl(fd, F_GETFD) >= 0)
                        return true;
        return false;
}

int __wrap_vfio_open(const char *path)
{
        note("open %s", path + strlen("/dev/vfio/"));
        if (vfio.open_path && strcmp(path, vfio.open_path) == 0)
                return vfio.open_error;
        return add_fd(path + strlen("/dev/vfio/"));
}

static int hot_reset_info(struct vfio_pci_hot_reset_info *info)
{
        size_t n = 0;

        if (vfio.info_error < 0)
                return vfio.info_error;
        while (n < ELEMENTSOF(vfio.devices) && vfio.devices[n])
                n++;
        info->count = (uint32_t) n;
        if (info->argsz < sizeof(*info) + n * sizeof(info->devices[0]))
                return -ENOSPC;
        for (size_t i = 0; i < n; i++) {
                PciAddress address;

                ck_assert_int_eq(pci_address_parse(vfio.devices[i], &address), 0);
                info->devices[i] = (struct vfio_pci_dependent_device){
                        .segment = (uint16_t) address.domain,
                        .bus = address.bus,
                        .devfn = (uint8_t) (address.device << 3 | address.function),
                };
        }
        return 0;
}

static int hot_reset(const struct vfio_pci_hot_reset *argument)
{
        char groups[64] = "";

        ck_assert_uint_eq(argument->argsz, sizeof(*argument) + argument->count * sizeof(int32_t));
        for (uint32_t i = 0; i < argument->count; i++) {
                (void) strcat(groups, " ");
                (void) strcat(groups, what[argument->group_fds[i]]);
        }
        note("hot_reset%s", groups);
        if (vfio.n_reset_busy > 0) {
                vfio.n_reset_busy--;
                return -EAGAIN;
        }
        if (kernel.on_reset)
                kernel.on_reset();
        return vfio.reset_error;
}

int __wrap_vfio_ioctl(int fd, unsigned long command, unsigned long argument)
{
        switch (command) {
        case VFIO_GROUP_GET_STATUS:
                return strspn(what[fd], "0123456789") > 0 ? 0 : -ENOTTY;
        case VFIO_GROUP_SET_CONTAINER:
                note("container of %s", what[fd]);
                ck_assert_str_eq(what[*(const int *) argument], "vfio");
                return vfio.container_error;
        case VFIO_SET_IOMMU:
                note("iommu %lu", argument);
                ck_assert_str_eq(what[fd], "vfio");
                return vfio.iommu_error;
        case VFIO_GROUP_GET_DEVICE_FD:
                note("device %s of %s", (const char *) argument, what[fd]);
                if (vfio.n_device_busy > 0) {
                        vfio.n_device_busy--;
                        return -EAGAIN;
                }
                return vfio.device_error < 0 ? vfio.device_error : add_fd("device");
        case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
                ck_assert_str_eq(what[fd], "device");
                return hot_reset_info((struct vfio_pci_hot_reset_info *) argument);
        case VFIO_DEVICE_PCI_HOT_RESET:
                ck_assert_str_eq(what[fd], "device");
                return hot_reset((const struct vfio_pci_hot_reset *) argument);
        default:
                ck_abort_msg("unknown command %lx", command);
        }
}

int __wrap_vfio_group_of(int fd, char ret[static VFIO_GROUP_MAX])
{
        if (strspn(what[fd], "0123456789") == 0)
                return -ENODEV;
        (void) strcpy(ret, what[fd]);
        return 0;
}

static void add_to_group(const char *address, int i, const char *group)
{
        fake_link_set(&pci, address, "driver", "vfio-pci");
        fake_link_set(&pci, address, "iommu_group", NULL);
        fake_link_set(&pci, address, "iommu_group", group);
        members[i] = fake_device_member(&pci, address);
        members[i].must_be_disabled = true;
}

/* The card and its sibling, each in a group of its own. */
static void setup(void)
{
        model_setup();
        memset(&vfio, 0, sizeof(vfio));
        memset(what, 0, sizeof(what));
        vfio.devices[0] = CARD;
        vfio.devices[1] = SIBLING;
        add_to_group(CARD, 0, "kernel/iommu_groups/7");
        add_to_group(SIBLING, 1, "kernel/iommu_groups/12");
        model_use_method("vfio_hot");
        group_fds = NULL;
}

static void expect_nothing_open(void)
{
        ck_assert(!is_open("device"));
        ck_assert(!is_open("7"));
        ck_assert(!is_open("12"));
        ck_assert(!is_open("vfio"));
}

#define TAKEN                                                                                               \
        "resetting; open vfio; open 7; container of 7; iommu 1; open 12; container of 12; device " CARD     \
        " of 7; "

START_TEST(idle)
{
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, TAKEN "hot_reset 7 12; verifying; ");
        expect_nothing_open();
        expect_check(SIBLING, "answers", CHECK_OK);
}
END_TEST

START_TEST(one_group_for_both)
{
        add_to_group(SIBLING, 1, "kernel/iommu_groups/7");
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "resetting; open vfio; open 7; container of 7; iommu 1; device " CARD
                                     " of 7; hot_reset 7; verifying; ");
}
END_TEST

START_TEST(not_bound_to_vfio)
{
        static const char *const drivers[] = {"e1000e", "pci-stub", NULL};

        for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
                fake_link_set(&pci, SIBLING, "driver", drivers[i]);
                members[1] = fake_device_member(&pci, SIBLING);
                expect_untouched(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, 0);
                ck_assert_ptr_nonnull(strstr(result->message, SIBLING));
        }
}
END_TEST

START_TEST(no_group)
{
        fake_link_set(&pci, SIBLING, "iommu_group", NULL);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, ENOENT);
}
END_TEST

START_TEST(open_elsewhere)
{
        fake_attribute_set(&pci, SIBLING, "enable", "1\n");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_ENABLED, EBUSY);
        fake_attribute_set(&pci, SIBLING, "enable", "0\n");

        /* A group whose device is not open yet. */
        vfio.open_path = "/dev/vfio/12";
        vfio.open_error = -EBUSY;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(result->message, SIBLING ": its VFIO group 12 is in use"));
        ck_assert_ptr_null(strstr(action_log, "device"));
        expect_nothing_open();
}
END_TEST

START_TEST(no_node_for_groups)
{
        vfio.open_path = "/dev/vfio/7";
        vfio.open_error = -ENOENT;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, ENOENT, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(result->message, "node of its own"));

        fake_directory_add(&pci, CARD, "vfio-dev");
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, ENOENT, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(result->message, "node of its own"));
        vfio.open_path = "/dev/vfio/vfio";
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, ENOENT, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
}
END_TEST

START_TEST(group_that_cannot_be_used)
{
        vfio.container_error = -EPERM;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, EPERM, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        vfio.container_error = 0;
        vfio.iommu_error = -ENODEV;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, ENODEV, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        expect_nothing_open();
}
END_TEST

/* The kernel's word on what it would reset is the last one. */
START_TEST(other_set)
{
        vfio.devices[2] = "0000:01:00.2";
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_SET, 0, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "hot_reset"));
        expect_nothing_open();

        vfio.devices[2] = NULL;
        vfio.devices[1] = "0000:01:00.2";
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_SET, 0, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(result->message, "0000:01:00.2"));
        ck_assert_ptr_null(strstr(action_log, "hot_reset"));

        vfio.devices[1] = NULL;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_SET, 0, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        vfio.info_error = -ENODEV;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_UNSUPPORTED, ENODEV, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_ptr_null(strstr(action_log, "hot_reset"));
}
END_TEST

START_TEST(locks_are_waited_for)
{
        request.retry_usec = 10000000;
        vfio.n_device_busy = 2;
        vfio.n_reset_busy = 2;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(
                strstr(action_log, "hot_reset 7 12; hot_reset 7 12; hot_reset 7 12; verifying"));

        request.retry_usec = 0;
        vfio.n_device_busy = 1;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_LOCKED, EAGAIN, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        vfio.n_device_busy = 0;
        vfio.n_reset_busy = 1;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_LOCKED, EAGAIN, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        expect_nothing_open();
}
END_TEST

START_TEST(fails)
{
        vfio.reset_error = -EBUSY;
        run();
        expect_result(WORKER_FAILED, "", EBUSY, VERDICT_OK, LIST_UNTOUCHED);
        expect_nothing_open();
}
END_TEST

/* Is everything let go before the devices are looked at, as VFIO then puts them in order? */
static void look_at_phase(WorkerEventType phase)
{
        if (phase == WORKER_EVENT_VERIFYING)
                note("%s", is_open("7") ? "still open" : "closed");
}

static void present(int n, const int *fds)
{
        request.n_fds = (unsigned) n;
        group_fds = fds;
        /* A guest has the card open. */
        fake_attribute_set(&pci, CARD, "enable", "1\n");
}

START_TEST(presented)
{
        int fds[2] = {add_fd("12"), add_fd("7")};

        present(2, fds);
        kernel.on_phase = look_at_phase;
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log,
                         "resetting; device " CARD " of 7; hot_reset 7 12; verifying; still open; ");
        /* They are the caller's. */
        ck_assert(is_open("7"));
        ck_assert(is_open("12"));
        ck_assert(!is_open("device"));
}
END_TEST

START_TEST(presented_too_few)
{
        int fds[2] = {add_fd("7"), add_fd("3")};

        present(2, fds);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, 0);
        ck_assert_ptr_nonnull(strstr(result->message, "VFIO group 12 is not among the presented ones"));
        present(1, fds);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, 0);
}
END_TEST

START_TEST(presented_something_else)
{
        int fds[2] = {add_fd("7"), add_fd("null")};

        present(2, fds);
        expect_untouched(WORKER_REFUSED, WORKER_WHY_NOT_VFIO, 0);
}
END_TEST

/* More groups than the reset needs: the kernel would take none at all. */
START_TEST(presented_more)
{
        int fds[3] = {add_fd("7"), add_fd("3"), add_fd("12")};

        present(3, fds);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
        ck_assert_ptr_nonnull(strstr(action_log, "hot_reset 7 12;"));
}
END_TEST

static const Holder user = {.device = {.bus = 1}, .kind = HOLDER_VFIO, .pid = 7, .what = "/dev/vfio/7"};

/* The caller's own use is no use by somebody else; but without the groups it is. */
START_TEST(presented_and_held)
{
        int fds[2] = {add_fd("12"), add_fd("7")};

        kernel.holders = &user;
        kernel.n_holders = 1;
        run();
        expect_result(WORKER_REFUSED, WORKER_WHY_HELD, EBUSY, VERDICT_UNVERIFIED, LIST_UNTOUCHED);
        ck_assert_str_eq(action_log, "");

        present(2, fds);
        run();
        expect_result(WORKER_DONE, "", 0, VERDICT_OK, LIST_UNTOUCHED);
}
END_TEST

/* What is open is the caller's: other rules stay. */
START_TEST(presented_and_another_driver)
{
        int fds[2] = {add_fd("12"), add_fd("7")};

        present(2, fds);
        fake_link_set(&pci, SIBLING, "driver", "e1000e");
        expect_untouched(WORKER_REFUSED, WORKER_WHY_DRIVER, EBUSY);
}
END_TEST

int main(void)
{
        const TTest *const tests[] = {
                idle,
                one_group_for_both,
                not_bound_to_vfio,
                no_group,
                open_elsewhere,
                no_node_for_groups,
                group_that_cannot_be_used,
                other_set,
                locks_are_waited_for,
                fails,
                presented,
                presented_too_few,
                presented_something_else,
                presented_more,
                presented_and_held,
                presented_and_another_driver,
        };
        Suite *suite = suite_create("vfio-hot");
        TCase *tree = tcase_create("tree");

        tcase_add_checked_fixture(tree, setup, model_teardown);
        tcase_set_timeout(tree, 60);
        for (size_t i = 0; i < ELEMENTSOF(tests); i++)
                tcase_add_test(tree, tests[i]);
        suite_add_tcase(suite, tree);
        return unit_run(suite);
}
