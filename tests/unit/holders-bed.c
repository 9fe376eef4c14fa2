/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "holders-bed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/cleanup.h"

char root[] = "/tmp/test-holders-XXXXXX";
HoldersRoots roots;
WorkerMember members[2];
WorkerRequest request;
WorkerScan *scan;
static char paths[4][64];

/* ---- the trees ---- */

char *textf(const char *format, ...)
{
        va_list arguments;
        char *text;

        va_start(arguments, format);
        ck_assert_int_ge(vasprintf(&text, format, arguments), 0);
        va_end(arguments);
        return text;
}

/* Makes all directories up to the last `/`. */
static char *place(const char *name)
{
        char *path = textf("%s/%s", root, name);

        for (char *c = strchr(path + strlen(root) + 1, '/'); c; c = strchr(c + 1, '/')) {
                *c = '\0';
                ck_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
                *c = '/';
        }
        return path;
}

void put(const char *name, const char *text)
{
        _cleanup_free_ char *path = place(name);
        FILE *file = fopen(path, "we");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

void link_to(const char *name, const char *target)
{
        _cleanup_free_ char *path = place(name);

        (void) unlink(path);
        ck_assert_int_eq(symlink(target, path), 0);
}

void make_directory(const char *name)
{
        _cleanup_free_ char *path = textf("%s/", name), *made = place(path);
}

void take_away(const char *name)
{
        _cleanup_free_ char *path = textf("%s/%s", root, name);

        ck_assert_int_eq(remove(path), 0);
}

void add_class_device(const char *directory, const char *subsystem, const char *number, const char *node)
{
        _cleanup_free_ char *dev = textf("sys/%s/dev", directory),
                            *link = textf("sys/%s/subsystem", directory),
                            *class = textf("/sys/class/%s", subsystem), *udev = NULL, *target = NULL;

        put(dev, number);
        link_to(link, class);
        if (!node)
                return;
        udev = textf("dev/%s/%s", strcmp(subsystem, "block") == 0 ? "block" : "char", number);
        udev[strcspn(udev, "\n")] = '\0';
        target = textf("../%s", node);
        link_to(udev, target);
        free(target);
        target = textf("dev/%s", node);
        put(target, "");
}

void add_block(const char *directory, const char *number, const char *node)
{
        _cleanup_free_ char *link = NULL, *target = NULL;
        const char *name = strrchr(directory, '/') + 1;

        add_class_device(directory, "block", number, node);
        link = textf("sys/class/block/%s", name);
        target = textf("../../%s", directory);
        link_to(link, target);
}

void add_partition(const char *directory, const char *number, const char *node)
{
        _cleanup_free_ char *partition = textf("sys/%s/partition", directory);

        add_block(directory, number, node);
        put(partition, "1\n");
}

void add_process(const char *pid, const char *command, const char *uid, const char *groups)
{
        _cleanup_free_ char *comm = textf("proc/%s/comm", pid), *status = textf("proc/%s/status", pid),
                            *cgroup = textf("proc/%s/cgroup", pid), *fd = textf("proc/%s/fd", pid),
                            *text = textf("Name:\tx\nUid:\t%s\t0\t0\t0\n", uid),
                            *line = textf("%s\n", command);

        put(comm, line);
        put(status, text);
        put(cgroup, groups);
        make_directory(fd);
}

void add_device(const char *name, const char *path, const char *class, size_t index)
{
        _cleanup_free_ char *link = textf("sys/bus/pci/devices/%s", name),
                            *target = textf("../../../%s", path), *class_file = textf("sys/%s/class", path),
                            *directory = textf("%s/sys/%s", root, path);
        struct stat st;

        put(class_file, class);
        link_to(link, target);
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_int_eq(pci_address_parse(name, &members[index].address), 0);
        members[index].inode = st.st_ino;
}

void set_driver(const char *driver)
{
        _cleanup_free_ char *target = textf("../../../bus/pci/drivers/%s", driver);

        link_to("sys/" A_PATH "/driver", target);
}

void add_vfio_group(void)
{
        set_driver("vfio-pci");
        put("sys/" A_PATH "/enable", "0\n");
        link_to("sys/" A_PATH "/iommu_group", "../../kernel/iommu_groups/12");
        add_class_device("devices/virtual/vfio/12", "vfio", "1:3\n", NULL);
        link_to("sys/class/vfio/12", "../../devices/virtual/vfio/12");
        put("dev/vfio/12", "");
}

void add_disk(void)
{
        add_block(DISK, "259:0\n", "nvme0n1");
        add_partition(DISK "/nvme0n1p1", "259:1\n", "nvme0n1p1");
        add_partition(DISK "/nvme0n1p2", "259:2\n", "nvme0n1p2");
}

void add_interface(const char *name, const char *directory, const char *flags)
{
        _cleanup_free_ char *file = textf("sys/%s/net/%s/flags", directory, name),
                            *link = textf("sys/class/net/%s", name),
                            *target = textf("../../%s/net/%s", directory, name);

        put(file, flags);
        link_to(link, target);
}

/* ---- what stands for the kernel ---- */

const char *claimed;
int claim_error;
unsigned n_claims;

int __wrap_look_claim(const Look *look, const Node *node);
int __wrap_look_claim(const Look *look, const Node *node)
{
        (void) look;
        n_claims++;
        if (claimed && strstr(claimed, node->path))
                return -EBUSY;
        return claim_error != 0 ? -claim_error : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* What anonymous descriptors are on: the fake /proc itself. */
int __wrap_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags)
{
        (void) count;
        (void) flags;
        return open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int stat_error, link_error;

int __real_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret)
{
        if (stat_error == 0 || strcmp(path, "66") != 0)
                return __real_statx(fd, path, flags, mask, ret);
        errno = stat_error;
        return -1;
}

ssize_t __real_readlinkat(int fd, const char *path, char *buffer, size_t size);
ssize_t __wrap_readlinkat(int fd, const char *path, char *buffer, size_t size);
ssize_t __wrap_readlinkat(int fd, const char *path, char *buffer, size_t size)
{
        if (link_error == 0 || strcmp(path, "66") != 0)
                return __real_readlinkat(fd, path, buffer, size);
        errno = link_error;
        return -1;
}

int guest;

int __wrap_xen_guest_of(const PciAddress *address, char *domain, size_t size);
int __wrap_xen_guest_of(const PciAddress *address, char *domain, size_t size)
{
        ck_assert(pci_address_equal(address, &members[0].address));
        if (guest > 0)
                (void) snprintf(domain, size, "hvm (domid 3)");
        return guest;
}

static const Address *addresses;
static size_t n_addresses;

void set_addresses(const Address *list, size_t n)
{
        addresses = list;
        n_addresses = n;
}

static void fill_address(const Address *address, struct ifaddrs *entry)
{
        bool is_six = strchr(address->text, ':') != NULL;
        size_t at = is_six ? offsetof(struct sockaddr_in6, sin6_addr)
                           : offsetof(struct sockaddr_in, sin_addr);
        uint8_t *value = calloc(1, sizeof(struct sockaddr_in6)),
                *mask = calloc(1, sizeof(struct sockaddr_in6));

        ck_assert(value && mask);
        entry->ifa_name = (char *) (uintptr_t) address->interface;
        entry->ifa_addr = (struct sockaddr *) (void *) value;
        entry->ifa_netmask = (struct sockaddr *) (void *) mask;
        entry->ifa_addr->sa_family = entry->ifa_netmask->sa_family = is_six ? AF_INET6 : AF_INET;
        ck_assert_int_eq(inet_pton(is_six ? AF_INET6 : AF_INET, address->text, value + at), 1);
        for (unsigned i = 0; i < address->bits; i++)
                mask[at + i / 8] |= (uint8_t) (0x80U >> i % 8);
}

int __wrap_getifaddrs(struct ifaddrs **ret);
int __wrap_getifaddrs(struct ifaddrs **ret)
{
        struct ifaddrs *all = calloc(n_addresses + 1, sizeof(*all));

        ck_assert_ptr_nonnull(all);
        for (size_t i = 0; i < n_addresses; i++) {
                fill_address(&addresses[i], &all[i]);
                all[i].ifa_next = &all[i + 1];
        }
        all[n_addresses].ifa_name = (char *) (uintptr_t) "lo";
        *ret = all;
        return 0;
}

void __wrap_freeifaddrs(struct ifaddrs *all);
void __wrap_freeifaddrs(struct ifaddrs *all)
{
        for (struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
                free(entry->ifa_addr);
                free(entry->ifa_netmask);
        }
        free(all);
}

/* ---- asking ---- */

void look_with(HoldersClaims *claims)
{
        scan = worker_scan_free(scan);
        ck_assert_int_eq(holders_scan(&roots, &request, claims, &scan), 0);
        ck_assert_uint_eq(scan->n_uses, request.n_members);
}

void look(void)
{
        look_with(NULL);
        ck_assert_msg(scan->error == 0, "%s: %s", scan->message, strerror(scan->error));
}

void expect_failure(int error, const char *message)
{
        look_with(NULL);
        ck_assert_int_eq(scan->error, error);
        ck_assert_msg(strstr(scan->message, message), "%s", scan->message);
        ck_assert_uint_eq(scan->n_holders, 0);
}

void expect(const char *wanted)
{
        char all[8192] = "";

        look();
        for (size_t i = 0; i < scan->n_holders; i++) {
                size_t n = strlen(all);

                (void) snprintf(all + n, sizeof(all) - n, "%s %s;",
                                holder_kind_to_string(scan->holders[i].kind), scan->holders[i].what);
        }
        ck_assert_str_eq(all, wanted);
}

/* ---- each test ---- */

static void setup(void)
{
        static const char *const names[] = {"proc", "sys", "dev", "run"};

        (void) strcpy(root + strlen(root) - 6, "XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) snprintf(paths[i], sizeof(paths[i]), "%s/%s", root, names[i]);
                make_directory(names[i]);
        }
        roots = (HoldersRoots){.proc = paths[0], .sys = paths[1], .dev = paths[2], .run = paths[3]};
        memset(members, 0, sizeof(members));
        request = (WorkerRequest){.operation = WORKER_SCAN, .members = members, .n_members = 1};
        claimed = NULL;
        claim_error = 0;
        guest = -ENOSYS;
        stat_error = link_error = 0;
        n_claims = 0;
        n_addresses = 0;

        make_directory("sys/class/block");
        make_directory("sys/class/net");
        add_device(A_NAME, A_PATH, "0x030000\n", 0);
        add_process("1", "init", "0", "0::/init.scope\n");
        put("proc/1/mountinfo", "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
        put("proc/self/mountinfo", "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
        put("proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
        (void) st;
        (void) type;
        (void) walk;
        return remove(path);
}

static void teardown(void)
{
        scan = worker_scan_free(scan);
        ck_assert_int_eq(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

TCase *holders_case(Suite *suite, const char *name)
{
        TCase *group = tcase_create(name);

        tcase_add_checked_fixture(group, setup, teardown);
        tcase_set_timeout(group, 60);
        suite_add_tcase(suite, group);
        return group;
}
