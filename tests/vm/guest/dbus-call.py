#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes one D-Bus call and prints what came back, the error's name included.

usage: bed-dbus PATH INTERFACE MEMBER SIGNATURE ARGUMENTS [--no-reply] [--hold SECONDS] [--timeout SECONDS]

ARGUMENTS is a JSON array; a variant is written [signature, value]. Output is
one JSON object: {"reply": [...]} or {"error": name, "body": [...]}. A file
descriptor in the reply is shown as {"fd": number} and kept open for --hold.
"""

import argparse
import json
import sys
import time

import dbus
import dbus.lowlevel

BASIC = {"b": dbus.Boolean, "y": dbus.Byte, "n": dbus.Int16, "q": dbus.UInt16, "i": dbus.Int32,
         "u": dbus.UInt32, "x": dbus.Int64, "t": dbus.UInt64, "d": dbus.Double, "s": dbus.String,
         "o": dbus.ObjectPath, "g": dbus.Signature}
held = []


def encode(signature, value, level=0):
    first = signature[0]
    if first == "v":
        return encode(value[0], value[1], level + 1)
    if first == "h":
        return dbus.types.UnixFd(value, variant_level=level)
    if first in BASIC:
        return BASIC[first](value, variant_level=level)
    if signature.startswith("a{"):
        key, element = signature[2], signature[3:-1]
        pairs = {encode(key, k): encode(element, v) for k, v in value.items()}
        return dbus.Dictionary(pairs, signature=signature[2:-1], variant_level=level)
    if first == "a":
        return dbus.Array([encode(signature[1:], v) for v in value], signature=signature[1:], variant_level=level)
    parts = list(dbus.Signature(signature[1:-1]))
    return dbus.Struct([encode(str(p), v) for p, v in zip(parts, value)], variant_level=level)


def decode(value):
    if isinstance(value, dbus.types.UnixFd):
        held.append(value.take())
        return {"fd": held[-1]}
    if isinstance(value, dbus.Boolean):
        return bool(value)
    if isinstance(value, dict):
        return {str(k): decode(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [decode(v) for v in value]
    if isinstance(value, str):
        return str(value)
    return float(value) if isinstance(value, float) else int(value)


def main():
    parser = argparse.ArgumentParser()
    for name in ("path", "interface", "member", "signature", "arguments"):
        parser.add_argument(name)
    parser.add_argument("--destination", default="org.pciresetd1")
    parser.add_argument("--no-reply", action="store_true")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("--hold", type=float, default=0)
    args = parser.parse_args()

    bus = dbus.SystemBus()
    message = dbus.lowlevel.MethodCallMessage(args.destination, args.path, args.interface, args.member)
    values = json.loads(args.arguments)
    parts = [str(part) for part in dbus.Signature(args.signature)]
    message.append(*[encode(p, v) for p, v in zip(parts, values)], signature=args.signature)
    if args.no_reply:
        message.set_no_reply(True)
        bus.send_message(message)
        bus.flush()
        result, code = {"reply": None}, 0
    else:
        try:
            reply = bus.send_message_with_reply_and_block(message, args.timeout)
            result, code = {"reply": decode(reply.get_args_list())}, 0
        except dbus.DBusException as error:
            result, code = {"error": error.get_dbus_name(), "body": decode(list(error.args))}, 1
    print(json.dumps(result), flush=True)
    time.sleep(args.hold)
    return code


if __name__ == "__main__":
    sys.exit(main())
