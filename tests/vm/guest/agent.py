#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's hands inside the test machine.

Theory of operation: one process, started at boot and alive inside the saved
machine state, that speaks over a virtio-serial port. A message is two lengths,
a JSON header and a binary part; every request carries an id which its answers
repeat, so any number can be under way. Everything that may block (a child, a
read of a PCI attribute while a reset runs) has a thread of its own: one that
sleeps in the kernel for minutes holds up nobody else. Times are
CLOCK_MONOTONIC, taken here, so that the way to the host does not count.
"""

import json
import os
import stat
import struct
import subprocess
import sys
import threading
import time

PORT = "/dev/virtio-ports/bed.agent"
HEAD = struct.Struct(">II")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Channel:
    def __init__(self):
        self._fd = os.open(PORT, os.O_RDWR | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._buffer = bytearray()

    def send(self, header, blob=b""):
        head = json.dumps(header).encode()
        data = memoryview(HEAD.pack(len(head), len(blob)) + head + blob)
        with self._lock:
            while data:
                data = data[os.write(self._fd, data):]

    def receive(self):
        head_size, blob_size = HEAD.unpack(self._exactly(HEAD.size))
        header = json.loads(self._exactly(head_size))
        return header, self._exactly(blob_size)

    def _exactly(self, size):
        while len(self._buffer) < size:
            chunk = os.read(self._fd, 1 << 18)
            if not chunk:
                # Nobody is connected on the host's side, as after a restore:
                # whatever was half received will never be completed.
                self._buffer.clear()
                time.sleep(0.02)
                continue
            self._buffer += chunk
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


def user_ids(name):
    """uid, gid, home; the pwd module would also do, but must not be cached."""
    with open("/etc/passwd") as passwd:
        for line in passwd:
            fields = line.rstrip("\n").split(":")
            if fields[0] == name:
                return int(fields[2]), int(fields[3]), fields[5]
    raise KeyError(f"no user {name}")


class Child:
    def __init__(self, channel, number, request, blob):
        self.channel, self.number = channel, number
        uid, gid, home = user_ids(request.get("user", "root"))
        env = {"PATH": PATH, "HOME": home, "USER": request.get("user", "root"), "LANG": "C.UTF-8",
               "LOGNAME": request.get("user", "root"), "SHELL": "/bin/bash", "TERM": "dumb"}
        env.update(request.get("env", {}))
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            request["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=env, cwd=request.get("cwd", home), user=uid, group=gid, extra_groups=[],
            umask=0o022, start_new_session=True)
        channel.send({"id": number, "event": "started", "pid": self.process.pid, "time": self.started})
        self.readers = [self._thread(self._read, 1, self.process.stdout),
                        self._thread(self._read, 2, self.process.stderr)]
        self._thread(self._feed, blob)
        self._thread(self._wait)

    def _thread(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        thread.start()
        return thread

    def _feed(self, blob):
        try:
            with self.process.stdin as stdin:
                stdin.write(blob)
        except BrokenPipeError:
            pass

    def _read(self, fd, pipe):
        while chunk := os.read(pipe.fileno(), 1 << 16):
            self.channel.send({"id": self.number, "event": "output", "fd": fd}, chunk)

    def _wait(self):
        rc = self.process.wait()
        ended = time.monotonic()
        # A grandchild in the background may keep the pipes open for ever.
        for reader in self.readers:
            reader.join(0.3)
        self.channel.send({"id": self.number, "event": "exit", "rc": rc,
                           "start": self.started, "end": ended})


class Agent:
    def __init__(self):
        self.channel = Channel()
        self.children = {}

    def run(self):
        while True:
            request, blob = self.channel.receive()
            if request["op"] in ("start", "signal"):
                self.answer(request, blob)
            else:
                threading.Thread(target=self.answer, args=(request, blob), daemon=True).start()

    def answer(self, request, blob):
        try:
            reply = getattr(self, "op_" + request["op"])(request, blob)
            header, data = reply if isinstance(reply, tuple) else (reply, b"")
        except OSError as error:
            header, data = {"errno": error.errno or 5, "error": str(error)}, b""
        except Exception as error:
            header, data = {"errno": 22, "error": f"{type(error).__name__}: {error}"}, b""
        if header is not None:
            self.channel.send({"id": request["id"], "event": "reply", **header}, data)

    def op_ping(self, _request, _blob):
        return {"time": time.monotonic()}

    def op_settime(self, request, _blob):
        time.clock_settime(time.CLOCK_REALTIME, request["time"])
        return {}

    def op_start(self, request, blob):
        self.children[request["id"]] = Child(self.channel, request["id"], request, blob)

    def op_signal(self, request, _blob):
        process = self.children[request["child"]].process
        if request.get("group"):
            os.killpg(process.pid, request["signal"])
        else:
            process.send_signal(request["signal"])
        return {}

    def op_read(self, request, _blob):
        fd = os.open(request["path"], os.O_RDONLY | os.O_CLOEXEC)
        try:
            chunks = []
            while chunk := os.read(fd, 1 << 20):
                chunks.append(chunk)
        finally:
            os.close(fd)
        return {"time": time.monotonic()}, b"".join(chunks)

    def op_write(self, request, blob):
        flags = os.O_WRONLY | os.O_CLOEXEC
        if not request.get("existing"):
            flags |= os.O_CREAT | os.O_TRUNC
        start = time.monotonic()
        fd = os.open(request["path"], flags, request.get("mode", 0o644))
        try:
            if "offset" in request:
                os.lseek(fd, request["offset"], os.SEEK_SET)
            view = memoryview(blob)
            while view:
                view = view[os.write(fd, view):]
        finally:
            os.close(fd)
        return {"start": start, "end": time.monotonic()}

    def op_list(self, request, _blob):
        return {"names": sorted(os.listdir(request["path"]))}

    def op_readlink(self, request, _blob):
        return {"target": os.readlink(request["path"])}

    def op_stat(self, request, _blob):
        found = os.stat(request["path"], follow_symlinks=request.get("follow", True))
        return {"mode": stat.S_IMODE(found.st_mode), "kind": stat.filemode(found.st_mode)[0], "uid": found.st_uid,
                "gid": found.st_gid, "size": found.st_size, "inode": found.st_ino}


if __name__ == "__main__":
    sys.exit(Agent().run())
