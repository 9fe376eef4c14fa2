/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What goes out of a report before it goes to strangers, and what stays because nothing could be found
 * without it. */

#include <string.h>

#include "pcireset/kernel-log.h"
#include "pcireset/redact.h"
#include "unit.h"

static const char *const literals[] = {"00-11-22-33-44-55-66-77", "S4EWNX0R123456"};

static const struct {
        const char *text, *redacted;
} lines[] = {
        {"", ""},
        /* Stays. */
        {"pci 0000:01:00.0: [8086:10d3] type 00 class 0x020000", NULL},
        {"pci 10000:03:1f.7: BAR 0: assigned [mem 0x383fc0000000-0x383fc00fffff 64bit pref]", NULL},
        {"pcieport 0000:00:1c.0: AER: Corrected error received: 0000:01:00.0", NULL},
        {"pci 0000:01:00.0: not ready 1023ms after FLR; waiting", NULL},
        {"12:34:56 and 2026-11-21 and 6.1.0-50-amd64", NULL},
        {"serial8250: ttyS0 at I/O 0x3f8 (irq = 4, base_baud = 115200) is a 16550A", NULL},
        {"serial driver, serial port", NULL},
        {"the MAC is off; key events follow", NULL},
        /* Goes. */
        {"eth0: 52:54:00:12:34:56", "eth0: " REDACTED},
        {"eth0:52-54-00-AB-cd-EF.", "eth0:" REDACTED "."},
        {"52:54:00:12:34:56", REDACTED},
        {"mac 0011.2233.4455 up", "mac " REDACTED " up"},
        {"guid 0x0002:c903:00fa:b0e1", "guid " REDACTED},
        {"WWPN 10:00:00:00:c9:12:34:56 online", "WWPN " REDACTED " online"},
        {"NVRM: GPU-1a2b3c4d-0011-2233-4455-66778899aabb is lost", "NVRM: GPU-" REDACTED " is lost"},
        {"SN: 12ABC", "SN: " REDACTED},
        {"Serial Number: 99XYZ, rev 2", "Serial Number: " REDACTED ", rev 2"},
        {"s/n=\"77Q\"", "s/n=\"" REDACTED "\""},
        {"iscsi password=open,sesame", "iscsi password=" REDACTED ",sesame"},
        {"psk: secret1", "psk: " REDACTED},
        {"psk: unknown", NULL}, /* an ordinary word */
        /* What is known of this device, however it is written. */
        {"dsn 00-11-22-33-44-55-66-77", "dsn " REDACTED},
        {"dsn 0x0011223344556677!", "dsn 0x" REDACTED "!"},
        {"dsn 0011:2233:4455:6677", "dsn " REDACTED},
        {"model X s4ewnx0r123456 fw 2", "model X " REDACTED " fw 2"},
        {"S4EWNX0R12345", NULL},
};

static void begin(Redactor *redactor)
{
        *redactor = (Redactor){};
        for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++)
                ck_assert_int_eq(redactor_add(redactor, literals[i]), 0);
}

START_TEST(redacts)
{
        const char *wanted = lines[_i].redacted ? lines[_i].redacted : lines[_i].text;
        Redactor redactor;
        char *text;

        begin(&redactor);
        text = redact(&redactor, lines[_i].text);
        ck_assert_str_eq(text, wanted);
        free(text);
        redactor.off = true;
        text = redact(&redactor, lines[_i].text);
        ck_assert_str_eq(text, lines[_i].text);
        free(text);
        redactor_done(&redactor);
}
END_TEST

START_TEST(short_literals_are_none)
{
        Redactor redactor = {};
        char *text;

        ck_assert_int_eq(redactor_add(&redactor, ""), 0);
        ck_assert_int_eq(redactor_add(&redactor, "pci"), 0);
        text = redact(&redactor, "pci 0000:01:00.0");
        ck_assert_str_eq(text, "pci 0000:01:00.0");
        free(text);
        redactor_done(&redactor);
}
END_TEST

static const struct {
        const char *parameter;
        bool wanted;
} parameters[] = {
        {"pci=noaer", true},
        {"pci=realloc,noaer", true},
        {"pcie_aspm=off", true},
        {"pcie_ports=native", true},
        {"iommu=pt", true},
        {"intel_iommu=on", true},
        {"iommu.passthrough=1", true},
        {"vfio-pci.ids=8086:10d3", true},
        {"vfio_iommu_type1.x=1", true},
        {"nvme_core.default_ps_max_latency_us=0", true},
        {"xen-pciback.hide=(01:00.0)", true},
        {"root=UUID=1", false},
        {"luks.password=x", false},
        {"pcipassword=x", false},
        {"iommusecret=x", false},
        {"", false},
        {"quiet", false},
        {"acpi_osi=Linux", true},
        {"acpi=off", true},
        {"xpci=1", false},
};

START_TEST(parameters_of_the_kernel)
{
        ck_assert_msg(redact_parameter_is_wanted(parameters[_i].parameter) == parameters[_i].wanted, "%s",
                      parameters[_i].parameter);
}
END_TEST

static const struct {
        const char *line;
        bool names;
} mentions[] = {
        {"pci 0000:01:00.0: reset", true}, {"0000:01:00.0", true},
        {"(0000:01:00.0)", true},          {"from 0000:01:00.01, then 0000:01:00.0.", true},
        {"0000:01:00.01", false},          {"10000:01:00.0", false},
        {"x0000:01:00.0", false},          {"01:00.0", false},
};

START_TEST(lines_that_name_the_device)
{
        ck_assert_msg(kernel_log_names(mentions[_i].line, "0000:01:00.0") == mentions[_i].names, "%s",
                      mentions[_i].line);
}
END_TEST

START_TEST(the_command_line_is_not_quoted)
{
        static const char line[] = "Kernel command line: pci=resource_alignment=0000:01:00.0 x.password=1";
        Redactor redactor = {};
        bool dropped;
        char *text;

        ck_assert_ptr_null(kernel_log_clean(line, &redactor, &dropped));
        ck_assert(dropped);
        redactor.off = true;
        text = kernel_log_clean(line, &redactor, &dropped);
        ck_assert(!dropped);
        ck_assert_str_eq(text, line);
        free(text);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("redact");

        unit_add_table(suite, redacts, lines);
        unit_add(suite, short_literals_are_none);
        unit_add_table(suite, parameters_of_the_kernel, parameters);
        unit_add_table(suite, lines_that_name_the_device, mentions);
        unit_add(suite, the_command_line_is_not_quoted);
        return unit_run(suite);
}
