/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shared/holder.h"

static const char *const kind_names[] = {
        [HOLDER_ROOT] = "root",       [HOLDER_MOUNT] = "mount",         [HOLDER_SWAP] = "swap",
        [HOLDER_BLOCK] = "block",     [HOLDER_NETWORK] = "network",     [HOLDER_GUEST] = "guest",
        [HOLDER_PROCESS] = "process", [HOLDER_INTERFACE] = "interface", [HOLDER_HIDDEN] = "hidden",
        [HOLDER_VFIO] = "vfio",
};

_Static_assert(ELEMENTSOF(kind_names) == HOLDER_KINDS, "each kind has a name");

const char *holder_kind_to_string(HolderKind kind)
{
        return kind_names[kind];
}

bool holder_kind_is_hard(HolderKind kind)
{
        return kind <= HOLDER_GUEST;
}

int holder_write(const Holder *holder, json_object **ret)
{
        _cleanup_json_writer_ JsonWriter writer = json_writer_begin();
        char address[PCI_ADDRESS_STRING_MAX];

        json_write_text(&writer, "device", pci_address_format(&holder->device, address));
        json_write_text(&writer, "kind", holder_kind_to_string(holder->kind));
        json_write_unsigned(&writer, "pid", holder->pid);
        json_write_unsigned(&writer, "uid", holder->uid);
        json_write_text(&writer, "command", holder->command);
        json_write_text(&writer, "unit", holder->unit);
        json_write_text(&writer, "what", holder->what);
        json_write_boolean(&writer, "silent", holder->silent);
        json_write_boolean(&writer, "truncated", holder->truncated);

        return json_writer_finish(&writer, ret);
}

int holder_read(json_object *object, Holder *ret)
{
        JsonReader reader = json_reader_begin(object);

        *ret = (Holder){};
        if (pci_address_parse(json_read_text(&reader, "device", PCI_ADDRESS_STRING_MAX), &ret->device) < 0)
                json_reader_fail(&reader, "device");
        ret->kind = (HolderKind) json_read_choice(&reader, "kind", kind_names, ELEMENTSOF(kind_names));
        ret->pid = (uint32_t) json_read_unsigned(&reader, "pid", 0, INT32_MAX);
        ret->uid = (uint32_t) json_read_unsigned(&reader, "uid", 0, UINT32_MAX);
        json_read_text_to(&reader, "command", ret->command, sizeof(ret->command));
        json_read_text_to(&reader, "unit", ret->unit, sizeof(ret->unit));
        json_read_text_to(&reader, "what", ret->what, sizeof(ret->what));
        ret->silent = json_read_boolean(&reader, "silent");
        ret->truncated = json_read_boolean(&reader, "truncated");

        return json_reader_finish(&reader);
}
