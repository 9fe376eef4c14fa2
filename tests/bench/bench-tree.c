/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The tree is written as plain files, with what lspci, udevadm and the daemon read and no more: thousands of
 * functions would take umockdev minutes. The kernel model, which the daemon is not started with here, does
 * not know of them.
 */

#include "bench-tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "harness/fixture.h"

#define GROUP        64U /* a port and what is below it */
#define PORTS_OF_BUS 240U /* so that each has a bus number for itself */

#define FUNCTIONS_MANY 16384U
#define FUNCTIONS_FEW  GROUP

#define START_ROUNDS 7U

/* ---- the tree ---- */

typedef struct Function {
        char address[16], parent[16];
        char path[128]; /* below /sys */
        bool is_port;
        uint16_t vendor, device;
        uint32_t class;
        const char *driver;
} Function;

static Function function_at(unsigned i)
{
        static const struct {
                uint16_t vendor, device;
                uint32_t class;
                const char *driver;
        } kinds[] = {
                {0x8086, 0x154c, 0x020000, "iavf"},
                {0x144d, 0xa808, 0x010802, "nvme"},
                {0x15b3, 0x1018, 0x020000, "mlx5_core"},
                {0x10de, 0x20b0, 0x030200, "nvidia"},
        };
        unsigned group = i / GROUP, below = i % GROUP, kind = group % ELEMENTSOF(kinds);
        unsigned domain = group / PORTS_OF_BUS, port = group % PORTS_OF_BUS;
        Function function = {.is_port = below == 0};

        (void) snprintf(function.parent, sizeof(function.parent), "%04x:00:%02x.%x", domain, (port + 8) >> 3,
                        port & 7);
        if (function.is_port) {
                memcpy(function.address, function.parent, sizeof(function.address));
                (void) snprintf(function.path, sizeof(function.path), "/sys/devices/pci%04x:00/%s", domain,
                                function.address);
                function.vendor = 0x8086;
                function.device = 0x3420;
                function.class = 0x060400;
                function.driver = "pcieport";
                return function;
        }
        (void) snprintf(function.address, sizeof(function.address), "%04x:%02x:%02x.%x", domain, port + 1,
                        (below - 1) >> 3, (below - 1) & 7);
        (void) snprintf(function.path, sizeof(function.path), "/sys/devices/pci%04x:00/%s/%s", domain,
                        function.parent, function.address);
        function.vendor = kinds[kind].vendor;
        function.device = kinds[kind].device;
        function.class = kinds[kind].class;
        function.driver = kinds[kind].driver;
        return function;
}

__attribute__((format(printf, 3, 4))) static void put(int directory, const char *name, const char *format,
                                                      ...)
{
        _cleanup_close_ int fd = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        va_list arguments;

        va_start(arguments, format);
        ck_assert_msg(fd >= 0 && vdprintf(fd, format, arguments) >= 0, "%s: %s", name, strerror(errno));
        va_end(arguments);
}

static void put_config(int directory, const Function *f)
{
        uint8_t config[64] = {(uint8_t) f->vendor,
                              (uint8_t) (f->vendor >> 8),
                              (uint8_t) f->device,
                              (uint8_t) (f->device >> 8),
                              [0x09] = (uint8_t) f->class,
                              [0x0a] = (uint8_t) (f->class >> 8),
                              [0x0b] = (uint8_t) (f->class >> 16),
                              [0x0e] = f->is_port};
        _cleanup_close_ int fd = openat(directory, "config", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        ck_assert_int_eq(write(fd, config, sizeof(config)), (ssize_t) sizeof(config));
}

static void put_link(int directory, const char *name, const char *target)
{
        ck_assert_msg(symlinkat(target, directory, name) == 0, "%s: %s", name, strerror(errno));
}

static void add_function(const Function *f)
{
        _cleanup_close_ int fd = -EBADF;
        char name[128];

        directory_make("%s", f->path);
        fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        put(fd, "vendor", "0x%04x\n", f->vendor);
        put(fd, "device", "0x%04x\n", f->device);
        put(fd, "subsystem_vendor", "0x%04x\n", f->vendor);
        put(fd, "subsystem_device", "0x0001\n");
        put(fd, "class", "0x%06x\n", f->class);
        put(fd, "revision", "0x01\n");
        put(fd, "enable", "1\n");
        put(fd, "remove", "%s", "");
        if (f->is_port)
                put(fd, "secondary_bus_number", "1\n");
        else
                put(fd, "reset_method", "flr bus\n");
        put(fd, "modalias", "pci:v%08Xd%08Xsv%08Xsd00000001bc%02Xsc%02Xi%02X\n", f->vendor, f->device,
            f->vendor, f->class >> 16, f->class >> 8 & 0xff, f->class & 0xff);
        put(fd, "uevent",
            "DRIVER=%s\nPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:0001\nPCI_SLOT_NAME=%s\n",
            f->driver, f->class, f->vendor, f->device, f->vendor, f->address);
        put_config(fd, f);
        put_link(fd, "subsystem", "/sys/bus/pci");
        (void) snprintf(name, sizeof(name), "/sys/bus/pci/drivers/%s", f->driver);
        put_link(fd, "driver", name);
        (void) snprintf(name, sizeof(name), "/sys/bus/pci/devices/%s", f->address);
        put_link(AT_FDCWD, name, f->path);
}

void tree_grow(unsigned n)
{
        static unsigned n_made;

        for (; n_made < n; n_made++) {
                Function function = function_at(n_made);

                if (function.is_port)
                        directory_make("/sys/bus/pci/drivers/%s", function.driver);
                if (n_made % GROUP == 1)
                        directory_make("/sys/bus/pci/drivers/%s", function.driver);
                add_function(&function);
        }
}

/* ---- start ---- */

DEFINE_CLEANUP(sd_bus *, sd_bus_flush_close_unref);

static pid_t spawn(const char *const argv[])
{
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                int null = open("/dev/null", O_RDWR);

                if (null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0 && dup2(null, 2) >= 0)
                        (void) execvp(argv[0], (char *const *) argv);
                _exit(127);
        }
        return pid;
}

static uint64_t run_tool(const char *const argv[])
{
        uint64_t started = now_usec();
        pid_t pid = spawn(argv);
        int status;

        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: %d", argv[0], status);
        return now_usec() - started;
}

static int on_owner(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        const char *name, *old, *new;

        if (sd_bus_message_read(message, "sss", &name, &old, &new) >= 0 && strcmp(name, SERVICE) == 0 &&
            new[0] != '\0')
                *(uint64_t *) userdata = now_usec();
        return 0;
}

static pid_t spawn_daemon(void)
{
        _cleanup_free_ char *worker = textf("--worker=%s", tested_path("PCIRESET_WORKER"));
        const char *const argv[] = {tested_path("PCIRESETD"), worker, NULL};

        return spawn(argv);
}

/* From fork() and exec() to the name on the bus, as the bus tells it. */
static pid_t start_daemon(sd_bus *bus, const uint64_t *owned_at, uint64_t *ret_usec)
{
        uint64_t before = *owned_at, started = now_usec();
        pid_t pid = spawn_daemon();

        while (*owned_at == before) {
                int r = sd_bus_process(bus, NULL);

                ck_assert_int_ge(r, 0);
                ck_assert_msg(waitpid(pid, NULL, WNOHANG) == 0, "pciresetd has ended at its start");
                if (r == 0 && *owned_at == before)
                        ck_assert_int_ge(sd_bus_wait(bus, UINT64_C(1000000)), 0);
        }
        if (ret_usec)
                *ret_usec = *owned_at - started;
        return pid;
}

void tree_daemon_stop(pid_t pid)
{
        ck_assert_int_eq(kill(pid, SIGTERM), 0);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static sd_bus *watch_name(uint64_t *owned_at)
{
        sd_bus *bus;

        ck_assert_int_ge(sd_bus_open_system(&bus), 0);
        ck_assert_int_ge(sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", NULL, "org.freedesktop.DBus",
                                             "NameOwnerChanged", on_owner, owned_at),
                         0);
        ck_assert_int_ge(sd_bus_flush(bus), 0);
        return bus;
}

static bool has_children(pid_t pid)
{
        _cleanup_free_ char *path = textf("/proc/%d/task/%d/children", pid, pid);
        _cleanup_free_ char *children = file_read(path, NULL);

        ck_assert_ptr_nonnull(children);
        return children[0] != '\0';
}

/* What it finds out by itself after its start, who uses which device, is part of what it keeps. */
static void wait_for_quiet(pid_t pid)
{
        for (unsigned quiet = 0; quiet < 10;) {
                const struct timespec pause = {.tv_nsec = 100000000};

                (void) nanosleep(&pause, NULL);
                quiet = has_children(pid) ? 0 : quiet + 1;
        }
}

pid_t tree_daemon_start(void)
{
        uint64_t owned_at = 0;
        _cleanup_(cleanup_sd_bus_flush_close_unref) sd_bus *bus = watch_name(&owned_at);
        pid_t pid = start_daemon(bus, &owned_at, NULL);

        wait_for_quiet(pid);
        return pid;
}

static void print_series(FILE *file, const char *name, const uint64_t *values, unsigned n)
{
        fprintf(file, ",\"%s\":[", name);
        for (unsigned i = 0; i < n; i++)
                fprintf(file, "%s%lu", i ? "," : "", (unsigned long) values[i]);
        fputs("]", file);
}

char *tree_measure_start(void)
{
        static const char *const lspci[] = {"lspci", "-n", NULL};
        static const char *const udevadm[] = {"udevadm", "info", "--export-db", NULL};
        uint64_t starts[START_ROUNDS], lspcis[START_ROUNDS], udevadms[START_ROUNDS], owned_at = 0;
        _cleanup_(cleanup_sd_bus_flush_close_unref) sd_bus *bus = watch_name(&owned_at);
        char *output;
        size_t size;
        FILE *file = open_memstream(&output, &size);

        tree_grow(FUNCTIONS_MANY);
        tree_daemon_stop(start_daemon(bus, &owned_at, NULL)); /* not the one that makes its folders */
        for (unsigned i = 0; i < START_ROUNDS; i++) {
                tree_daemon_stop(start_daemon(bus, &owned_at, &starts[i]));
                lspcis[i] = run_tool(lspci);
                udevadms[i] = run_tool(udevadm);
        }
        fprintf(file, "{\"functions\":%u", FUNCTIONS_MANY);
        print_series(file, "start", starts, START_ROUNDS);
        print_series(file, "lspci", lspcis, START_ROUNDS);
        print_series(file, "udevadm", udevadms, START_ROUNDS);
        fputs("}\n", file);
        ck_assert_int_eq(fclose(file), 0);
        return output;
}

/* ---- memory ---- */

/* In kB: what the process has for itself and its share of the rest. */
static unsigned long memory_of(pid_t pid)
{
        _cleanup_free_ char *path = textf("/proc/%d/smaps_rollup", pid), *text = file_read(path, NULL);
        const char *line = text ? strstr(text, "\nPss:") : NULL;

        ck_assert_msg(line, "%s: %s", path, strerror(errno));
        return strtoul(line + strlen("\nPss:"), NULL, 10);
}

static void call_list(sd_bus *bus)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;

        ck_assert_msg(sd_bus_call_method(bus, SERVICE, "/org/pciresetd1", "org.pciresetd1.Manager",
                                         "ListDevices", &error, &reply, NULL) >= 0,
                      "ListDevices: %s", error.message);
        sd_bus_message_unref(reply);
}

static void measure_memory(sd_bus *bus, const uint64_t *owned_at, unsigned long *ret_started,
                           unsigned long *ret_asked)
{
        pid_t pid = start_daemon(bus, owned_at, NULL);

        wait_for_quiet(pid);
        *ret_started = memory_of(pid);
        call_list(bus);
        wait_for_quiet(pid);
        *ret_asked = memory_of(pid);
        tree_daemon_stop(pid);
}

char *tree_measure_memory(void)
{
        unsigned long few_started, few_asked, many_started, many_asked;
        uint64_t owned_at = 0;
        _cleanup_(cleanup_sd_bus_flush_close_unref) sd_bus *bus = watch_name(&owned_at);

        tree_grow(FUNCTIONS_FEW);
        measure_memory(bus, &owned_at, &few_started, &few_asked);
        tree_grow(FUNCTIONS_MANY);
        measure_memory(bus, &owned_at, &many_started, &many_asked);
        return textf("{\"few\":%u,\"many\":%u,\"kb_few\":%lu,\"kb_many\":%lu,\"kb_few_asked\":%lu,"
                     "\"kb_many_asked\":%lu}\n",
                     FUNCTIONS_FEW, FUNCTIONS_MANY, few_started, many_started, few_asked, many_asked);
}

/* ---- bursts ---- */

#define BURST_FUNCTIONS (16U * GROUP)
#define BURST_EVENTS    5000U
#define BURST_DRIVER    "vfio-pci"
/* How long it may take until all is as sysfs says; then what is wrong stays wrong. */
#define BURST_MAX_USEC UINT64_C(60000000)

/* Binds a function to the driver, or takes it off, and announces it. */
static void change_function(const Function *f, bool bind)
{
        _cleanup_free_ char *link = textf("%s/driver", f->path);

        ck_assert_int_eq(unlink(link), 0);
        put_link(AT_FDCWD, link, bind ? "/sys/bus/pci/drivers/" BURST_DRIVER : "/sys/bus/pci/drivers/none");
        uevent_at(bind ? "bind" : "change", f->path + strlen("/sys"), NULL);
}

/* How many functions the daemon tells another driver of than sysfs does, or does not know, or should not. */
static unsigned count_differences(sd_bus *bus)
{
        sd_bus_message *reply = NULL;
        const char *address, *path, *driver, *state, *owner, *description;
        unsigned n_listed = 0, n_different = 0;

        ck_assert_int_ge(sd_bus_call_method(bus, SERVICE, MANAGER_PATH, MANAGER_INTERFACE, "ListDevices",
                                            NULL, &reply, NULL),
                         0);
        ck_assert_int_gt(sd_bus_message_enter_container(reply, 'a', "(sossss)"), 0);
        while (sd_bus_message_read(reply, "(sossss)", &address, &path, &driver, &state, &owner,
                                   &description) > 0) {
                _cleanup_free_ char *link = textf("/sys/bus/pci/devices/%s/driver", address);
                char target[128] = "";
                ssize_t n = readlink(link, target, sizeof(target) - 1);

                n_listed++;
                n_different += n < 0 || strcmp(strrchr(target, '/') + 1, driver) != 0;
        }
        sd_bus_message_unref(reply);
        return n_different +
               (n_listed > BURST_FUNCTIONS ? n_listed - BURST_FUNCTIONS : BURST_FUNCTIONS - n_listed);
}

char *tree_measure_burst(void)
{
        uint64_t owned_at = 0, started, settled;
        _cleanup_(cleanup_sd_bus_flush_close_unref) sd_bus *bus = watch_name(&owned_at);
        unsigned n_different = 0;
        pid_t pid;

        tree_grow(BURST_FUNCTIONS);
        directory_make("/sys/bus/pci/drivers/" BURST_DRIVER);
        directory_make("/sys/bus/pci/drivers/none");
        pid = start_daemon(bus, &owned_at, NULL);
        wait_for_quiet(pid);
        started = now_usec();
        for (unsigned i = 0; i < BURST_EVENTS; i++) {
                /* Each of them several times, in an order that is none. */
                Function function = function_at(i * 389 % BURST_FUNCTIONS);

                change_function(&function, i / BURST_FUNCTIONS % 2 == 0);
        }
        do {
                n_different = count_differences(bus);
                settled = now_usec();
        } while (n_different > 0 && settled - started < BURST_MAX_USEC);
        /* And it stays so. */
        wait_for_quiet(pid);
        n_different = count_differences(bus);
        tree_daemon_stop(pid);
        return textf("{\"functions\":%u,\"events\":%u,\"different\":%u,\"usec\":%lu,\"dropped\":%s}\n",
                     BURST_FUNCTIONS, BURST_EVENTS, n_different, (unsigned long) (settled - started),
                     uevents_were_dropped() ? "true" : "false");
}
