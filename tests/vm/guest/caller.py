#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One D-Bus client that stays, driven line by line: see harness/caller.py.

usage: caller.py FIFO

Theory of operation: the protocol is spoken here byte for byte, so that a call
can carry any flag, any type and any mistake, many calls can be under way on
one connection in a known order, and a call costs milliseconds. Each line of
the FIFO is one JSON request {"n", "path", "interface", "member", "signature",
"arguments", "flags", "repeat"}; each line of output is a reply, an error or a
signal, with CLOCK_MONOTONIC times. A variant is written [signature, value].

A file descriptor in a request is written as the path of a file, which is opened
and stays open, or as {"fd": N} for one that came in a reply, where it is shown
the same way. {"n", "close": N} closes one; {"n", "vfio": GROUP, "device": ADDRESS}
makes this process a VFIO user of the device.
"""

import array
import ctypes
import json
import os
import select
import socket
import struct
import sys
import time

CALL, REPLY, ERROR, SIGNAL = 1, 2, 3, 4
BASIC = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
ALIGN = {"y": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8, "g": 1, "v": 1}
FIELDS = {1: "path", 2: "interface", 3: "member", 4: "error", 5: "serial", 6: "destination", 7: "sender", 8: "signature",
          9: "fds"}


def first_type(signature):
    """Cut one complete type off."""
    if signature[0] == "a":
        return "a" + first_type(signature[1:])
    if signature[0] not in "({":
        return signature[0]
    depth = 0
    for index, char in enumerate(signature):
        depth += (char in "({") - (char in ")}")
        if depth == 0:
            return signature[:index + 1]
    raise ValueError(signature)


def types(signature):
    while signature:
        one = first_type(signature)
        yield one
        signature = signature[len(one):]


class Descriptors:
    """What this process has opened or been given, by path or number."""

    def __init__(self):
        self.by_path = {}
        self.has_iommu = False

    def get(self, value):
        if isinstance(value, dict):
            return value["fd"]
        if value not in self.by_path:
            mode = os.O_RDWR if os.access(value, os.W_OK) else os.O_RDONLY
            self.by_path[value] = os.open(value, mode | os.O_CLOEXEC | os.O_NONBLOCK)
        return self.by_path[value]

    def use_vfio(self, group, device):
        """As a hypervisor does it (linux/vfio.h): container, IOMMU, and the device's descriptor. All groups are in one
        container, whose IOMMU is chosen once it has the first."""
        ioctl = ctypes.CDLL(None, use_errno=True).ioctl
        container, opened = self.get("/dev/vfio/vfio"), self.get(group)
        for fd, request, argument in (
                (opened, 0x3B68, ctypes.byref(ctypes.c_int(container))),  # VFIO_GROUP_SET_CONTAINER
                (container, 0x3B66, ctypes.c_ulong(1)),  # VFIO_SET_IOMMU: VFIO_TYPE1_IOMMU
                (opened, 0x3B6A, ctypes.c_char_p(device.encode()))):  # VFIO_GROUP_GET_DEVICE_FD
            if fd == container and self.has_iommu:
                continue
            result = ioctl(fd, ctypes.c_ulong(request), argument)
            if result < 0:
                raise OSError(ctypes.get_errno(), f"ioctl {request:#x} of {group} for {device}")
            self.has_iommu |= fd == container
        return result


DESCRIPTORS = Descriptors()


class Writer:
    def __init__(self):
        self.data = bytearray()
        self.fds = []

    def align(self, size):
        self.data += b"\0" * (-len(self.data) % size)

    def put(self, kind, value):
        first = kind[0]
        self.align(ALIGN.get(first, 4))
        if first == "h":
            self.data += struct.pack("<I", len(self.fds))
            self.fds.append(DESCRIPTORS.get(value))
        elif first in BASIC:
            self.data += struct.pack("<" + BASIC[first], value)
        elif first in "so":
            text = value.encode()
            self.data += struct.pack("<I", len(text)) + text + b"\0"
        elif first == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif first == "v":
            self.put("g", value[0])
            self.put(value[0], value[1])
        elif first == "a":
            self._array(kind[1:], value)
        else:
            for one, part in zip(types(kind[1:-1]), value):
                self.put(one, part)

    def _array(self, kind, value):
        start = len(self.data)
        self.data += b"\0\0\0\0"
        self.align(ALIGN.get(kind[0], 4))
        begin = len(self.data)
        for part in value.items() if isinstance(value, dict) else value:
            self.put(kind, part)
        struct.pack_into("<I", self.data, start, len(self.data) - begin)


class Reader:
    def __init__(self, data, order, fds=()):
        self.data, self.order, self.at, self.fds = data, order, 0, fds

    def get(self, kind):
        first = kind[0]
        self.at += -self.at % ALIGN.get(first, 4)
        if first in BASIC:
            value = self._unpack(BASIC[first])
            if first == "h":
                return {"fd": self.fds[value]}
            return bool(value) if first == "b" else value
        if first in "sog":
            size = self._unpack("B" if first == "g" else "I")
            self.at += size + 1
            return self.data[self.at - size - 1:self.at - 1].decode()
        if first == "v":
            return self.get(self.get("g"))
        if first == "a":
            return self._array(kind[1:])
        return [self.get(one) for one in types(kind[1:-1])]

    def _unpack(self, code):
        value, = struct.unpack_from(self.order + code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def _array(self, kind):
        size = self._unpack("I")
        self.at += -self.at % ALIGN.get(kind[0], 4)
        end, values = self.at + size, []
        while self.at < end:
            values.append(self.get(kind))
        return dict(values) if kind[0] == "{" else values


class Bus:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("/run/dbus/system_bus_socket")
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        self._line(b"OK")
        self.socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        self._line(b"AGREE_UNIX_FD")
        self.socket.sendall(b"BEGIN\r\n")
        self.serial, self.pending, self.buffer, self.fds = 0, {}, b"", []
        hello = {"n": 0, "path": "/org/freedesktop/DBus", "interface": "org.freedesktop.DBus", "member": "Hello",
                 "destination": "org.freedesktop.DBus"}
        self.call(hello)

    def _line(self, expected):
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.socket.recv(1)
        if not line.startswith(expected):
            raise RuntimeError(f"the bus said {line!r}")

    def call(self, request):
        body = Writer()
        signature = request.get("signature", "")
        for one, value in zip(types(signature), request.get("arguments", [])):
            body.put(one, value)
        fields = [[1, ["o", request["path"]]], [3, ["s", request["member"]]],
                  [6, ["s", request.get("destination", "org.pciresetd1")]]]
        if request.get("interface"):
            fields.append([2, ["s", request["interface"]]])
        if signature:
            fields.append([8, ["g", signature]])
        if body.fds:
            fields.append([9, ["u", len(body.fds)]])
        data = b""
        for _ in range(request.get("repeat", 1)):
            self.serial += 1
            self.pending[self.serial] = (request["n"], time.monotonic())
            head = Writer()
            head.data += struct.pack("<cBBBII", b"l", CALL, request.get("flags", 0), 1, len(body.data), self.serial)
            head.put("a(yv)", fields)
            head.align(8)
            data += head.data + body.data
        if body.fds:
            sent = self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", body.fds))])
            data = data[sent:]
        self.socket.sendall(data)
        if request.get("flags", 0) & 1:
            say(sent=time.monotonic(), n=request["n"])

    def receive(self):
        data, control, _, _ = self.socket.recvmsg(1 << 16, socket.CMSG_SPACE(16 * 4), socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self.fds += array.array("i", content[:len(content) // 4 * 4])
        if not data:
            say(gone=time.monotonic())
            sys.exit(1)
        self.buffer += data
        while len(self.buffer) >= 16:
            order = "<" if self.buffer[:1] == b"l" else ">"
            size, _, fields = struct.unpack_from(order + "III", self.buffer, 4)
            head = 16 + fields + (-fields % 8)
            if len(self.buffer) < head + size:
                return
            self._message(self.buffer[:head], self.buffer[head:head + size], order)
            self.buffer = self.buffer[head + size:]

    def _message(self, head, body, order):
        reader = Reader(head, order)
        reader.at = 12
        fields = {FIELDS.get(code, code): value for code, value in reader.get("a(yv)")}
        count = fields.get("fds", 0)
        content, self.fds = Reader(body, order, self.fds[:count]), self.fds[count:]
        arguments = [content.get(one) for one in types(fields.get("signature", ""))]
        if head[1] == SIGNAL:
            say(signal=fields["member"], path=fields["path"], interface=fields["interface"], arguments=arguments,
                time=time.monotonic())
            return
        number, sent = self.pending.get(fields.get("serial"), (None, 0))
        if number is not None:
            outcome = {"error": fields["error"], "body": arguments} if head[1] == ERROR else {"reply": arguments}
            say(sent=sent, done=time.monotonic(), **outcome, n=number)


def say(**what):
    print(json.dumps(what), flush=True)


def serve(bus, request):
    if "close" in request:
        os.close(request["close"])
        say(reply=[], sent=time.monotonic(), n=request["n"])
    elif "vfio" in request:
        fd = DESCRIPTORS.use_vfio(request["vfio"], request["device"])
        say(reply=[{"fd": fd}], sent=time.monotonic(), n=request["n"])
    else:
        bus.call(request)


def main():
    fifo = os.open(sys.argv[1], os.O_RDWR)
    bus, lines = Bus(), b""
    while True:
        ready, _, _ = select.select([fifo, bus.socket], [], [])
        if bus.socket in ready:
            bus.receive()
        if fifo in ready:
            *complete, lines = (lines + os.read(fifo, 1 << 16)).split(b"\n")
            for line in complete:
                serve(bus, json.loads(line))


if __name__ == "__main__":
    main()
