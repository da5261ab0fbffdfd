"""Numbered UDP packets through the lab, and an account of each: which flow, which way, through which leaf, arrived or lost.

A flow is a pair of ports; packets carry direction, number and the time they were sent. Nothing is sampled: every frame that
passes the host and the server is recorded by the kernel in a ring that is read afterwards, so measuring costs no time.
"""

import ctypes
import mmap
import os
import signal
import socket
import struct
import time

from lab import HOST, SERVER, Failure, inside, wait_for

MAGIC = b"evenpath"
PAYLOAD = struct.Struct("=8sBxxxIQ")  # magic, direction, number, CLOCK_REALTIME nanoseconds
OUT, BACK = 0, 1  # host to server, server to host
SOURCE, DESTINATION = 20000, 30000  # first ports
VIA = {"eth1": "leaf1", "eth2": "leaf2"}

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V2 = 263, 5, 6, 10, 1
PACKET_OUTGOING = 4
FRAME, BLOCK = 256, 1 << 20


class Ring:
    """All frames of one device, in and out, written by the kernel into shared memory as they pass."""

    HEADER = struct.Struct("=IIIHHII")  # status, length, captured, offset of the frame, of the network header, s, ns

    def __init__(self, node, device, frames=1 << 18, size=FRAME):
        self.size = size  # of what is kept of a frame, with a header of 80 bytes
        blocks = frames * size // BLOCK
        with inside(node):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
            self.socket.setsockopt(SOL_PACKET, PACKET_RX_RING, struct.pack("=IIII", BLOCK, blocks, size, frames))
            self.memory = mmap.mmap(self.socket.fileno(), blocks * BLOCK)
            self.socket.bind((device, 0x0003))  # all protocols
        self.frames, self.next = frames, 0

    def read(self):
        """Yield (outgoing, time in ns, frame bytes) of what has passed since the last call."""
        while True:
            at = self.next * self.size
            status, _, captured, mac, _, seconds, nanoseconds = self.HEADER.unpack_from(self.memory, at)
            if not status & 1:  # still the kernel's
                break
            # the link-layer address stands after the header: family, protocol, ifindex, hardware type, packet type
            outgoing = self.memory[at + 32 + 10] == PACKET_OUTGOING
            yield outgoing, seconds * 10**9 + nanoseconds, self.memory[at + mac:at + mac + captured]
            struct.pack_into("=I", self.memory, at, 0)
            self.next = (self.next + 1) % self.frames
        _, missed = struct.unpack("=II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if missed:
            raise Failure(f"the measuring ring overflowed: {missed} frames unseen")

    def close(self):
        """Stop recording."""
        self.memory.close()
        self.socket.close()


class Account:
    """What became of the packets of one direction. Numbers count from 0; flow = number % flows."""

    def __init__(self, flows, sent):
        self.flows, self.sent = flows, sent
        self.arrived = {}  # number -> (leaf or None, sent ns, arrived ns)
        self.repeated = 0

    def lost(self, since=0):
        """Numbers of the packets from `since` on that never arrived."""
        return [n for n in range(since, self.sent) if n not in self.arrived]

    def leaves(self, first=0, last=None):
        """flow -> set of leaves that its packets number `first` to `last` took."""
        taken = {}
        for number, (leaf, _, _) in self.arrived.items():
            if number >= first and (last is None or number < last):
                taken.setdefault(number % self.flows, set()).add(leaf)
        return taken

    def ways(self):
        """flow -> the leaves that it took, one after another, a run of packets through the same leaf counted once."""
        ways = {}
        for number in sorted(self.arrived):
            way = ways.setdefault(number % self.flows, [])
            leaf = self.arrived[number][0]
            if not way or way[-1] != leaf:
                way.append(leaf)
        return ways

    def number_at(self, time_ns):
        """The number of the first packet that was sent at or after `time_ns`."""
        later = [n for n, (_, sent, _) in self.arrived.items() if sent >= time_ns]
        return min(later) if later else self.sent

    def outage_ms(self, before=None):
        """Milliseconds between the last packet sent ahead of the first lost one and the first sent behind the last lost one
        (of those with numbers below `before`), all of which arrived; 0 if none was lost."""
        lost = [n for n in self.lost() if before is None or n < before]
        if not lost:
            return 0.0
        ahead = max((n for n in self.arrived if n < lost[0]), default=None)
        behind = min((n for n in self.arrived if n > lost[-1]), default=None)
        if ahead is None or behind is None:
            raise Failure("traffic never came" + (" back" if behind is None else ""))
        return (self.arrived[behind][1] - self.arrived[ahead][1]) / 1e6


class Traffic:
    """A steady stream of `flows` flows in both directions, from `start` to `stop`."""

    def __init__(self, family=4, flows=1000, rate=2000, frames=1 << 18):
        self.family, self.flows, self.rate = family, flows, rate
        # a rectangle of ports: 25 on one side, the rest on the other
        self.width = 25 if flows % 25 == 0 else 1
        self.rings = {device: Ring("server", device, frames) for device in VIA}
        self.rings["host"] = Ring("host", "eth0", frames)
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        with inside("host"):
            self.near = [self._socket(kind, HOST[family], SOURCE + i) for i in range(flows // self.width)]
        with inside("server"):
            self.far = [self._socket(kind, SERVER[family], DESTINATION + i) for i in range(self.width)]
        self.child = None
        self.shared = mmap.mmap(-1, 4)  # how many numbers have been sent

    @staticmethod
    def _socket(kind, address, port):
        endpoint = socket.socket(kind, socket.SOCK_DGRAM)
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # nobody reads: what arrives is counted by the rings
        endpoint.setblocking(False)
        endpoint.bind((address, port))
        return endpoint

    def start(self):
        """Begin sending, in a process of its own; returns when each flow has had a packet."""
        for ring in self.rings.values():
            for _ in ring.read():
                pass
        self.result, write = os.pipe()
        struct.pack_into("=I", self.shared, 0, 0)
        self.child = os.fork()
        if self.child == 0:
            os.close(self.result)
            os._exit(self._send(write))
        os.close(write)
        return self.rounds(1)

    def rounds(self, count):
        """Until each flow has had so many packets from now on, however slow a busy machine makes the sender."""
        number = lambda: struct.unpack_from("=I", self.shared)[0]
        end = number() + count * self.flows
        wait_for(f"{count} packets of each of {self.flows} flows", lambda: number() >= end, every=0.002)
        return self

    def _send(self, write):
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        out = [(self.near[f // self.width].sendto, (SERVER[self.family], DESTINATION + f % self.width))
               for f in range(self.flows)]
        back = [(self.far[f % self.width].sendto, (HOST[self.family], SOURCE + f // self.width)) for f in range(self.flows)]
        number, begin = 0, time.monotonic()
        while not stop:
            due = int((time.monotonic() - begin) * self.rate)
            if due - number > self.rate // 10:  # the machine was busy elsewhere: no bursts to make up for it
                begin = time.monotonic() - (number + 1) / self.rate
                due = number + 1
            while number < due:
                for direction, ways in ((OUT, out), (BACK, back)):
                    send, to = ways[number % self.flows]
                    try:
                        send(PAYLOAD.pack(MAGIC, direction, number, time.time_ns()), to)
                    except OSError:
                        pass  # no route at the moment: the packet counts as lost
                number += 1
            struct.pack_into("=I", self.shared, 0, number)
            time.sleep(0.0005)
        os.write(write, struct.pack("=I", number))
        return 0

    def stop(self):
        """One packet more of each flow, then the end; wait for what is on its way, and return the accounts
        {OUT: Account, BACK: Account}."""
        self.rounds(1)
        os.kill(self.child, signal.SIGTERM)
        sent, = struct.unpack("=I", os.read(self.result, 4))
        os.waitpid(self.child, 0)
        os.close(self.result)
        time.sleep(0.2)
        accounts = {OUT: Account(self.flows, sent), BACK: Account(self.flows, sent)}
        left = {}  # number of a returning packet -> leaf that it was handed to
        for device in VIA:
            for outgoing, when, direction, number, at in self._packets(device):
                if direction == OUT and not outgoing:
                    self._arrive(accounts[OUT], number, VIA[device], at, when)
                elif direction == BACK and outgoing:
                    left[number] = VIA[device]
        for outgoing, when, direction, number, at in self._packets("host"):
            if direction == BACK and not outgoing:
                self._arrive(accounts[BACK], number, left.get(number), at, when)
        return accounts

    @staticmethod
    def _arrive(account, number, leaf, sent, when):
        if number in account.arrived:
            account.repeated += 1
        account.arrived[number] = (leaf, sent, when)

    def _packets(self, ring):
        offset = 14 + 8 + (20 if self.family == 4 else 40)
        for outgoing, when, frame in self.rings[ring].read():
            if frame[offset:offset + 8] == MAGIC:
                _, direction, number, at = PAYLOAD.unpack_from(frame, offset)
                yield outgoing, when, direction, number, at

    def run(self, seconds):
        """Send for a while; returns the accounts."""
        self.start()
        time.sleep(seconds)
        return self.stop()

    def close(self):
        """Free sockets and rings."""
        for ring in self.rings.values():
            ring.close()
        for endpoint in self.near + self.far:
            endpoint.close()


def spread(account, first=0, last=None):
    """{leaf: flows that took only it}, with "both" and "none" for the others."""
    taken = account.leaves(first, last)
    counts = {"leaf1": 0, "leaf2": 0, "both": 0, "none": account.flows - len(taken)}
    for leaves in taken.values():
        counts[next(iter(leaves)) or "none" if len(leaves) == 1 else "both"] += 1
    return counts
