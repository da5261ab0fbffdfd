#!/usr/bin/env python3
"""Records what the kernel's resilient nexthop groups do: `unshare -n control/tests/kernel/record.py > control/tests/kernel/resilient.txt` as root.

Next hops 10 to 14 are neighbors on a veth; UDP flows with known buckets keep those buckets busy. Each line is an order given
(`group`, `dies`, `timers`, `busy`, `wait`, `newid`) or what then was (`table`: the next hop of each bucket).
"""
import re
import socket
import subprocess
import sys
import threading
import time

BUCKETS = 64
GROUP = [100]


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def rows():
    found = re.findall(r"index (\d+) idle_time ([\d.]+) nhid (\d+)", ip("nexthop", "bucket", "show", "id", str(GROUP[0])))
    return sorted((int(index), float(idle), int(nexthop)) for index, idle, nexthop in found)


def table():
    print("table", *(nexthop for _, _, nexthop in rows()), flush=True)


class Busy(threading.Thread):
    """Sends a packet of one flow for each bucket that is to be busy, ten times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sockets, self.busy = {}, set()
        while len(self.sockets) < BUCKETS:
            flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            time.sleep(0.03)  # the kernel tells hundredths of a second
            flow.sendto(b"", ("198.51.100.1", 9))
            index = min(rows(), key=lambda row: row[1])[0]
            self.sockets.setdefault(index, flow)
        self.start()

    def run(self):
        while True:
            for index in list(self.busy):
                self.sockets[index].sendto(b"", ("198.51.100.1", 9))
            time.sleep(0.1)


def members(weights):
    return "/".join(f"{n},{w}" for n, w in weights.items())


def group(verb, weights, timers):
    words = ["type", "resilient", "buckets", str(BUCKETS), "idle_timer", str(timers[0]), "unbalanced_timer", str(timers[1])]
    ip("nexthop", verb, "id", str(GROUP[0]), "group", members(weights), *words)


def main():
    ip("link", "set", "lo", "up")
    ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
    ip("addr", "add", "192.0.2.1/24", "dev", "v0")
    for link in ("v0", "v1"):
        ip("link", "set", link, "up")
    with open("/proc/sys/net/ipv4/fib_multipath_hash_policy", "w", encoding="ascii") as policy:
        policy.write("1")
    for n in range(10, 15):
        ip("neigh", "replace", f"192.0.2.{n}", "lladdr", f"02:00:00:00:00:{n}", "dev", "v0", "nud", "permanent")
    print(f"# Linux {'.'.join(open('/proc/sys/kernel/osrelease', encoding='ascii').read().split('.')[:2])}; idle_timer, unbalanced_timer in seconds")

    def history(name, timers, first, steps):
        print(f"history {name}")
        print("timers", *timers)
        for n in range(10, 15):
            ip("nexthop", "replace", "id", str(n), "via", f"192.0.2.{n}", "dev", "v0")
        GROUP[0] = 100
        group("add", first, timers)
        ip("route", "replace", "198.51.100.0/24", "nhid", "100")
        busy = Busy() if not found else found[0]
        found[:] = [busy]
        busy.busy = set(range(BUCKETS))
        time.sleep(0.5)
        print("busy", *sorted(busy.busy))
        print("group", *(f"{n}:{w}" for n, w in first.items()))
        table()
        for order, value in steps:
            if order == "busy":
                busy.busy = set(value)
                time.sleep(0.3)
                print("busy", *sorted(value))
                continue
            if order == "wait":
                time.sleep(value)
                print("wait", value)
            elif order == "dies":
                ip("nexthop", "del", "id", str(value))
                print("dies", value)
            elif order == "group":
                group("replace", value, timers)
                print("group", *(f"{n}:{w}" for n, w in value.items()))
            elif order == "newid":
                GROUP[0] += 1
                group("add", value, timers)
                ip("route", "replace", "198.51.100.0/24", "nhid", str(GROUP[0]))
                print("newid", *(f"{n}:{w}" for n, w in value.items()))
            time.sleep(0.2)
            table()
        busy.busy = set()
        ip("nexthop", "flush")

    found = []
    every = range(BUCKETS)
    three, four = {10: 1, 11: 1, 12: 1}, {10: 1, 11: 1, 12: 1, 13: 1}
    history("removal", (120, 0), four, [("dies", 11), ("dies", 13)])
    history("weighted removal", (120, 0), {10: 1, 11: 2, 12: 3, 13: 4}, [("dies", 12), ("dies", 10)])
    history("newcomer", (2, 0), three, [("group", four), ("wait", 3), ("busy", [b for b in every if b % 8]), ("wait", 4), ("busy", []), ("wait", 4)])
    history("weights", (2, 0), {10: 1, 11: 1}, [("group", {10: 3, 11: 1}), ("busy", range(32)), ("wait", 4), ("busy", []), ("wait", 4)])
    history("unbalanced", (60, 4), three, [("group", four), ("wait", 2), ("wait", 4)])
    history("new id", (120, 0), four, [("newid", {10: 1, 12: 1, 13: 1}), ("newid", four)])
    history("small weight", (120, 0), {10: 254, 11: 1}, [])


if __name__ == "__main__":
    sys.exit(main())
