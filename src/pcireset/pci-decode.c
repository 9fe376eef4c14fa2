/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Names of capabilities, and their registers as far as they say something about resets: whether the device
 * knows them, whether it keeps its state over them, how long it may be away, and what it has complained of.
 */

#include <errno.h>
#include <pci/header.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pcireset/pci-config.h"
#include "shared/cleanup.h"

#ifndef PCI_STATUS_IMM_READY
#define PCI_STATUS_IMM_READY 0x01 /* ready at once after a reset: PCI Express 4.0, 7.5.1.1.4 */
#endif
#define PCI_EXP_FLAGS_TYPE_SHIFT 4

/* What is decoded, and where the facts go. Errors are remembered. */
typedef struct Decoder {
        const PciConfig *config;
        size_t at; /* the capability */
        bool serials;
        json_object *facts;
        bool failed;
} Decoder;

static void __attribute__((format(printf, 2, 3))) fact(Decoder *decoder, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        if (json_append_text(decoder->facts, format, arguments) < 0)
                decoder->failed = true;
        va_end(arguments);
}

typedef struct Flag {
        uint32_t mask;
        const char *name;
} Flag;

/* `Name: A+ B-`. */
static void flags(Decoder *decoder, const char *name, uint32_t value, const Flag *table, size_t n)
{
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        if (!stream) {
                decoder->failed = true;
                return;
        }
        for (size_t i = 0; i < n; i++)
                (void) fprintf(stream, " %s%c", table[i].name, value & table[i].mask ? '+' : '-');
        if (fclose(stream) != 0)
                decoder->failed = true;
        else
                fact(decoder, "%s:%s", name, text);
        free(text);
}

static uint16_t word(const Decoder *decoder, size_t offset)
{
        return pci_config_word(decoder->config, decoder->at + offset);
}

static uint32_t dword(const Decoder *decoder, size_t offset)
{
        return pci_config_long(decoder->config, decoder->at + offset);
}

static void decode_pm(Decoder *decoder)
{
        static const Flag capabilities[] = {{PCI_PM_CAP_D1, "D1"},
                                            {PCI_PM_CAP_D2, "D2"},
                                            {PCI_PM_CAP_PME_D3_HOT, "PME(D3hot)"},
                                            {PCI_PM_CAP_PME_D3_COLD, "PME(D3cold)"},
                                            {PCI_PM_CAP_DSI, "DSI"}};
        static const Flag status[] = {{PCI_PM_CTRL_NO_SOFT_RST, "NoSoftRst"},
                                      {PCI_PM_CTRL_PME_ENABLE, "PME-Enable"}};

        flags(decoder, "Flags", word(decoder, PCI_CAP_FLAGS), capabilities, ELEMENTSOF(capabilities));
        fact(decoder, "Power state: D%d", word(decoder, PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK);
        flags(decoder, "Status", word(decoder, PCI_PM_CTRL), status, ELEMENTSOF(status));
}

static const char *port_type(unsigned type)
{
        static const char *const names[] = {
                [PCI_EXP_TYPE_ENDPOINT] = "Endpoint",
                [PCI_EXP_TYPE_LEG_END] = "Legacy Endpoint",
                [PCI_EXP_TYPE_ROOT_PORT] = "Root Port",
                [PCI_EXP_TYPE_UPSTREAM] = "Upstream Port",
                [PCI_EXP_TYPE_DOWNSTREAM] = "Downstream Port",
                [PCI_EXP_TYPE_PCI_BRIDGE] = "PCI-Express to PCI/PCI-X Bridge",
                [PCI_EXP_TYPE_PCIE_BRIDGE] = "PCI/PCI-X to PCI-Express Bridge",
                [PCI_EXP_TYPE_ROOT_INT_EP] = "Root Complex Integrated Endpoint",
                [PCI_EXP_TYPE_ROOT_EC] = "Root Complex Event Collector",
        };

        return type < ELEMENTSOF(names) && names[type] ? names[type] : "unknown type";
}

static const char *speed(unsigned code)
{
        static const char *const names[] = {"unknown speed", "2.5GT/s", "5GT/s", "8GT/s",
                                            "16GT/s",        "32GT/s",  "64GT/s"};

        return names[code < ELEMENTSOF(names) ? code : 0];
}

static void decode_link(Decoder *decoder)
{
        static const Flag capabilities[] = {{PCI_EXP_LNKCAP_SURPRISE, "Surprise"},
                                            {PCI_EXP_LNKCAP_DLLA, "LLActRep"}};
        static const Flag status[] = {{PCI_EXP_LNKSTA_TRAIN, "Train"}, {PCI_EXP_LNKSTA_DL_ACT, "DLActive"}};
        uint32_t lnkcap = dword(decoder, PCI_EXP_LNKCAP);
        uint16_t lnksta = word(decoder, PCI_EXP_LNKSTA);

        fact(decoder, "LnkCap: Speed %s, Width x%u", speed(lnkcap & PCI_EXP_LNKCAP_SPEED),
             (lnkcap & PCI_EXP_LNKCAP_WIDTH) >> 4);
        flags(decoder, "LnkCap", lnkcap, capabilities, ELEMENTSOF(capabilities));
        fact(decoder, "LnkSta: Speed %s, Width x%u", speed(lnksta & PCI_EXP_LNKSTA_SPEED),
             (unsigned) (lnksta & PCI_EXP_LNKSTA_WIDTH) >> 4);
        flags(decoder, "LnkSta", lnksta, status, ELEMENTSOF(status));
}

static void decode_slot(Decoder *decoder)
{
        static const Flag capabilities[] = {
                {PCI_EXP_SLTCAP_PWRC, "PwrCtrl"},        {PCI_EXP_SLTCAP_MRL, "MRL"},
                {PCI_EXP_SLTCAP_HPC, "HotPlug"},         {PCI_EXP_SLTCAP_HPS, "Surprise"},
                {PCI_EXP_SLTCAP_INTERLOCK, "Interlock"}, {PCI_EXP_SLTCAP_NOCMDCOMP, "NoCompl"}};
        static const Flag status[] = {{PCI_EXP_SLTSTA_PWRF, "PwrFlt"},
                                      {PCI_EXP_SLTSTA_PRES, "PresDet"},
                                      {PCI_EXP_SLTSTA_LLCHG, "LinkState"}};
        uint32_t sltcap = dword(decoder, PCI_EXP_SLTCAP);

        fact(decoder, "SltCap: Slot #%u", sltcap >> 19);
        flags(decoder, "SltCap", sltcap, capabilities, ELEMENTSOF(capabilities));
        flags(decoder, "SltSta", word(decoder, PCI_EXP_SLTSTA), status, ELEMENTSOF(status));
}

static void decode_exp(Decoder *decoder)
{
        static const Flag device[] = {{PCI_EXP_DEVCAP_FLRESET, "FLReset"}, {PCI_EXP_DEVCAP_RBE, "RBE"}};
        static const Flag status[] = {{PCI_EXP_DEVSTA_CED, "CorrErr"},
                                      {PCI_EXP_DEVSTA_NFED, "NonFatalErr"},
                                      {PCI_EXP_DEVSTA_FED, "FatalErr"},
                                      {PCI_EXP_DEVSTA_URD, "UnsupReq"},
                                      {PCI_EXP_DEVSTA_TRPND, "TransPend"}};
        static const Flag device2[] = {{PCI_EXP_DEVCAP2_TIMEOUT_DIS, "TimeoutDis"},
                                       {PCI_EXP_DEVCAP2_ARI, "ARIFwd"},
                                       {PCI_EXP_DEVCAP2_FRS, "FRS"}};
        uint16_t express = word(decoder, PCI_EXP_FLAGS);
        unsigned type = (unsigned) (express & PCI_EXP_FLAGS_TYPE) >> PCI_EXP_FLAGS_TYPE_SHIFT;

        fact(decoder, "Express (v%d) %s, Slot%c", express & PCI_EXP_FLAGS_VERS, port_type(type),
             express & PCI_EXP_FLAGS_SLOT ? '+' : '-');
        flags(decoder, "DevCap", dword(decoder, PCI_EXP_DEVCAP), device, ELEMENTSOF(device));
        flags(decoder, "DevSta", word(decoder, PCI_EXP_DEVSTA), status, ELEMENTSOF(status));
        if (type != PCI_EXP_TYPE_ROOT_INT_EP && type != PCI_EXP_TYPE_ROOT_EC)
                decode_link(decoder);
        if (express & PCI_EXP_FLAGS_SLOT)
                decode_slot(decoder);
        if ((express & PCI_EXP_FLAGS_VERS) >= 2)
                flags(decoder, "DevCap2", dword(decoder, PCI_EXP_DEVCAP2), device2, ELEMENTSOF(device2));
}

static void decode_af(Decoder *decoder)
{
        static const Flag capabilities[] = {{PCI_AF_CAP_TP, "TP"}, {PCI_AF_CAP_FLR, "FLR"}};
        static const Flag status[] = {{PCI_AF_STATUS_TP, "TP"}};

        flags(decoder, "AFCap", word(decoder, PCI_AF_CAP), capabilities, ELEMENTSOF(capabilities));
        flags(decoder, "AFStatus", word(decoder, PCI_AF_STATUS), status, ELEMENTSOF(status));
}

static void decode_aer(Decoder *decoder)
{
        static const Flag uncorrectable[] = {
                {PCI_ERR_UNC_DLP, "DLP"},           {PCI_ERR_UNC_SDES, "SDES"},
                {PCI_ERR_UNC_POISON_TLP, "TLP"},    {PCI_ERR_UNC_FCP, "FCP"},
                {PCI_ERR_UNC_COMP_TIME, "CmpltTO"}, {PCI_ERR_UNC_COMP_ABORT, "CmpltAbrt"},
                {PCI_ERR_UNC_UNX_COMP, "UnxCmplt"}, {PCI_ERR_UNC_RX_OVER, "RxOF"},
                {PCI_ERR_UNC_MALF_TLP, "MalfTLP"},  {PCI_ERR_UNC_ECRC, "ECRC"},
                {PCI_ERR_UNC_UNSUP, "UnsupReq"},    {PCI_ERR_UNC_ACS_VIOL, "ACSViol"}};
        static const Flag correctable[] = {
                {PCI_ERR_COR_RCVR, "RxErr"},        {PCI_ERR_COR_BAD_TLP, "BadTLP"},
                {PCI_ERR_COR_BAD_DLLP, "BadDLLP"},  {PCI_ERR_COR_REP_ROLL, "Rollover"},
                {PCI_ERR_COR_REP_TIMER, "Timeout"}, {PCI_ERR_COR_REP_ANFE, "AdvNonFatalErr"}};

        flags(decoder, "UESta", dword(decoder, PCI_ERR_UNCOR_STATUS), uncorrectable,
              ELEMENTSOF(uncorrectable));
        flags(decoder, "UEMsk", dword(decoder, PCI_ERR_UNCOR_MASK), uncorrectable,
              ELEMENTSOF(uncorrectable));
        flags(decoder, "UESvrt", dword(decoder, PCI_ERR_UNCOR_SEVER), uncorrectable,
              ELEMENTSOF(uncorrectable));
        flags(decoder, "CESta", dword(decoder, PCI_ERR_COR_STATUS), correctable, ELEMENTSOF(correctable));
}

static void decode_acs(Decoder *decoder)
{
        static const Flag controls[] = {
                {PCI_ACS_CAP_VALID, "SrcValid"},      {PCI_ACS_CAP_BLOCK, "TransBlk"},
                {PCI_ACS_CAP_REQ_RED, "ReqRedir"},    {PCI_ACS_CAP_CMPLT_RED, "CmpltRedir"},
                {PCI_ACS_CAP_FORWARD, "UpstreamFwd"}, {PCI_ACS_CAP_EGRESS, "EgressCtrl"},
                {PCI_ACS_CAP_TRANS, "DirectTrans"}};

        flags(decoder, "ACSCap", word(decoder, PCI_ACS_CAP), controls, ELEMENTSOF(controls));
        flags(decoder, "ACSCtl", word(decoder, PCI_ACS_CTRL), controls, ELEMENTSOF(controls));
}

static void decode_sriov(Decoder *decoder)
{
        static const Flag controls[] = {{PCI_IOV_CTRL_VFE, "Enable"}, {PCI_IOV_CTRL_MSE, "MSE"}};

        flags(decoder, "IOVCtl", word(decoder, PCI_IOV_CTRL), controls, ELEMENTSOF(controls));
        fact(decoder, "Initial VFs: %u, Total VFs: %u, Number of VFs: %u", word(decoder, PCI_IOV_INITIALVF),
             word(decoder, PCI_IOV_TOTALVF), word(decoder, PCI_IOV_NUMVF));
        fact(decoder, "VF offset: %u, stride: %u, Device ID: %04x", word(decoder, PCI_IOV_OFFSET),
             word(decoder, PCI_IOV_STRIDE), word(decoder, PCI_IOV_DID));
}

static void decode_dsn(Decoder *decoder)
{
        char serial[24];

        if (decoder->serials && pci_config_serial(decoder->config, serial))
                fact(decoder, "%s", serial);
        else
                fact(decoder, "left out: see --with-serials");
}

static void decode_dvsec(Decoder *decoder)
{
        fact(decoder, "Vendor=%04x ID=%04x", word(decoder, 4), word(decoder, 8));
}

static const struct {
        uint16_t id;
        bool extended;
        const char *name;
        void (*decode)(Decoder *decoder); /* NULL: the name says it all */
} kinds[] = {
        {PCI_CAP_ID_PM, false, "Power Management", decode_pm},
        {PCI_CAP_ID_AGP, false, "AGP", NULL},
        {PCI_CAP_ID_VPD, false, "Vital Product Data", NULL},
        {PCI_CAP_ID_SLOTID, false, "Slot Identification", NULL},
        {PCI_CAP_ID_MSI, false, "MSI", NULL},
        {PCI_CAP_ID_CHSWP, false, "CompactPCI hot-swap", NULL},
        {PCI_CAP_ID_PCIX, false, "PCI-X", NULL},
        {PCI_CAP_ID_HT, false, "HyperTransport", NULL},
        {PCI_CAP_ID_VNDR, false, "Vendor Specific Information", NULL},
        {PCI_CAP_ID_DBG, false, "Debug port", NULL},
        {PCI_CAP_ID_HOTPLUG, false, "Hot-plug capable", NULL},
        {PCI_CAP_ID_SSVID, false, "Subsystem", NULL},
        {PCI_CAP_ID_EXP, false, "PCI Express", decode_exp},
        {PCI_CAP_ID_MSIX, false, "MSI-X", NULL},
        {PCI_CAP_ID_SATA, false, "SATA HBA", NULL},
        {PCI_CAP_ID_AF, false, "PCI Advanced Features", decode_af},
        {PCI_CAP_ID_EA, false, "Enhanced Allocation", NULL},
        {PCI_EXT_CAP_ID_AER, true, "Advanced Error Reporting", decode_aer},
        {PCI_EXT_CAP_ID_VC, true, "Virtual Channel", NULL},
        {PCI_EXT_CAP_ID_DSN, true, "Device Serial Number", decode_dsn},
        {PCI_EXT_CAP_ID_PB, true, "Power Budgeting", NULL},
        {PCI_EXT_CAP_ID_RCLINK, true, "Root Complex Link", NULL},
        {PCI_EXT_CAP_ID_VC2, true, "Virtual Channel", NULL},
        {PCI_EXT_CAP_ID_VNDR, true, "Vendor Specific Information", NULL},
        {PCI_EXT_CAP_ID_ACS, true, "Access Control Services", decode_acs},
        {PCI_EXT_CAP_ID_ARI, true, "Alternative Routing-ID Interpretation", NULL},
        {PCI_EXT_CAP_ID_ATS, true, "Address Translation Service", NULL},
        {PCI_EXT_CAP_ID_SRIOV, true, "Single Root I/O Virtualization", decode_sriov},
        {PCI_EXT_CAP_ID_MCAST, true, "Multicast", NULL},
        {PCI_EXT_CAP_ID_PRI, true, "Page Request Interface", NULL},
        {PCI_EXT_CAP_ID_REBAR, true, "Resizable BAR", NULL},
        {PCI_EXT_CAP_ID_TPH, true, "Transaction Processing Hints", NULL},
        {PCI_EXT_CAP_ID_LTR, true, "Latency Tolerance Reporting", NULL},
        {PCI_EXT_CAP_ID_SECPCI, true, "Secondary PCI Express", NULL},
        {PCI_EXT_CAP_ID_PASID, true, "Process Address Space ID", NULL},
        {PCI_EXT_CAP_ID_DPC, true, "Downstream Port Containment", NULL},
        {PCI_EXT_CAP_ID_L1PM, true, "L1 PM Substates", NULL},
        {PCI_EXT_CAP_ID_PTM, true, "Precision Time Measurement", NULL},
        {PCI_EXT_CAP_ID_FRS, true, "FRS Queueing", NULL},
        {PCI_EXT_CAP_ID_RTR, true, "Readiness Time Reporting", NULL},
        {PCI_EXT_CAP_ID_DVSEC, true, "Designated Vendor-Specific", decode_dvsec},
        {PCI_EXT_CAP_ID_VF_REBAR, true, "VF Resizable BAR", NULL},
        {PCI_EXT_CAP_ID_DLNK, true, "Data Link Feature", NULL},
        {PCI_EXT_CAP_ID_16GT, true, "Physical Layer 16.0 GT/s", NULL},
        {PCI_EXT_CAP_ID_LMR, true, "Lane Margining at the Receiver", NULL},
};

static json_object *decode(const PciConfig *config, const PciCapability *capability, bool serials)
{
        _cleanup_json_ json_object *document = json_object_new_object();
        Decoder decoder = {.config = config, .at = capability->offset, .serials = serials};
        const char *name = NULL;
        char text[48];

        decoder.facts = json_object_new_array();
        if (!document || json_add(document, "facts", decoder.facts) < 0)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                if (kinds[i].id != capability->id || kinds[i].extended != capability->extended)
                        continue;
                name = kinds[i].name;
                if (kinds[i].decode)
                        kinds[i].decode(&decoder);
        }
        if (!name)
                (void) snprintf(text, sizeof(text), "%scapability %04x",
                                capability->extended ? "extended " : "", capability->id);
        if (decoder.failed || json_add(document, "name", json_object_new_string(name ? name : text)) < 0)
                return NULL;
        (void) snprintf(text, sizeof(text), "%03x", capability->offset);
        return json_add(document, "offset", json_object_new_string(text)) < 0 ? NULL
                                                                              : steal_pointer(document);
}

json_object *pci_config_decode(const PciConfig *config, bool serials)
{
        _cleanup_json_ json_object *list = json_object_new_array();

        for (size_t i = 0; i < config->n_capabilities && list; i++)
                if (json_append(list, decode(config, &config->capabilities[i], serials)) < 0)
                        return NULL;
        return steal_pointer(list);
}
