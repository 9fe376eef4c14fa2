/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A reset method whose duration a test chooses while the machine runs.
 *
 * The two ports named here, and the functions below them, get an ACPI node
 * with _RST. It takes what the scratch register of the second serial port
 * says: 0 nothing, N a tenth of a second N times, 0xff fails. That register
 * does nothing else, keeps its value, and a guest can write it through
 * /dev/port. It is read once, at the beginning.
 *
 * The methods are NotSerialized and share no named object but the register,
 * so that two of them can sleep at the same time.
 *
 * A newer QEMU has nodes for these functions already, named after slot and
 * function, and a device may have only one: ADD_TO_NODES adds to those.
 */
DefinitionBlock ("", "SSDT", 2, "PCIRST", "SLOWRST", 1)
{
    External (\_SB.PCI0, DeviceObj)
#ifdef ADD_TO_NODES
    External (\_SB.PCI0.S29.S00, DeviceObj)
    External (\_SB.PCI0.S29.S01, DeviceObj)
    External (\_SB.PCI0.S2A.S00, DeviceObj)
#endif

    Scope (\_SB.PCI0)
    {
        OperationRegion (SCRR, SystemIO, 0x2FF, 1)
        Field (SCRR, ByteAcc, NoLock, Preserve)
        {
            SCRB, 8
        }

        Method (SLOW, 0, NotSerialized)
        {
            Local0 = SCRB
            If (Local0 == 0xFF)
            {
                /* The interpreter aborts the method: _RST failed. */
                Divide (One, Zero, Local1)
            }
            /* One Sleep is capped at two seconds. */
            While (Local0 > 0)
            {
                Sleep (100)
                Local0--
            }
        }

#ifdef ADD_TO_NODES
        Scope (S29.S00) { Method (_RST, 0, NotSerialized) { SLOW () } }
        Scope (S29.S01) { Method (_RST, 0, NotSerialized) { SLOW () } }
        Scope (S2A.S00) { Method (_RST, 0, NotSerialized) { SLOW () } }
#else
        /* Port 00:05.1, a card with two functions. */
        Device (RSL1)
        {
            Name (_ADR, 0x00050001)
            Device (FUN0)
            {
                Name (_ADR, 0x00000000)
                Method (_RST, 0, NotSerialized) { SLOW () }
            }
            Device (FUN1)
            {
                Name (_ADR, 0x00000001)
                Method (_RST, 0, NotSerialized) { SLOW () }
            }
        }

        /* Port 00:05.2, a card with one function. */
        Device (RSL2)
        {
            Name (_ADR, 0x00050002)
            Device (FUN0)
            {
                Name (_ADR, 0x00000000)
                Method (_RST, 0, NotSerialized) { SLOW () }
            }
        }
#endif
    }
}
