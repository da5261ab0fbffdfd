"""A lab whose zebra waits for answers (`--asic-offload=notify_on_offload`), and what it makes of them.

FRR 10.3 of the root does not understand answers. A newer one in target/root-sid (`EVENPATH_SUITE=sid docker/root true`
makes it) is the dpu's where it is there; the recorded conversations with 10.7.1 stand for it where not.
"""
import json
import os
import re
import subprocess

import smoke  # noqa: F401: the lab's modules are found by it
import frr
from lab import TOP, Lab, run, vtysh, wait_for

NEWER = os.path.join(TOP, "target/root-sid")
TRANSIT = "10.55.0.0/24"


class Answered(Lab):
    """The lab with a zebra that waits for answers, from `root` if there is one. `hash`, `more`: as in `Lab`."""

    def __init__(self, answer, root, hash, **more):
        super().__init__(hash=f'{hash}\n[fpm]\nanswer = "{answer}"\n', **more)
        self.root = ("chroot", root) if root else ()
        if root:
            os.makedirs("/run/frr", exist_ok=True)
            for path in ("/proc", "/run"):
                run("mount", "--rbind", path, root + path)

    def start_daemon(self, node, daemon):
        if self.root and node == "dpu":  # FRR's user has another number in another tree
            run("chmod", "-R", "a+rwX", "/run/frr")
        plain = frr.command

        def command(node, daemon):
            words = plain(node, daemon)
            if node != "dpu":
                return words
            if daemon == "zebra":
                words += ("--asic-offload=notify_on_offload",)
            return self.root + words

        frr.command = command
        try:
            super().start_daemon(node, daemon)
        finally:
            frr.command = plain

    def vtysh(self, node, *commands):
        prefix = self.root if node == "dpu" else ()
        return vtysh(node, *(word for line in commands for word in ("-c", line)), prefix=prefix)

    def flags(self, prefix):
        """The letters before the first next hop of a route in `show ip route`."""
        for line in self.vtysh("dpu", "show ip route").splitlines():
            found = re.match(rf"(\S+)\s+{re.escape(prefix)} ", line)
            if found:
                return found[1]
        return ""

    def announce(self, prefix):
        """leaf1 announces it, and evenpath forwards to it."""
        self.vtysh("leaf1", "configure terminal", "router bgp 65001", "address-family ipv4 unicast", f"network {prefix}")
        wait_for(f"{prefix} is forwarded", lambda: self.members(prefix) == 1)

    def heard(self, prefix=TRANSIT):
        """leaf2 has a transit route from the dpu."""
        text = self.vtysh("leaf2", "show bgp ipv4 unicast neighbors 169.254.0.2 routes json")
        return prefix in json.loads(text).get("routes", {})

    def answers(self):
        return self.show("fpm")["answers"]


def dpu_zebra():
    """The tree of the dpu's zebra, if it is not the root's, its version, and whether it understands answers."""
    root = NEWER if os.path.exists(f"{NEWER}/usr/lib/frr/zebra") else None
    zebra = (("chroot", root) if root else ()) + (f"{frr.BIN}/zebra", "--version")
    version = subprocess.run(zebra, capture_output=True, text=True).stdout.split("\n")[0].strip()
    return root, version, tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups())) >= (10, 4)


def start(lab):
    """Everything, with the dpu as transit that waits for answers."""
    lab.start_evenpath()
    plain = frr._bgpd

    def bgpd(node, *more):
        text = plain(node, *more)
        if node == "dpu":
            text = "\n".join(line for line in text.splitlines() if "filter-list own out" not in line) + "\n"
            text = text.replace(" no bgp ebgp-requires-policy\n", " no bgp ebgp-requires-policy\n bgp suppress-fib-pending\n")
        return text

    frr._bgpd = bgpd
    lab.start_frr()
    lab.wait_for_routes()
