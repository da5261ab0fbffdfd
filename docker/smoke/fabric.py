"""What the tests of groups share: a dpu with four leaves that speak BGP, and numbered packets of flows seen at each leaf.

                  ┌─ up1 ─ leaf1   AS 65001   BGP, IPv4 and IPv6: 10.0.0.0/8, fd00:10::/32, defaults
    host ── dpu ──┼─ up2 ─ leaf2   AS 65002
                  ├─ up3 ─ leaf3   AS 65003
                  └─ up4 ─ leaf4   AS 65004       the leaves forward nothing: what arrives is counted
"""
import contextlib
import json
import mmap
import os
import random
import socket
import struct
import subprocess
import time

from smoke import check, drops  # says where the lab is, too
from frames import UDP, ethernet, ip, udp
import frr
import lab as lab_of
from lab import BINARY, Failure, Lab, inside, run, wait_for
from traffic import Ring

LEAVES = {f"up{n}": f"leaf{n}" for n in range(1, 5)}
PORTS = tuple(LEAVES)
VIA4 = {f"up{n}": f"169.254.0.{2 * n - 1}" for n in range(1, 5)}
VIA6 = {f"up{n}": f"fe80::ff:fe00:{n + 1:x}02" for n in range(1, 5)}  # of the leaf's MAC address
SERVICE = {4: "10.0.0.0/8", 6: "fd00:10::/32"}
MACS = bytes.fromhex("020000000101020000000102")  # the dpu's host0, the host's
TAIL = struct.Struct("=4sII")  # what packets carry: for whom, flow, number
MAGIC = b"hold"
TURN = 64  # packets that a worker may have taken before it looks at the tables again


def describe():
    """Make the lab's description that of four leaves; before a Lab is made."""
    lab_of.NODES = ("host", "dpu", *LEAVES.values())
    lab_of.UPLINKS = PORTS
    links = [lab_of.LINKS[0]]
    neighbors = {}
    for n, (port, leaf) in enumerate(LEAVES.items()):
        near, far = (f"169.254.0.{2 * n + side}/31 fd00:254::{2 * n + side:x}/127" for side in (0, 1))
        links.append(("dpu", port, leaf, "dpu", near, far))
        near, far = ([each.split("/")[0] for each in text.split()] for text in (near, far))
        neighbors[port] = (*far, 65001 + n)
        frr.BGP[leaf] = (65001 + n, f"192.0.2.{n + 1}", {"dpu": (*near, 65100)}, ())
    lab_of.LINKS = tuple(links)
    frr.BGP["dpu"] = (65100, "10.244.1.1", neighbors, ())


class Fabric(Lab):
    """The lab, and what is asked of its evenpath."""

    def __init__(self, **more):
        describe()
        super().__init__(**more)
        for leaf in LEAVES.values():
            with inside(leaf):
                for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                    with open(f"/proc/sys/net/{path}", "w") as file:
                        file.write("0")

    def up(self, ports=PORTS):
        """Start everything, until the service prefixes have the next hops behind `ports`."""
        self.start_evenpath()
        self.start_frr(("dpu", *LEAVES.values()))
        for port in ports:
            self.announce(port, *SERVICE.values())
        self.wait_for_ports(ports)
        return self

    def announce(self, port, *prefixes, word=""):
        """The leaf at `port` announces prefixes, or with the word "no" takes them back."""
        number = frr.BGP[LEAVES[port]][0]
        lines = []
        for each in prefixes:
            family = "ipv6" if ":" in each else "ipv4"
            lines += [f"address-family {family} unicast", f"{word} network {each}".strip(), "exit-address-family"]
        self.vtysh(LEAVES[port], "configure terminal", f"router bgp {number}", *lines)

    def wait_for_ports(self, ports, prefixes=SERVICE.values(), seconds=40):
        """Until the next hops that forward for each prefix are those behind `ports`, no more and no less."""
        for prefix in prefixes:
            wait_for(f"{prefix} by {', '.join(sorted(ports))}", lambda: self.usable(prefix) == set(ports), seconds)

    def usable(self, prefix):
        """The ports of a route's next hops that are up."""
        return {each["port"] for each in self.nexthops(prefix) if each["state"] == "up"}

    def nexthops(self, prefix):
        """A route's next hops."""
        with contextlib.suppress(Failure):  # there is no such route
            for route in ask("show-route", {"prefix": prefix})["routes"]:
                if route["selected"]:
                    return route["nexthops"]
        return []

    def group(self, prefix):
        """The group by which a route forwards, with its buckets."""
        for route in ask("show-route", {"prefix": prefix})["routes"]:
            if route["selected"] and "group" in route:
                return ask("show-group", {"id": route["group"], "buckets": True})[0]
        raise Failure(f"{prefix}: no group forwards for it")

    def owners(self, prefix):
        """The port of each bucket of a route's group."""
        return [each.get("port") for each in self.group(prefix)["each"]]

    def shares(self, prefix):
        """{port: buckets that it has} of a route's group."""
        owners = self.owners(prefix)
        return {port: owners.count(port) for port in sorted(set(owners))}


def ask(request, of=None, path="/run/evenpath/api.sock"):
    """One question on the api socket at `path`."""
    question = {"request": request} if of is None else {"request": request, "of": of}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile("r") as answers:
            reply = json.loads(answers.readline())
    if "ok" not in reply:
        raise Failure(f"{request}: {reply}")
    return reply["ok"][request.removeprefix("show-")]


def evenpath(*words):
    """(exit code, output, error) of a command."""
    done = subprocess.run([BINARY, *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def done(*words):
    """The JSON answer of a command that must succeed."""
    return json.loads(run(BINARY, *words, "--json"))


def flows(count, seed=7):
    """[(family, frame)]: `count` UDP flows to the service prefixes, IPv4 and IPv6 in turns."""
    draw, made = random.Random(seed), []
    for number in range(count):
        family = 4 if number % 2 == 0 else 6
        near, far = ("10.244.1.{}", "10.0.{}.{}") if family == 4 else ("fd00:244:1::{}", "fd00:10::{}:{}")
        far = far.format(draw.randint(1, 250), draw.randint(1, 250))
        packet = ip(near.format(draw.randint(2, 250)), far, UDP,
                    udp(draw.randrange(1024, 60000), draw.randrange(1, 60000), TAIL.pack(MAGIC, number, 0)))
        made.append((family, ethernet(packet, MACS)))
    return made


class Stream:
    """Flows sent in turns by a process of their own, each as long as it is not paused; every packet is seen at its leaf.

    `live` says by its hash whether a flow begins at once.
    `seen[flow]` is [(number, port, time in ns)] in the order of their numbers for what left by one port.
    """

    def __init__(self, made, rate=3000, live=lambda hash: True):
        self.made, self.rate = made, rate
        with inside("host"):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.socket.bind(("eth0", 0))
        self.rings = {port: Ring(leaf, "dpu", frames=1 << 16) for port, leaf in LEAVES.items()}
        self.hashes = [int(self.trace(frame)["hash"], 16) for _, frame in made]
        self.shared = mmap.mmap(-1, 12 + len(made))  # sent, orders given, orders taken, who is not paused
        self.live = {flow for flow, hash in enumerate(self.hashes) if live(hash)}
        self.shared[12:] = bytes(flow in self.live for flow in range(len(made)))
        self.seen, self.arrived, self.repeated = [[] for _ in made], bytearray(), 0
        self.child = os.fork()
        if self.child == 0:
            os._exit(self._send())

    @staticmethod
    def trace(frame):
        """The way that a packet of the host takes."""
        return ask("trace", {"ingress": "host0", "packet": frame.hex()})

    def _send(self):
        heads = [frame[:-TAIL.size] for _, frame in self.made]
        number = turn = orders = 0
        live, begin, base = [], time.monotonic(), 0
        while True:
            given, = struct.unpack_from("=I", self.shared, 4)
            if given != orders or not live:
                orders = given
                live = [flow for flow in range(len(heads)) if self.shared[12 + flow]]
                struct.pack_into("=I", self.shared, 8, given)
                if not live:  # nobody: that was all
                    return 0
            due = base + int((time.monotonic() - begin) * self.rate)
            if due - number > 32:  # never a burst that a queue on the way might not hold
                begin, base = time.monotonic(), number
                due = number + 32
            while number < due:
                flow = live[turn % len(live)]
                self.socket.send(heads[flow] + TAIL.pack(MAGIC, flow, number))
                number, turn = number + 1, turn + 1
                struct.pack_into("=I", self.shared, 0, number)
            time.sleep(0.002)

    @property
    def sent(self):
        return struct.unpack_from("=I", self.shared)[0]

    def only(self, wanted):
        """From now on packets of these flows alone are sent; returns the number of the first."""
        self.live = set(wanted)
        self.shared[12:] = bytes(flow in self.live for flow in range(len(self.made)))
        order = struct.unpack_from("=I", self.shared, 4)[0] + 1
        struct.pack_into("=I", self.shared, 4, order)
        wait_for("the sender", lambda: struct.unpack_from("=I", self.shared, 8)[0] == order, every=0.002)
        return self.sent

    def read(self):
        """Take in what has arrived."""
        for port, ring in self.rings.items():
            for outgoing, when, frame in ring.read():
                magic, flow, number = TAIL.unpack_from(frame, len(frame) - TAIL.size)
                if outgoing or magic != MAGIC:
                    continue
                if number >= len(self.arrived):
                    self.arrived.extend(bytes(number + 4096 - len(self.arrived)))
                self.repeated += self.arrived[number]
                self.arrived[number] = 1
                self.seen[flow].append((number, port, when))

    def missing(self, first, last):
        """How many packets of these numbers have not arrived, waited for."""
        end = time.monotonic() + 2
        while True:
            self.read()
            count = self.arrived[first:last].count(0) + max(0, last - max(first, len(self.arrived)))
            if count == 0 or time.monotonic() > end:
                return count
            time.sleep(0.01)

    def whole(self, what, first, last, doubled=True):
        """Check that each packet of these numbers arrived, and none twice; if not, who dropped so far."""
        lost = self.missing(first, last)
        passed = check(f"{what}: nothing lost" + " or doubled" * doubled, lost == 0 and not (doubled and self.repeated),
                       f"{last - first} packets, {lost} lost, {self.repeated} doubled")
        if not passed:
            gone = [number for number in range(first, min(last, len(self.arrived))) if not self.arrived[number]]
            print(f"# {what}: not seen: {gone[:40]}; dropped since the start: {drops()}", flush=True)

    def settle(self):
        """(first number, {flow: port}) by a packet of each flow that is sent, all sent from now on."""
        first = self.sent + TURN

        def ways():
            self.read()
            found = {}
            for flow in self.live:
                if not self.seen[flow] or self.seen[flow][-1][0] < first:
                    return None
                found[flow] = next(port for number, port, _ in self.seen[flow] if number >= first)
            return found

        return first, wait_for(f"a packet of each flow from number {first} on", ways, every=0.01)

    def ways(self, first, last=1 << 32):
        """{flow: ports that its packets of these numbers left by, in their order, runs counted once}."""
        self.read()
        found = {}
        for flow, packets in enumerate(self.seen):
            way = found.setdefault(flow, [])
            for _, port, _ in sorted(each for each in packets if first <= each[0] < last):
                if not way or way[-1] != port:
                    way.append(port)
        return {flow: way for flow, way in found.items() if way}

    def bucket(self, flow, size):
        """The flow's bucket in a table of `size`: the low bits of its hash."""
        return self.hashes[flow] & (size - 1)

    def of(self, family):
        """The flows of a family."""
        return [flow for flow, (its, _) in enumerate(self.made) if its == family]

    def astray(self, fabric, ways):
        """Flows that did not leave by the port that has their bucket, as `show group` has it."""
        owners = {family: fabric.owners(prefix) for family, prefix in SERVICE.items()}
        has = {flow: owners[self.made[flow][0]] for flow in ways}
        return {flow: port for flow, port in ways.items() if has[flow][self.bucket(flow, len(has[flow]))] != port}

    def hasty(self, first, timer_s):
        """Buckets that changed hands from packet `first` on though they had forwarded within `timer_s`: (family, bucket, gap)."""
        found = []
        for family in SERVICE:
            by_bucket = {}
            for flow in self.of(family):
                by_bucket.setdefault(self.bucket(flow, 64), []).extend(self.seen[flow])
            for bucket, packets in by_bucket.items():
                packets.sort(key=lambda each: each[2])
                for before, after in zip(packets, packets[1:]):
                    gap = (after[2] - before[2]) / 1e9
                    if after[0] >= first and after[1] != before[1] and gap < timer_s:
                        found.append((family, bucket, gap))
        return found

    def stop(self):
        """End it; the number of packets sent."""
        self.only(())
        os.waitpid(self.child, 0)
        self.read()
        self.socket.close()
        return self.sent

    def close(self):
        for ring in self.rings.values():
            ring.close()
