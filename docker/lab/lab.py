"""The lab of demo and smoke tests: five network namespaces around one evenpath.

              host     10.244.1.10       fd00:244:1::10
               │
        host0  │       10.244.1.1/24     fd00:244:1::1/64      Pod CIDR
              dpu      AS 65100: FRR, and evenpath instead of the kernel's forwarding
         up1 ┌─┴─┐ up2
             │   │     169.254.0.0/31    fd00:254::/127        up1 – leaf1 (dpu .0, leaf .1)
             │   │     169.254.0.2/31    fd00:254::2/127       up2 – leaf2 (dpu .2, leaf .3)
         leaf1   leaf2 AS 65001, 65002: FRR, kernel forwarding
             │   │     192.0.2.0/31, .2/31    fd00:192::/127, ::2/127
        eth1 └─┬─┘ eth2
             server    10.0.0.10         fd00:10::10           AS 65200: FRR; announces 10.0.0.0/8, fd00:10::/32
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import frr
import sandbox

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("EVENPATH_BINARY", os.path.join(TOP, "target/release/evenpath"))
# the driver of the simulated e-switch: `cargo build -p driver`
OWN_DEVICES = ("exclusive", "sim", "transit", "shared")
SIMULATED = ("sim", "transit", "shared")
PLUGIN = os.environ.get("EVENPATH_DRIVER", os.path.join(TOP, "target/debug/libnet_evenpath_sim.so"))

NODES = ("host", "dpu", "leaf1", "leaf2", "server")
# node, device, peer node, peer device, addresses of the device, addresses of the peer; uplinks carry none when unnumbered
LINKS = (
    ("dpu", "host0", "host", "eth0", "10.244.1.1/24 fd00:244:1::1/64", "10.244.1.10/24 fd00:244:1::10/64"),
    ("dpu", "up1", "leaf1", "dpu", "169.254.0.0/31 fd00:254::/127", "169.254.0.1/31 fd00:254::1/127"),
    ("dpu", "up2", "leaf2", "dpu", "169.254.0.2/31 fd00:254::2/127", "169.254.0.3/31 fd00:254::3/127"),
    ("server", "eth1", "leaf1", "server", "192.0.2.1/31 fd00:192::1/127", "192.0.2.0/31 fd00:192::/127"),
    ("server", "eth2", "leaf2", "server", "192.0.2.3/31 fd00:192::3/127", "192.0.2.2/31 fd00:192::2/127"),
)
HOST = {4: "10.244.1.10", 6: "fd00:244:1::10"}
SERVER = {4: "10.0.0.10", 6: "fd00:10::10"}
SERVICE = {4: "10.0.0.0/8", 6: "fd00:10::/32"}
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}
UPLINKS = ("up1", "up2")


class Failure(Exception):
    """A lab step that did not come out as it should; the text is for the person at the screen."""


def wait_for(what, condition, seconds=40.0, every=0.02):
    """Poll until `condition()` is true and return its value; a Failure names `what` was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(every)


@contextlib.contextmanager
def inside(node):
    """The calling thread is in the network namespace of `node`: sockets opened here stay there."""
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{node}") as other:
        os.setns(other.fileno(), os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(own.fileno(), os.CLONE_NEWNET)


class Lab:
    """The namespaces, links, FRR and evenpath. Everything ends with the process (`sandbox`).

    `plane`: "xdp" or "tap" run evenpath on ports of that kind; "exclusive" on devices that it has to itself, with taps of
    the ports' names for the kernel; "sim" likewise on the simulated e-switch, as a DPU; "transit" in NIC mode, between wires; "shared" likewise, on NICs whose netdevs the kernel keeps; "kernel" lets the dpu's kernel forward, for comparison. `cores`: as in `[eal]`. `hash`:
    the lines of `[hash]` and the tables behind it. `tables`: more lines of `[tables]`. `bgp`: {node: lines of its
    `router bgp`}; `bfd`: BFD between the dpu and its leaves. `faults`: a file that the simulated e-switch reads its faults from.
    `offload`: the lines of `[offload]`; `devices`: {port: its device instead}; `eal`: more lines of `[eal]`.
    """

    def __init__(self, plane="xdp", unnumbered=False, fabric_mtu=1500, nexthop_groups=True, cores="auto",
                 hash="seed = 1\n", tables="", bgp=None, bfd=False, faults="",
                 offload=None, devices=None, eal=""):
        self.plane, self.unnumbered, self.nexthop_groups, self.cores = plane, unnumbered, nexthop_groups, cores
        self.hash, self.tables = hash, tables
        self.bgp, self.bfd, self.faults = bgp or {}, bfd, faults
        self.offload, self.devices, self.eal = offload, devices or {}, eal
        self.daemons = {}  # (node, name) -> Popen
        self.logs = "/run/lab"
        os.makedirs(self.logs)
        self._namespaces()
        self._links(fabric_mtu)

    # -- namespaces and links ------------------------------------------------------------------------------------------

    def _namespaces(self):
        for node in NODES:
            run("ip", "netns", "add", node)
            with inside(node):
                # the dpu's kernel forwards nothing: what arrives was forwarded by evenpath
                forward = int(node.startswith("leaf") or (node == "dpu" and self.plane == "kernel"))
                for path, value in {
                    "ipv4/ip_forward": forward,
                    "ipv6/conf/all/forwarding": forward,
                    "ipv4/conf/all/rp_filter": 0,
                    "ipv4/conf/default/rp_filter": 0,
                    "ipv4/conf/all/ignore_routes_with_linkdown": 1,
                    "ipv4/conf/default/ignore_routes_with_linkdown": 1,
                    "ipv6/conf/all/ignore_routes_with_linkdown": 1,
                    "ipv6/conf/default/ignore_routes_with_linkdown": 1,
                    "ipv6/conf/default/accept_dad": 0,
                    "ipv6/conf/default/accept_ra": 0,
                    "ipv6/conf/default/autoconf": 0,
                    "ipv4/fib_multipath_hash_policy": 1,
                    "ipv6/fib_multipath_hash_policy": 1,
                    "ipv4/icmp_ratelimit": 0,
                    "ipv6/icmp/ratelimit": 0,
                }.items():
                    with open(f"/proc/sys/net/{path}", "w") as file:
                        file.write(str(value))

    def _wire(self, node, device):
        """The veth end that stands for a device's wire: on exclusive ports the device itself is a tap, made later."""
        return f"{device}-wire" if self.plane in OWN_DEVICES and node == "dpu" else device

    def _links(self, fabric_mtu):
        for index, (node, device, peer, peer_device, _, _) in enumerate(LINKS, 1):
            device = self._wire(node, device)
            mtu = str(1500 if peer == "host" else fabric_mtu)
            run("ip", "link", "add", device, "netns", node, "mtu", mtu, "address", f"02:00:00:00:0{index}:01",
                "type", "veth", "peer", "name", peer_device, "netns", peer, "mtu", mtu,
                "address", f"02:00:00:00:0{index}:02")
            for where, name in ((node, device), (peer, peer_device)):
                # packets cross evenpath as they are on the wire: no checksum or segment left for a NIC to finish
                run("ip", "netns", "exec", where, "ethtool", "-K", name, "tx", "off", "gro", "off")
            if self._wire(node, LINKS[index - 1][1]) != LINKS[index - 1][1]:
                with inside(node), open(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6", "w") as file:
                    file.write("1")  # the kernel has no business on it
        if self.plane == "shared":
            self._beside()
        for node in NODES:
            lines = ["link set lo up"]
            for a, device, b, peer_device, addresses, peer_addresses in LINKS:
                if self.unnumbered and device in UPLINKS:
                    addresses = peer_addresses = ""
                if self._wire(a, device) != device:
                    addresses = ""
                device = self._wire(a, device)
                for where, name, text in ((a, device, addresses), (b, peer_device, peer_addresses)):
                    if where == node:
                        lines.append(f"link set {name} up")
                        lines += [f"addr add {each} dev {name}" for each in text.split()]
            if node == "host":
                lines += ["route add default via 10.244.1.1", "route add default via fd00:244:1::1"]
            if node == "server":
                lines += [f"addr add {SERVER[4]}/32 dev lo", f"addr add {SERVER[6]}/128 dev lo"]
            run("ip", "-n", node, "-batch", "-", input="\n".join(lines))

    def _beside(self):
        """The netdevs that the kernel keeps of the dpu's NICs: a veth, whose far end is the NIC's side of it."""
        for index, (node, device, _, _, addresses, _) in enumerate(LINKS, 1):
            if node != "dpu":
                continue
            mac = f"02:00:00:00:1{index}:01"
            run("ip", "link", "add", device, "netns", node, "address", mac, "type", "veth", "peer", "name",
                f"{device}-nic", "netns", node, "address", mac)
            with inside(node):
                with open(f"/proc/sys/net/ipv6/conf/{device}-nic/disable_ipv6", "w") as file:
                    file.write("1")  # the kernel has no business on it
            for name in (device, f"{device}-nic"):
                run("ip", "netns", "exec", node, "ethtool", "-K", name, "tx", "off", "gro", "off")
                run("ip", "-n", node, "link", "set", name, "up")
            for each in addresses.split():
                run("ip", "-n", node, "addr", "add", each, "dev", device)

    def set_link(self, node, device, up):
        """Set a device up or down; returns the CLOCK_REALTIME nanoseconds just before."""
        siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
        import fcntl
        import struct

        with inside(node), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            request = struct.pack("16sh14x", device.encode(), 0)
            flags = struct.unpack("16sh14x", fcntl.ioctl(control, siocgifflags, request))[1]
            flags = flags | iff_up if up else flags & ~iff_up
            before = time.time_ns()
            fcntl.ioctl(control, siocsifflags, struct.pack("16sh14x", device.encode(), flags))
        if up:  # IPv6 addresses went with the link
            for a, name, b, peer_name, addresses, peer_addresses in LINKS:
                if (node, device) in ((a, name), (b, peer_name)) and not (self.unnumbered and name in UPLINKS):
                    text = addresses if (node, device) == (a, name) else peer_addresses
                    for each in text.split():
                        if ":" in each:
                            run("ip", "-n", node, "addr", "replace", each, "dev", device)
        return before

    # -- processes -----------------------------------------------------------------------------------------------------

    def spawn(self, node, name, *command, **more):
        """Start a process in `node` that runs until `stop`; its output goes to a log in `self.logs`."""
        log = open(f"{self.logs}/{node}-{name}.log", "ab")
        process = subprocess.Popen(["ip", "netns", "exec", node, *command], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, **more)
        log.close()
        self.daemons[node, name] = process
        return process

    def stop(self, node, name, how=signal.SIGTERM, seconds=10):
        """End a process that `spawn` started and wait until it is gone."""
        process = self.daemons.pop((node, name))
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Failure(f"{node}: {name} did not stop within {seconds} s of signal {how}") from None

    def log(self, node, name, lines=15):
        """The end of a process's log."""
        with contextlib.suppress(OSError), open(f"{self.logs}/{node}-{name}.log", errors="replace") as file:
            return "".join(file.readlines()[-lines:])
        return ""

    def start_frr(self, nodes=frr.NODES):
        """FRR in `nodes`; returns at once, routes follow."""
        for node in nodes:
            bfd = self.bfd and node in ("dpu", "leaf1", "leaf2")
            frr.configure(node, self.unnumbered, self.nexthop_groups, self.bgp.get(node, ()), bfd)
            for daemon in frr.DAEMONS:
                if daemon == "bgpd" and bfd:
                    self.start_daemon(node, "bfdd")
                self.start_daemon(node, daemon)
        if "dpu" in nodes:
            self.start_daemon("dpu", "staticd")
            wait_for("dpu: staticd takes the last route", self._sentinel)

    def _sentinel(self):
        """Whether mgmtd takes the last route, which it may refuse while staticd is only just there."""
        with contextlib.suppress(Failure):
            self.vtysh("dpu", "configure terminal", f"ipv6 route {frr.SENTINEL} blackhole")
            return True
        return False

    def start_daemon(self, node, daemon):
        """One FRR daemon of a node."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"/run/frr/{node}/{daemon}.vty")  # left by one that was killed
        process = self.spawn(node, daemon, *frr.command(node, daemon))

        def ready():
            if process.poll() is not None:
                raise Failure(f"{node}: {daemon} ended with {process.returncode}:\n{self.log(node, daemon)}")
            return os.path.exists(f"/run/frr/{node}/{daemon}.vty")

        wait_for(f"{node}: {daemon}", ready)

    def vtysh(self, node, *commands):
        """Run vtysh commands on a node and return what they print."""
        return vtysh(node, *(word for line in commands for word in ("-c", line)))

    # -- evenpath ------------------------------------------------------------------------------------------------------

    def start_evenpath(self):
        """evenpath in the dpu, until its ports are there; nothing to do when the kernel forwards."""
        if self.plane == "kernel":
            return
        if not os.path.exists(BINARY):
            raise Failure(f"{BINARY}: not built; run make build")
        path = "/run/lab/evenpath.toml"
        with open(path, "w") as file:
            for number, port in enumerate(("host0", *UPLINKS)):
                device, kernel = f"{self.plane}:{port}", port
                if self.plane in SIMULATED:
                    mode = ",mode=nic" if self.plane != "sim" else ",function=1" if port == "host0" else ""
                    device, kernel = f"net_evenpath_sim{number},profile=bf3,iface={self._wire('dpu', port)}{mode}", "tap"
                    device += f",faults={self.faults}" if self.faults and number == 0 else ""
                if self.plane == "exclusive":
                    device, kernel = f"net_af_xdp{number},iface={self._wire('dpu', port)},busy_budget=0", "tap"
                if self.plane == "shared":
                    device, kernel = f"{device},beside={port}-nic", port
                device = self.devices.get(port, device)
                side = '"host"' if port == "host0" and self.plane not in ("transit", "shared") else '"wire"'
                file.write(f'[[port]]\nname = "{port}"\ndevice = "{device}"\nkernel = "{kernel}"\nside = {side}\n\n')
            plugins = ""
            if self.plane in SIMULATED:
                plugins = f'plugins = ["{PLUGIN}"]\n'
                role = 'role = "transit"\n' if self.plane in ("transit", "shared") else ""
                file.write("[offload]\n" + (self.offload or f'mode = "required"\n{role}') + "\n")
            # small tables and no huge pages leave those to others; a fixed seed makes a restart keep every flow's way
            file.write(f'[eal]\ncores = "{self.cores}"\nhugepages = "never"\n{plugins}{self.eal}\n'
                       f'[tables]\nroutes-ipv4 = 10000\nroutes-ipv6 = 10000\n{self.tables}\n'
                       + ("" if "[state]" in self.hash else f'[state]\ndirectory = "{self.logs}/state"\n\n')
                       + "[hash]\n" + self.hash)
        # with the priority that the service has: a busy machine must not keep a dead link unnoticed. Not on all cores:
        # FRR would hardly run.
        nice = ("nice", "-n", "-10") if self.cores == "auto" else ()
        process = self.spawn("dpu", "evenpath", *nice, BINARY, "run", "-c", path)

        def ready():
            if process.poll() is not None:
                raise Failure(f"evenpath run ended with {process.returncode}:\n{self.log('dpu', 'evenpath')}")
            with contextlib.suppress(Failure):
                return self.show("port") is not None

        wait_for("evenpath: ready", ready, every=0.05)
        if self.plane in OWN_DEVICES and self.plane != "shared":
            lines = [f"addr add {each} dev {device}" for node, device, _, _, addresses, _ in LINKS if node == "dpu"
                     for each in addresses.split() if not (self.unnumbered and device in UPLINKS)]
            run("ip", "-n", "dpu", "-batch", "-", input="\n".join(lines))

    def show(self, *what):
        """`evenpath show WHAT --json`, decoded."""
        return json.loads(run("ip", "netns", "exec", "dpu", BINARY, "show", *what, "--json"))

    def wait_for_routes(self, members=2, families=(4, 6), seconds=40):
        """Until the service and default prefixes have `members` next hops where packets are forwarded."""
        for family in families:
            for prefix in (SERVICE[family], DEFAULT[family]):
                wait_for(f"{prefix} with {members} next hops", lambda: self.members(prefix) == members, seconds)

    def members(self, prefix):
        """How many next hops the plane that forwards has for a prefix."""
        if self.plane == "kernel":
            family = "-6" if ":" in prefix else "-4"
            text = run("ip", "-n", "dpu", family, "route", "show", prefix.replace("0.0.0.0/0", "default")
                       .replace("::/0", "default"), "proto", "bgp")
            return text.count(" via ")
        with contextlib.suppress(Failure):
            return usable_members(self.show("route", prefix), prefix)
        return 0

    def wait_for_return(self, members=2, seconds=40):
        """Until the server has `members` next hops towards the Pod CIDR, both families."""
        for family, prefix in (("-4", "10.244.1.0/24"), ("-6", "fd00:244:1::/64")):
            wait_for(f"server: {prefix} with {members} next hops", lambda: run(
                "ip", "-n", "server", family, "route", "show", prefix, "proto", "bgp").count(" via ") == members, seconds)

    def up(self):
        """Start everything and wait until both directions use both leaves."""
        self.start_evenpath()
        self.start_frr()
        self.wait_for_routes()
        self.wait_for_return()
        self.greet()
        return self

    def greet(self):
        """A ping each way: the first packets to a host wait, as at any router, for its address to be resolved."""
        for family in (4, 6):
            run("ip", "netns", "exec", "server", "ping", "-c", "1", "-w", "5", "-I", SERVER[family], HOST[family])


def usable_members(answer, prefix):
    """The number of next hops that forward for `prefix` in the answer of `show route PREFIX --json`."""
    for route in answer:
        if route["prefix"] == prefix and route["selected"]:
            return sum(each["state"] == "up" for each in route["nexthops"])
    return 0


def run(*command, input=None):
    """Run a command to its end and return its output; a Failure carries what it said."""
    done = subprocess.run(command, input=input, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: exit {done.returncode}: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def vtysh(node, *words, prefix=()):
    """Run vtysh, by `prefix` if it is not the tree's own, and return what it prints. As long as mgmtd's configuration is locked, by a daemon that has just come and is
    told of it, commands are refused: all of them are said again, those that were taken change nothing then."""
    said = []

    def taken():
        try:
            said.append(run(*prefix, "vtysh", "-N", node, *words))
        except Failure as failure:
            if "could not lock" not in str(failure):
                raise
        return said

    wait_for(f"{node}: the configuration's lock", taken, every=0.1)
    return said[0]


def main(body):
    """Run `body()` in a sandbox; a Failure is told in one piece and exits 1."""
    sandbox.enter()
    try:
        code = body()
    except Failure as failure:
        sys.stdout.flush()
        print(f"failed: {failure}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)  # process 1: what still runs ends here
