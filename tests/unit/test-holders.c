/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The look at who uses devices, over trees of plain files that stand for /proc, /sys, /dev and /run.
 *
 * A descriptor in the fake /proc is a link, and what counts of it is the device number behind it: so devices
 * here have the numbers of /dev/null, /dev/zero and /dev/full. Claims, the machine's addresses and anonymous
 * descriptors are not in files; functions here stand for them, by the linker's --wrap.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/cleanup.h"
#include "unit.h"
#include "worker/holders-look.h"
#include "worker/scan.h"

#define A_NAME "0000:01:00.0"
#define B_NAME "0000:01:00.1"
#define A_PATH "devices/pci0000:00/" A_NAME
#define B_PATH "devices/pci0000:00/" B_NAME

static char root[] = "/tmp/test-holders-XXXXXX";
static char paths[4][64];
static HoldersRoots roots;
static WorkerMember members[2];
static WorkerRequest request;
static WorkerScan *scan;

/* ---- the trees ---- */

static char *textf(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *textf(const char *format, ...)
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

static void put(const char *name, const char *text)
{
        _cleanup_free_ char *path = place(name);
        FILE *file = fopen(path, "we");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_ge(fputs(text, file), 0);
        ck_assert_int_eq(fclose(file), 0);
}

static void link_to(const char *name, const char *target)
{
        _cleanup_free_ char *path = place(name);

        (void) unlink(path);
        ck_assert_int_eq(symlink(target, path), 0);
}

static void make_directory(const char *name)
{
        _cleanup_free_ char *path = textf("%s/", name), *made = place(path);
}

static void take_away(const char *name)
{
        _cleanup_free_ char *path = textf("%s/%s", root, name);

        ck_assert_int_eq(remove(path), 0);
}

/* A device with a node: a directory below the member's, of a class. */
static void add_class_device(const char *directory, const char *subsystem, const char *number,
                             const char *node)
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

/* A block device, in /sys/class/block too. */
static void add_block(const char *directory, const char *number, const char *node)
{
        _cleanup_free_ char *link = NULL, *target = NULL;
        const char *name = strrchr(directory, '/') + 1;

        add_class_device(directory, "block", number, node);
        link = textf("sys/class/block/%s", name);
        target = textf("../../%s", directory);
        link_to(link, target);
}

static void add_partition(const char *directory, const char *number, const char *node)
{
        _cleanup_free_ char *partition = textf("sys/%s/partition", directory);

        add_block(directory, number, node);
        put(partition, "1\n");
}

static void add_process(const char *pid, const char *command, const char *uid, const char *groups)
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

static void add_device(const char *name, const char *path, const char *class, size_t index)
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

static void set_driver(const char *driver)
{
        _cleanup_free_ char *target = textf("../../../bus/pci/drivers/%s", driver);

        link_to("sys/" A_PATH "/driver", target);
}

/* ---- what stands for the kernel ---- */

static const char *claimed; /* the path of a node that somebody has claimed, among blanks */
static int claim_error; /* of all others */
static unsigned n_claims;

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

/* What the file behind the descriptor 66 of any process says, and what reading its link does: 0: it is a
 * file. */
static int stat_error, link_error;

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

static int guest; /* what the function returns */

int __wrap_xen_guest_of(const PciAddress *address, char *domain, size_t size);
int __wrap_xen_guest_of(const PciAddress *address, char *domain, size_t size)
{
        ck_assert(pci_address_equal(address, &members[0].address));
        if (guest > 0)
                (void) snprintf(domain, size, "hvm (domid 3)");
        return guest;
}

typedef struct Address {
        const char *interface;
        const char *text;
        unsigned bits;
} Address;

static const Address *addresses;
static size_t n_addresses;

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

static void look_with(HoldersClaims *claims)
{
        scan = worker_scan_free(scan);
        ck_assert_int_eq(holders_scan(&roots, &request, claims, &scan), 0);
        ck_assert_uint_eq(scan->n_uses, request.n_members);
}

static void look(void)
{
        look_with(NULL);
        ck_assert_msg(scan->error == 0, "%s: %s", scan->message, strerror(scan->error));
}

static void expect_failure(int error, const char *message)
{
        look_with(NULL);
        ck_assert_int_eq(scan->error, error);
        ck_assert_msg(strstr(scan->message, message), "%s", scan->message);
        ck_assert_uint_eq(scan->n_holders, 0);
}

/* The holders as one text, in order: `kind what;`. */
static void expect(const char *wanted)
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

/* ---- nodes and processes ---- */

START_TEST(an_idle_device)
{
        put("sys/" A_PATH "/uevent", "x");
        expect("");
        ck_assert_uint_eq(scan->uses[0].n_nodes, 0);
        ck_assert(pci_address_equal(&scan->uses[0].device, &members[0].address));
        ck_assert(!scan->uses[0].has_vfio_uid);
        ck_assert(!scan->uses[0].more_nodes);
        ck_assert_str_eq(scan->uses[0].owner, "");
}
END_TEST

START_TEST(a_process_with_a_node_open)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "Xorg", "1000", "0::/user.slice/user-1000.slice/session-2.scope/x\n");
        /* By any name, and it may be open several times. */
        link_to("proc/812/fd/3", "/dev/null");
        link_to("proc/812/fd/4", "/dev/null");
        link_to("proc/812/fd/5", "/dev/zero");
        link_to("proc/812/fd/6", "/nonexistent/socket");
        add_process("813", "other", "1000", "");
        link_to("proc/813/fd/0", "/dev/zero");

        expect("process /dev/dri/card0;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        ck_assert_uint_eq(scan->holders[0].uid, 1000);
        ck_assert_str_eq(scan->holders[0].command, "Xorg");
        ck_assert_str_eq(scan->holders[0].unit, "session-2.scope");
        ck_assert(pci_address_equal(&scan->holders[0].device, &members[0].address));
        ck_assert_uint_eq(scan->uses[0].n_nodes, 1);
        ck_assert_str_eq(scan->uses[0].nodes[0], "/dev/dri/card0");
}
END_TEST

static const struct {
        const char *groups, *unit;
} units[] = {
        {"0::/system.slice/foo.service\n", "foo.service"},
        {"0::/user.slice/user-1.slice/user@1.service/app.slice/app-a\\x2db.scope\n", "app-a\\x2db.scope"},
        {"12:cpu:/a.service\n1:name=systemd:/system.slice/old.service/sub\n0::/\n", "old.service"},
        {"0::/docker/0123\n", ""},
        {"0::/\n", ""},
        {"", ""},
};

START_TEST(units_of_processes)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "x", "1000", units[_i].groups);
        link_to("proc/812/fd/3", "/dev/null");
        expect("process /dev/dri/card0;");
        ck_assert_str_eq(scan->holders[0].unit, units[_i].unit);
}
END_TEST

START_TEST(nodes_by_their_names)
{
        /* Without udev's links: the kernel's name, if it is that device, else none. */
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", NULL);
        add_class_device(A_PATH "/misc/strange", "misc", "1:5\n", NULL);
        link_to("dev/card0", "/dev/null");
        link_to("dev/strange", "/dev/null");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/3", "/dev/null");
        link_to("proc/812/fd/4", "/dev/zero");
        expect("process /dev/card0;process strange (char 1:5);");
        ck_assert_uint_eq(scan->uses[0].n_nodes, 1);
        ck_assert_str_eq(scan->uses[0].nodes[0], "/dev/card0");
}
END_TEST

/* Deep down, but not in other functions, not behind links, and not what only has the number. */
START_TEST(where_nodes_are)
{
        add_class_device(A_PATH "/usb1/1-1/1-1:1.0/input/input7/event3", "input", "1:3\n", "input/event3");
        add_class_device(A_PATH "/0000:02:00.0/drm/card1", "drm", "1:5\n", "dri/card1");
        add_class_device(A_PATH "/pci10000:00/drm/card2", "drm", "1:7\n", "dri/card2");
        add_class_device("devices/virtual/misc/other", "misc", "1:8\n", "other");
        link_to("sys/" A_PATH "/companion", "../../virtual/misc/other");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/3", "/dev/null");
        link_to("proc/812/fd/4", "/dev/zero");
        link_to("proc/812/fd/5", "/dev/full");
        link_to("proc/812/fd/6", "/dev/random");
        expect("process /dev/input/event3;");
}
END_TEST

START_TEST(several_members)
{
        add_device(B_NAME, B_PATH, "0x040300\n", 1);
        request.n_members = 2;
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_class_device(B_PATH "/sound/card0/controlC0", "sound", "1:5\n", "snd/controlC0");
        add_process("900", "b", "1", "");
        add_process("812", "a", "1", "");
        link_to("proc/900/fd/3", "/dev/null");
        link_to("proc/900/fd/4", "/dev/zero");
        link_to("proc/812/fd/3", "/dev/zero");
        expect("process /dev/dri/card0;process /dev/snd/controlC0;process /dev/snd/controlC0;");
        ck_assert_uint_eq(scan->holders[1].pid, 812);
        ck_assert_uint_eq(scan->holders[2].pid, 900);
        ck_assert_uint_eq(scan->holders[0].device.function, 0);
        ck_assert_uint_eq(scan->holders[1].device.function, 1);
}
END_TEST

START_TEST(bridges_have_no_users)
{
        add_device(A_NAME, A_PATH, "0x060400\n", 0);
        add_class_device(A_PATH "/misc/x", "misc", "1:3\n", "x");
        add_process("812", "x", "1", "");
        link_to("proc/812/fd/3", "/dev/null");
        expect("");
}
END_TEST

/* Processes end while they are looked at: with all or with a part of what is known of them. */
START_TEST(processes_that_end)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        make_directory("proc/700");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/3", "/dev/null");
        take_away("proc/812/comm");
        take_away("proc/812/status");
        take_away("proc/812/cgroup");
        expect("process /dev/dri/card0;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        ck_assert_str_eq(scan->holders[0].command, "");
}
END_TEST

START_TEST(a_proc_that_hides_others)
{
        /* Without nodes nobody has to be looked at. */
        take_away("proc/1/fd");
        expect("");
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        expect_failure(EACCES, "hidden");
}
END_TEST

static const struct {
        int stat, link;
        bool fails;
} strange_files[] = {
        /* A user's FUSE lets nobody else look at its files, wherever they are. */
        {EACCES, 0, false},
        {EACCES, ENAMETOOLONG, false},
        {EPERM, ENOENT, false},
        {ESTALE, 0, false},
        {EOVERFLOW, EACCES, false},
        /* This is a process that we may not look into. */
        {EACCES, EACCES, true},
        {EPERM, EPERM, true},
        {EPERM, EACCES, true},
};

START_TEST(files_in_trouble)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "x", "1000", "");
        link_to("proc/812/fd/66", "/nonexistent");
        link_to("proc/812/fd/67", "/dev/null");
        stat_error = strange_files[_i].stat;
        link_error = strange_files[_i].link;
        if (strange_files[_i].fails)
                expect_failure(strange_files[_i].link, "process 812");
        else
                expect("process /dev/dri/card0;");
}
END_TEST

START_TEST(threads_of_their_own)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_process("812", "x", "1000", "");
        make_directory("proc/812/task/812/fd");
        make_directory("proc/812/task/813");
        link_to("proc/812/task/814/fd/3", "/dev/null");
        make_directory("proc/812/task/815/fd");
        expect("process /dev/dri/card0;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        ck_assert_str_eq(scan->holders[0].command, "x");
}
END_TEST

START_TEST(a_crowd_is_shared_out)
{
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        for (unsigned i = 0; i < 1500; i++) {
                _cleanup_free_ char *pid = textf("%u", 1000 + i), *fd = textf("proc/%u/fd/3", 1000 + i);

                add_process(pid, "one", "1000", "");
                link_to(fd, i % 100 == 7 ? "/dev/null" : "/dev/zero");
        }
        look();
        ck_assert_uint_eq(scan->n_holders, 15);
        for (size_t i = 0; i < 15; i++)
                ck_assert_uint_eq(scan->holders[i].pid, 1007 + 100 * i);
}
END_TEST

/* ---- VFIO ---- */

static void add_vfio_group(void)
{
        set_driver("vfio-pci");
        put("sys/" A_PATH "/enable", "0\n");
        link_to("sys/" A_PATH "/iommu_group", "../../kernel/iommu_groups/12");
        add_class_device("devices/virtual/vfio/12", "vfio", "1:3\n", NULL);
        link_to("sys/class/vfio/12", "../../devices/virtual/vfio/12");
        put("dev/vfio/12", "");
}

START_TEST(vfio_groups)
{
        _cleanup_free_ char *node = textf("%s/dev/vfio/12", root);
        bool is_root = geteuid() == 0;

        add_vfio_group();
        if (is_root)
                ck_assert_int_eq(chown(node, 1001, 1001), 0);
        add_process("812", "qemu", "1001", "0::/machine.slice/m.scope\n");
        expect("");
        ck_assert(scan->uses[0].has_vfio_uid);
        ck_assert_uint_eq(scan->uses[0].vfio_uid, is_root ? 1001 : geteuid());
        ck_assert_str_eq(scan->uses[0].nodes[0], "/dev/vfio/12");
        link_to("proc/812/fd/3", "/dev/null");
        expect("vfio /dev/vfio/12;");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        /* The group goes with its last driver. */
        take_away("sys/class/vfio/12");
        expect("");
        ck_assert(!scan->uses[0].has_vfio_uid);
}
END_TEST

START_TEST(vfio_without_an_iommu)
{
        set_driver("vfio-pci");
        put("sys/" A_PATH "/enable", "0\n");
        link_to("sys/" A_PATH "/iommu_group", "../../kernel/iommu_groups/3");
        add_class_device("devices/virtual/vfio/noiommu-3", "vfio", "1:3\n", NULL);
        link_to("sys/class/vfio/noiommu-3", "../../devices/virtual/vfio/noiommu-3");
        add_process("812", "dpdk", "0", "");
        link_to("proc/812/fd/3", "/dev/null");
        expect("vfio /dev/vfio/noiommu-3;");
}
END_TEST

/* A fixture made by hand: VFIO's nodes of single devices are off in the kernels
 * that the other tests run on. */
START_TEST(vfio_devices_by_their_own_node)
{
        set_driver("vfio-pci");
        put("sys/" A_PATH "/enable", "0\n");
        add_class_device(A_PATH "/vfio-dev/vfio7", "vfio-dev", "1:3\n", NULL);
        put("dev/vfio/devices/vfio7", "");
        add_process("812", "qemu", "1001", "");
        link_to("proc/812/fd/3", "/dev/null");
        expect("vfio /dev/vfio/devices/vfio7;");
        ck_assert(scan->uses[0].has_vfio_uid);
}
END_TEST

/* A fixture: no kernel that the other tests run on shows it. Recorded on Linux 6.18; the path in the last
 * line, which older kernels do not have, was adapted to the tree of these tests, where the device stands
 * directly below the root bus. */
static const char recorded_fdinfo[] = "pos:\t0\n"
                                      "flags:\t02000002\n"
                                      "mnt_id:\t15\n"
                                      "ino:\t1056\n"
                                      "vfio-device-syspath: /sys/devices/pci0000:00/0000:01:00.%d\n";

START_TEST(vfio_devices_by_fdinfo)
{
        _cleanup_free_ char *mine = textf(recorded_fdinfo, 0), *other = textf(recorded_fdinfo, 5);

        add_vfio_group();
        add_process("812", "vmm", "1001", "");
        link_to("proc/812/fd/9", "anon_inode:[vfio-device]");
        put("proc/812/fd/anon_inode:[vfio-device]", "");
        put("proc/812/fdinfo/9", mine);
        expect("vfio anon_inode:[vfio-device];");
        ck_assert_uint_eq(scan->holders[0].pid, 812);
        put("proc/812/fdinfo/9", other);
        expect("");
        /* Before 6.18 there is no such line, */
        put("proc/812/fdinfo/9", "pos:\t0\nflags:\t02000002\n");
        expect("");
        /* and of such a user only the count is seen. */
        put("sys/" A_PATH "/enable", "1\n");
        expect("vfio unknown;");
        ck_assert_uint_eq(scan->holders[0].pid, 0);
}
END_TEST

START_TEST(enabled_by_a_host_driver)
{
        set_driver("nouveau");
        put("sys/" A_PATH "/enable", "1\n");
        expect("");
}
END_TEST

/* ---- storage ---- */

#define DISK A_PATH "/nvme/nvme0/nvme0n1"

static void add_disk(void)
{
        add_block(DISK, "259:0\n", "nvme0n1");
        add_partition(DISK "/nvme0n1p1", "259:1\n", "nvme0n1p1");
        add_partition(DISK "/nvme0n1p2", "259:2\n", "nvme0n1p2");
}

START_TEST(a_disk_that_nobody_uses)
{
        HoldersClaims claims = {};
        size_t n;

        add_disk();
        expect("");
        ck_assert_uint_eq(scan->uses[0].n_nodes, 3);
        /* One claim is enough for the whole disk. */
        ck_assert_uint_eq(n_claims, 1);
        look_with(&claims);
        n = claims.n_fds;
        ck_assert_uint_eq(n, 1);
        ck_assert_int_ge(fcntl(claims.fds[0], F_GETFD), 0);
        holders_release(&claims);
        ck_assert_uint_eq(claims.n_fds, 0);
        holders_release(&claims);
}
END_TEST

static const struct {
        const char *line, *wanted;
} mounts[] = {
        {"40 22 259:1 / /mnt rw - ext4 /dev/nvme0n1p1 rw\n", "mount /dev/nvme0n1p1 on /mnt;"},
        {"40 22 259:0 / /mnt rw shared:1 master:2 - xfs /dev/x rw\n", "mount /dev/nvme0n1 on /mnt;"},
        {"40 22 259:1 / / rw shared:1 - ext4 /dev/root rw\n", "root /dev/nvme0n1p1;"},
        {"40 22 259:1 / / rw - ext4 /dev/root rw\n41 22 259:1 /a /b rw - ext4 /dev/root rw\n",
         "root /dev/nvme0n1p1;mount /dev/nvme0n1p1 on /b;"},
        {"40 22 259:2 / /a\\040b rw - ext4 /dev/root rw\n", "mount /dev/nvme0n1p2 on /a b;"},
        /* btrfs has a number of its own, so it is the name that tells. */
        {"40 22 0:45 /@ /srv rw - btrfs /dev/nvme0n1p2 rw\n", "mount /dev/nvme0n1p2 on /srv;"},
        {"40 22 0:45 /@ /srv rw - btrfs /dev/disk/by-label/srv rw\n", "mount /dev/nvme0n1p2 on /srv;"},
        {"40 22 0:45 / /srv rw - overlay overlay rw\n", ""},
        /* Any user can mount these, and call them what he likes. */
        {"40 22 0:45 / /home/x rw - fuse /dev/nvme0n1p2 rw\n", ""},
        {"40 22 0:45 / /home/x rw - fuse.sshfs /dev/nvme0n1 rw\n", ""},
        {"40 22 259:1 / /mnt rw - fuseblk /dev/nvme0n1p1 rw\n", "mount /dev/nvme0n1p1 on /mnt;"},
        {"40 22 259:7 / /mnt rw - ext4 /dev/nvme0n1p1 rw\n", ""},
};

START_TEST(mounted_file_systems)
{
        add_disk();
        link_to("dev/disk/by-label/srv", "../../nvme0n1p2");
        put("proc/1/mountinfo", mounts[_i].line);
        expect(mounts[_i].wanted);
        put("proc/1/mountinfo", "22 1 0:20 / / rw - tmpfs tmpfs rw\n");
        put("proc/self/mountinfo", mounts[_i].line);
        expect(mounts[_i].wanted);
}
END_TEST

START_TEST(mounts_that_cannot_be_read)
{
        put("proc/1/mountinfo", "nonsense\n");
        expect("");
        add_disk();
        expect_failure(EBADMSG, "make no sense");
        take_away("proc/1/mountinfo");
        expect_failure(ENOENT, "mounts of process 1");
}
END_TEST

START_TEST(swap)
{
        add_disk();
        put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"
                          "/dev/nvme0n1p2                          partition\t1000\t0\t-2\n"
                          "/swapfile                               file\t1000\t0\t-3\n");
        expect("swap /dev/nvme0n1p2;");
}
END_TEST

static void add_volume(void)
{
        add_disk();
        add_block("devices/virtual/block/dm-0", "253:0\n", "dm-0");
        put("sys/devices/virtual/block/dm-0/dm/name", "vg-home\n");
        link_to("sys/" DISK "/nvme0n1p1/holders/dm-0", "../../../../../../../virtual/block/dm-0");
        link_to("dev/mapper/vg-home", "../dm-0");
}

START_TEST(what_is_on_volumes)
{
        add_volume();
        expect("block /dev/nvme0n1p1 (under /dev/dm-0);");
        put("proc/1/mountinfo", "40 22 253:0 / /home rw - ext4 /dev/mapper/vg-home rw\n");
        expect("mount /dev/mapper/vg-home (on /dev/nvme0n1p1) on /home;");
        put("proc/1/mountinfo", "40 22 0:41 / /home rw - btrfs /dev/mapper/vg-home rw\n");
        expect("mount /dev/mapper/vg-home (on /dev/nvme0n1p1) on /home;");
        put("proc/1/mountinfo", "");
        put("proc/swaps", "Filename\n/dev/dm-0 partition 1 0 0\n");
        expect("swap /dev/mapper/vg-home (on /dev/nvme0n1p1);");
        /* What is stacked is not the device's own node. */
        ck_assert_uint_eq(scan->uses[0].n_nodes, 3);
}
END_TEST

/* LVM on a partition of an md array over two partitions. */
START_TEST(stacks_on_stacks)
{
        add_disk();
        add_block("devices/virtual/block/md0", "9:0\n", "md0");
        add_partition("devices/virtual/block/md0/md0p1", "259:9\n", "md0p1");
        add_block("devices/virtual/block/dm-3", "253:3\n", "dm-3");
        link_to("sys/" DISK "/nvme0n1p1/holders/md0", "../md0");
        link_to("sys/" DISK "/nvme0n1p2/holders/md0", "../md0");
        link_to("sys/devices/virtual/block/md0/md0p1/holders/dm-3", "../dm-3");
        put("proc/1/mountinfo", "40 22 253:3 / / rw - ext4 /dev/mapper/x rw\n");
        look();
        ck_assert_uint_ge(scan->n_holders, 1);
        ck_assert_int_eq(scan->holders[0].kind, HOLDER_ROOT);
        ck_assert_ptr_nonnull(strstr(scan->holders[0].what, "/dev/dm-3 (on /dev/md0p1"));
        ck_assert_uint_eq(n_claims, 0);
}
END_TEST

START_TEST(loops)
{
        add_disk();
        add_block("devices/virtual/block/loop0", "7:0\n", "loop0");
        put("sys/devices/virtual/block/loop0/loop/backing_file", "/srv/image\n");
        expect("");
        put("sys/devices/virtual/block/loop0/loop/backing_file", "/dev/nvme0n1p1\n");
        expect("block /dev/nvme0n1p1 (under /dev/loop0);");
        put("proc/1/mountinfo", "40 22 7:0 / /mnt rw - ext4 /dev/loop0 rw\n");
        expect("mount /dev/loop0 (on /dev/nvme0n1p1) on /mnt;");
}
END_TEST

static const struct {
        const char *claimed;
        int error;
        const char *wanted; /* NULL: the scan fails */
} claims_table[] = {
        {"/dev/nvme0n1 /dev/nvme0n1p2", 0, "block /dev/nvme0n1p2;"},
        {"/dev/nvme0n1 /dev/nvme0n1p1 /dev/nvme0n1p2", 0, "block /dev/nvme0n1p1;block /dev/nvme0n1p2;"},
        {"/dev/nvme0n1", 0, "block /dev/nvme0n1;"},
        {NULL, ENXIO, ""},
        {NULL, ENOMEDIUM, ""},
        {NULL, EACCES, NULL},
        {NULL, EPERM, NULL},
        {NULL, EIO, NULL},
        {NULL, ENOENT, NULL},
};

START_TEST(disks_that_somebody_has_claimed)
{
        HoldersClaims claims = {};

        add_disk();
        claimed = claims_table[_i].claimed;
        claim_error = claims_table[_i].error;
        if (claims_table[_i].wanted)
                expect(claims_table[_i].wanted);
        else
                expect_failure(claim_error, "/dev/nvme0n1");
        look_with(&claims);
        ck_assert_uint_eq(claims.n_fds, 0);
}
END_TEST

/* That the disk is claimed is no news then. */
START_TEST(claims_that_are_explained)
{
        add_disk();
        claimed = "/dev/nvme0n1 /dev/nvme0n1p1";
        put("proc/1/mountinfo", "40 22 259:1 / /mnt rw - ext4 /dev/nvme0n1p1 rw\n");
        expect("mount /dev/nvme0n1p1 on /mnt;");
}
END_TEST

/* It was there when the list was read, and whoever has the disk now is not told by it. */
START_TEST(stacks_that_have_just_gone)
{
        add_disk();
        link_to("sys/" DISK "/nvme0n1p1/holders/dm-9", "../../../../../../../virtual/block/dm-9");
        expect("");
        ck_assert_uint_ge(n_claims, 1);
        claimed = "/dev/nvme0n1 /dev/nvme0n1p1";
        expect("block /dev/nvme0n1p1;");
        /* Already without its number. */
        put("sys/devices/virtual/block/dm-9/size", "0\n");
        link_to("sys/class/block/dm-9", "../../devices/virtual/block/dm-9");
        expect("block /dev/nvme0n1p1;");
}
END_TEST

START_TEST(nvme_over_several_controllers)
{
        static const char head[] = "devices/virtual/nvme-subsystem/nvme-subsys3/nvme3n1";

        make_directory("sys/" A_PATH "/nvme/nvme1/nvme3c1n1");
        expect("");
        add_block(head, "259:4\n", "nvme3n1");
        add_partition("devices/virtual/nvme-subsystem/nvme-subsys3/nvme3n1/nvme3n1p1", "259:5\n",
                      "nvme3n1p1");
        put("proc/1/mountinfo", "40 22 259:5 / /mnt rw - ext4 x rw\n");
        expect("mount /dev/nvme3n1p1 on /mnt;");
        put("proc/1/mountinfo", "");
        claimed = "/dev/nvme3n1";
        expect("block /dev/nvme3n1;");
}
END_TEST

/* ---- networks ---- */

static void add_interface(const char *name, const char *directory, const char *flags)
{
        _cleanup_free_ char *file = textf("sys/%s/net/%s/flags", directory, name),
                            *link = textf("sys/class/net/%s", name),
                            *target = textf("../../%s/net/%s", directory, name);

        put(file, flags);
        link_to(link, target);
}

static void add_upper(const char *lower, const char *upper, const char *flags)
{
        _cleanup_free_ char *up = textf("sys/class/net/%s/upper_%s", lower, upper),
                            *down = textf("sys/class/net/%s/lower_%s", upper, lower);

        add_interface(upper, "devices/virtual", flags);
        link_to(up, "../x");
        link_to(down, "../x");
}

static void set_addresses(const Address *list, size_t n)
{
        addresses = list;
        n_addresses = n;
}

static const struct {
        const char *flags;
        Address address[2];
        size_t n;
        const char *wanted;
} interfaces[] = {
        {"0x1003\n", {{"eth0", "192.0.2.1", 24}}, 1, "network eth0 192.0.2.1/24;"},
        {"0x1003\n",
         {{"eth0", "fe80::1", 64}, {"eth0", "2001:db8::1", 64}},
         2,
         "network eth0 2001:db8::1/64;"},
        {"0x1003\n", {{"eth0", "fe80::1", 64}}, 1, "interface eth0;"},
        {"0x1003\n", {{"eth1", "192.0.2.1", 24}}, 1, "interface eth0;"},
        /* With a label, and those of others whose names are like it. */
        {"0x1003\n", {{"eth0:1", "192.0.2.1", 24}}, 1, "network eth0 192.0.2.1/24;"},
        {"0x1003\n", {{"eth0.7:1", "192.0.2.1", 24}, {"eth:0", "192.0.2.2", 24}}, 2, "interface eth0;"},
        {"0x1003\n", {}, 0, "interface eth0;"},
        {"0x1002\n", {{"eth0", "192.0.2.1", 24}}, 1, ""},
};

START_TEST(network_interfaces)
{
        add_interface("eth0", A_PATH "/virtio0", interfaces[_i].flags);
        set_addresses(interfaces[_i].address, interfaces[_i].n);
        expect(interfaces[_i].wanted);
}
END_TEST

START_TEST(interfaces_below_others)
{
        static const Address address[] = {{"br0", "10.0.0.1", 8}};

        add_interface("eth0", A_PATH, "0x1003\n");
        add_upper("eth0", "bond0", "0x1003\n");
        add_upper("bond0", "bond0.7", "0x1003\n");
        add_upper("bond0.7", "br0", "0x1003\n");
        expect("interface eth0;");
        set_addresses(address, 1);
        expect("network eth0 (in br0 10.0.0.1/8);");
        add_interface("bond0.7", "devices/virtual", "0x1002\n");
        expect("interface eth0;");
}
END_TEST

START_TEST(ports_of_open_vswitch)
{
        static const Address address[] = {{"br-ex", "10.0.0.1", 8}};

        add_interface("eth0", A_PATH, "0x1003\n");
        add_upper("eth0", "ovs-system", "0x1002\n");
        add_interface("br-ex", "devices/virtual", "0x1003\n");
        link_to("sys/class/net/br-ex/upper_ovs-system", "../x");
        link_to("sys/class/net/ovs-system/lower_br-ex", "../x");
        expect("interface eth0;");
        set_addresses(address, 1);
        expect("network eth0 (in br-ex 10.0.0.1/8);");
}
END_TEST

static const struct {
        const char *class, *driver, *wanted;
} hidden[] = {
        {"0x020000\n", "e1000e", "hidden e1000e;"},
        {"0x028000\n", "iwlwifi", "hidden iwlwifi;"},
        {"0x020000\n", NULL, ""},
        {"0x020000\n", "vfio-pci", ""},
        {"0x020000\n", "mlx5_vfio_pci", ""},
        {"0x020000\n", "pci-stub", ""},
        {"0x020000\n", "uio_pci_generic", ""},
        {"0x020000\n", "pciback", "guest unknown;"},
        {"0x030000\n", "nouveau", ""},
        {"0x030000\n", "pciback", "guest unknown;"},
};

START_TEST(what_only_the_driver_tells)
{
        add_device(A_NAME, A_PATH, hidden[_i].class, 0);
        put("sys/" A_PATH "/enable", "0\n");
        if (hidden[_i].driver)
                set_driver(hidden[_i].driver);
        expect(hidden[_i].wanted);
        add_interface("eth0", A_PATH, "0x1002\n");
        expect(hidden[_i].driver && strcmp(hidden[_i].driver, "pciback") == 0 ? "guest unknown;" : "");
}
END_TEST

static const struct {
        int guest;
        const char *wanted;
} guests[] = {
        {0, ""},
        {1, "guest hvm (domid 3);"},
        {-ENOENT, "guest unknown;"},
        {-ETIMEDOUT, "guest unknown;"},
};

START_TEST(xen_guests)
{
        set_driver("pciback");
        guest = guests[_i].guest;
        expect(guests[_i].wanted);
}
END_TEST

/* ---- owners ---- */

static void add_seat(void)
{
        struct passwd *me = getpwuid(geteuid());
        _cleanup_free_ char *text = textf("IS_SEAT0=1\nACTIVE=2\nACTIVE_UID=%u\n", geteuid());

        ck_assert_ptr_nonnull(me);
        put("run/systemd/seats/seat0", text);
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
}

static const struct {
        const char *database, *node;
        const char *owner; /* NULL: the user at the seat */
} owners[] = {
        {"E:PCIRESETD_OWNER=alice\n", "", "alice"},
        {"I:1\nE:X=1\nE:PCIRESETD_OWNER=@vfio-users\nG:seat\n", "G:uaccess\n", "@vfio-users"},
        {"E:PCIRESETD_OWNER=\n", "", ""},
        {"E:PCIRESETD_OWNER=a b\n", "", ""},
        {"E:PCIRESETD_OWNER=@\n", "", ""},
        {"E:XPCIRESETD_OWNER=alice\n", "", ""},
        {"", "I:1\nG:master-of-seat\nG:uaccess\n", NULL},
        {"", "I:1\nG:uaccess\nQ:uaccess\nV:1\n", NULL},
        {"", "I:1\nG:uaccess\nQ:seat\nV:1\n", ""},
        {"", "I:1\nG:uaccess2\n", ""},
        {"", "E:ID_SEAT=seat7\nG:uaccess\n", ""},
        {"", "E:ID_SEAT=../seats/seat0\nG:uaccess\n", ""},
        {"", "E:X=G:uaccess\n", ""},
};

START_TEST(who_owns_it)
{
        add_seat();
        put("run/udev/data/+pci:" A_NAME, owners[_i].database);
        put("run/udev/data/c1:3", owners[_i].node);
        look();
        ck_assert_str_eq(scan->uses[0].owner, "");
        request.owners = true;
        look();
        ck_assert_str_eq(scan->uses[0].owner,
                         owners[_i].owner ? owners[_i].owner : getpwuid(geteuid())->pw_name);
}
END_TEST

START_TEST(nobody_at_the_seat)
{
        add_seat();
        request.owners = true;
        put("run/udev/data/c1:3", "G:uaccess\n");
        put("run/systemd/seats/seat0", "IS_SEAT0=1\n");
        look();
        ck_assert_str_eq(scan->uses[0].owner, "");
}
END_TEST

/* ---- bounds and errors ---- */

START_TEST(the_hard_ones_are_kept)
{
        char text[16384] = "";

        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        add_disk();
        for (unsigned i = 0; i < 40; i++) {
                _cleanup_free_ char *pid = textf("%u", 1000 + i), *fd = textf("proc/%u/fd/3", 1000 + i);

                add_process(pid, "one", "1000", "");
                link_to(fd, "/dev/null");
        }
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_PER_DEVICE_MAX);
        for (size_t i = 0; i < scan->n_holders; i++)
                ck_assert(scan->holders[i].truncated);

        put("proc/swaps", "Filename\n/dev/nvme0n1p2 partition 1 0 0\n");
        for (unsigned i = 0; i < 100; i++)
                (void) snprintf(text + strlen(text), sizeof(text) - strlen(text),
                                "40 22 259:1 / /mnt%u rw - ext4 /dev/x rw\n", i);
        put("proc/1/mountinfo", text);
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_PER_DEVICE_MAX);
        for (size_t i = 0; i < scan->n_holders; i++)
                ck_assert(holder_kind_is_hard(scan->holders[i].kind));

        /* Those that come last push out softer ones that came first. */
        put("proc/1/mountinfo", "");
        put("proc/swaps", "");
        add_vfio_group();
        put("sys/" A_PATH "/enable", "1\n");
        add_class_device("devices/virtual/vfio/12", "vfio", "1:5\n", NULL);
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_PER_DEVICE_MAX);
        ck_assert_int_eq(scan->holders[0].kind, HOLDER_VFIO);
}
END_TEST

/* A device that all of many members' nodes lead to is told of each, up to the bound over all. */
START_TEST(the_bound_over_all)
{
        enum { MANY = 200 };
        WorkerMember many[MANY] = {};

        request.members = many;
        request.n_members = MANY;
        for (unsigned i = 0; i < MANY; i++) {
                _cleanup_free_ char *name = textf("0000:02:%02x.%u", i / 8, i % 8),
                                    *path = textf("devices/pci0000:00/%s", name),
                                    *node = textf("%s/drm/card%u", path, i);

                add_device(name, path, "0x030000\n", 0);
                many[i] = members[0];
                add_class_device(node, "drm", "1:3\n", NULL);
        }
        for (unsigned i = 0; i < 40; i++) {
                _cleanup_free_ char *pid = textf("%u", 1000 + i), *fd = textf("proc/%u/fd/3", 1000 + i);

                add_process(pid, "one", "1000", "");
                link_to(fd, "/dev/null");
        }
        look();
        ck_assert_uint_eq(scan->n_holders, HOLDERS_MAX / MANY * MANY);
        for (size_t i = 0; i < MANY; i++) {
                ck_assert(scan->holders[i * (HOLDERS_MAX / MANY)].truncated);
                ck_assert(pci_address_equal(&scan->holders[i * (HOLDERS_MAX / MANY)].device,
                                            &many[i].address));
        }
}
END_TEST

static void add_ttys(unsigned from, unsigned to)
{
        for (unsigned i = from; i < to; i++) {
                _cleanup_free_ char *directory = textf(A_PATH "/tty/tty%u", i), *number = textf("4:%u\n", i),
                                    *node = textf("ttyS%u", i);

                add_class_device(directory, "tty", number, node);
        }
}

START_TEST(nodes_are_bounded)
{
        add_ttys(0, WORKER_NODES_MAX);
        look();
        ck_assert_uint_eq(scan->uses[0].n_nodes, WORKER_NODES_MAX);
        ck_assert(!scan->uses[0].more_nodes);
        add_ttys(WORKER_NODES_MAX, WORKER_NODES_MAX + 1);
        look();
        ck_assert_uint_eq(scan->uses[0].n_nodes, WORKER_NODES_MAX);
        ck_assert(scan->uses[0].more_nodes);
}
END_TEST

/* An answer about many devices has room for fewer nodes of each. */
START_TEST(nodes_are_shared)
{
        enum { MANY = WORKER_SCAN_NODES_MAX / WORKER_NODES_MAX };
        WorkerScan *few, *all;
        WorkerMember many[2 * MANY] = {};

        add_ttys(0, WORKER_NODES_MAX);
        for (size_t i = 0; i < 2 * MANY; i++)
                many[i] = members[0];
        request.members = many;
        request.n_members = MANY;
        ck_assert_int_eq(scan_members(&roots, &request, &few), 0);
        request.n_members = 2 * MANY;
        ck_assert_int_eq(scan_members(&roots, &request, &all), 0);
        for (size_t i = 0; i < MANY; i++) {
                ck_assert_uint_eq(few->uses[i].n_nodes, WORKER_NODES_MAX);
                ck_assert(!few->uses[i].more_nodes);
                ck_assert_uint_eq(all->uses[MANY + i].n_nodes, WORKER_NODES_MAX / 2);
                ck_assert(all->uses[MANY + i].more_nodes);
        }
        (void) worker_scan_free(few);
        (void) worker_scan_free(all);
}
END_TEST

START_TEST(devices_that_are_gone)
{
        members[0].inode++;
        expect_failure(ENODEV, A_NAME " is another device");
        members[0].inode--;
        members[0].address.function = 3;
        expect_failure(ENODEV, "0000:01:00.3 is gone");
}
END_TEST

/* What a scan says can be sent, whatever was in it. */
START_TEST(scans_can_be_sent)
{
        WorkerEvent event = {.type = WORKER_EVENT_SCAN}, read;
        _cleanup_free_ char *line = NULL;

        add_disk();
        add_class_device(A_PATH "/drm/card0", "drm", "1:3\n", "dri/card0");
        put("proc/1/mountinfo", "40 22 259:1 / /m\\012\\377n rw - ext4 /dev/x rw\n");
        add_process("812", "we\x1bird", "1000", "0::/a\xff.service\n");
        link_to("proc/812/fd/3", "/dev/null");
        look();
        event.scan = scan;
        ck_assert_int_eq(worker_event_format(&event, &line), 0);
        ck_assert_int_eq(worker_event_parse(line, strlen(line) - 1, &read), 0);
        ck_assert_uint_eq(read.scan->n_holders, 2);
        ck_assert_str_eq(read.scan->holders[1].command, "we?ird");
        worker_scan_free(read.scan);
}
END_TEST

/* ---- what is allowed ---- */

START_TEST(what_is_in_the_way)
{
        for (unsigned allow = 0; allow < 4; allow++) {
                const HoldersAllowed allowed = {.soft = allow & 1U, .vfio = allow & 2U};

                for (unsigned kind = 0; kind < HOLDER_KINDS; kind++) {
                        const Holder holder = {.kind = (HolderKind) kind};
                        bool is_soft = kind == HOLDER_PROCESS || kind == HOLDER_INTERFACE ||
                                       kind == HOLDER_HIDDEN;

                        ck_assert_int_eq(holder_is_allowed(&holder, &allowed),
                                         kind == HOLDER_VFIO ? allowed.vfio : is_soft && allowed.soft);
                }
        }

        add_interface("eth0", A_PATH, "0x1003\n");
        add_disk();
        put("proc/swaps", "Filename\n/dev/nvme0n1p2 partition 1 0 0\n");
        expect("swap /dev/nvme0n1p2;interface eth0;");
        ck_assert_uint_eq(holders_keep_refusing(scan, &(HoldersAllowed){}), 2);
        ck_assert_uint_eq(holders_keep_refusing(scan, &(HoldersAllowed){.soft = true}), 1);
        ck_assert_int_eq(scan->holders[0].kind, HOLDER_SWAP);
        ck_assert_uint_eq(holders_keep_refusing(scan, &(HoldersAllowed){.soft = true, .vfio = true}), 1);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
        TCase *group = tcase_create(name);

        tcase_add_checked_fixture(group, setup, teardown);
        tcase_set_timeout(group, 60);
        suite_add_tcase(suite, group);
        return group;
}

static void add_nodes(Suite *suite)
{
        TCase *nodes = add_case(suite, "nodes"), *vfio = add_case(suite, "vfio");

        tcase_add_test(nodes, an_idle_device);
        tcase_add_test(nodes, a_process_with_a_node_open);
        tcase_add_loop_test(nodes, units_of_processes, 0, (int) ELEMENTSOF(units));
        tcase_add_test(nodes, nodes_by_their_names);
        tcase_add_test(nodes, where_nodes_are);
        tcase_add_test(nodes, several_members);
        tcase_add_test(nodes, bridges_have_no_users);
        tcase_add_test(nodes, processes_that_end);
        tcase_add_test(nodes, a_proc_that_hides_others);
        tcase_add_loop_test(nodes, files_in_trouble, 0, (int) ELEMENTSOF(strange_files));
        tcase_add_test(nodes, threads_of_their_own);
        tcase_add_test(nodes, a_crowd_is_shared_out);
        tcase_add_test(vfio, vfio_groups);
        tcase_add_test(vfio, vfio_without_an_iommu);
        tcase_add_test(vfio, vfio_devices_by_their_own_node);
        tcase_add_test(vfio, vfio_devices_by_fdinfo);
        tcase_add_test(vfio, enabled_by_a_host_driver);
}

static void add_storage(Suite *suite)
{
        TCase *storage = add_case(suite, "storage");

        tcase_add_test(storage, a_disk_that_nobody_uses);
        tcase_add_loop_test(storage, mounted_file_systems, 0, (int) ELEMENTSOF(mounts));
        tcase_add_test(storage, mounts_that_cannot_be_read);
        tcase_add_test(storage, swap);
        tcase_add_test(storage, what_is_on_volumes);
        tcase_add_test(storage, stacks_on_stacks);
        tcase_add_test(storage, loops);
        tcase_add_loop_test(storage, disks_that_somebody_has_claimed, 0, (int) ELEMENTSOF(claims_table));
        tcase_add_test(storage, claims_that_are_explained);
        tcase_add_test(storage, stacks_that_have_just_gone);
        tcase_add_test(storage, nvme_over_several_controllers);
}

static void add_the_rest(Suite *suite)
{
        TCase *network = add_case(suite, "network"), *owner = add_case(suite, "owner"),
              *bounds = add_case(suite, "bounds");

        tcase_add_loop_test(network, network_interfaces, 0, (int) ELEMENTSOF(interfaces));
        tcase_add_test(network, interfaces_below_others);
        tcase_add_test(network, ports_of_open_vswitch);
        tcase_add_loop_test(network, what_only_the_driver_tells, 0, (int) ELEMENTSOF(hidden));
        tcase_add_loop_test(network, xen_guests, 0, (int) ELEMENTSOF(guests));
        tcase_add_loop_test(owner, who_owns_it, 0, (int) ELEMENTSOF(owners));
        tcase_add_test(owner, nobody_at_the_seat);
        tcase_add_test(bounds, the_hard_ones_are_kept);
        tcase_add_test(bounds, the_bound_over_all);
        tcase_add_test(bounds, nodes_are_bounded);
        tcase_add_test(bounds, nodes_are_shared);
        tcase_add_test(bounds, devices_that_are_gone);
        tcase_add_test(bounds, scans_can_be_sent);
        tcase_add_test(bounds, what_is_in_the_way);
}

int main(void)
{
        Suite *suite = suite_create("holders");

        add_nodes(suite);
        add_storage(suite);
        add_the_rest(suite);
        return unit_run(suite);
}
