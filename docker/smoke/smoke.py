"""What the smoke tests share: a lab, a list of checks, TAP-like output."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
import lab as _lab  # noqa: E402
from traffic import BACK, OUT, Traffic, spread  # noqa: E402, F401

FLOWS = 1000
_count = {"ok": 0, "not ok": 0}


def check(what, true, more=""):
    """One test: `ok WHAT` or `not ok WHAT`."""
    verdict = "ok" if true else "not ok"
    _count[verdict] += 1
    print(f"{verdict} {what}" + (f" # {more}" if more else ""), flush=True)
    return bool(true)


def drops():
    """Who dropped packets since the start: {evenpath: by reason; a device, or a processor's queue for all of them: how many}.
    What a worker that did not run for long did not take counts at its port: `dpu host0 rx`."""
    found = {"evenpath": json.loads(_lab.run(_lab.BINARY, "show", "counters", "--json"))["dropped"]}
    for node in _lab.NODES:
        for device in json.loads(_lab.run("ip", "-n", node, "-s", "-j", "link")):
            for way in ("rx", "tx"):
                count = device.get("stats64", {}).get(way, {}).get("dropped", 0)
                found |= {f"{node} {device['ifname']} {way}": count} if count else {}
    with open("/proc/net/softnet_stat") as file:
        found |= {f"cpu {n}": int(line.split()[1], 16) for n, line in enumerate(file) if int(line.split()[1], 16)}
    return found


def expect_all(name, account):
    """Every packet of the account arrived once; if not, which did not, and who dropped since the start."""
    lost = account.lost()
    more = f"{account.sent} sent, {len(lost)} lost, {account.repeated} doubled"
    if lost:
        more += f": numbers {lost[0]} to {lost[-1]}, of {len({n % account.flows for n in lost})} flows; dropped: {drops()}"
    check(f"{name}: nothing lost or doubled", not lost and not account.repeated, more)


def expect_whole(name, account):
    """Every packet of the account arrived once, every flow by one leaf, both leaves in use."""
    expect_all(name, account)
    counts = spread(account)
    check(f"{name}: each flow takes one leaf, both are used",
          counts["both"] == counts["none"] == 0 and min(counts["leaf1"], counts["leaf2"]) > account.flows // 3, counts)


def settle(*streams):
    """The time (ns) from which on what has been done shows in every packet; each flow has had some after it."""
    for stream in streams:
        stream.rounds(1)
    settled = time.time_ns()
    for stream in streams:
        stream.rounds(3)
    return settled


def expect_failover(name, account, since, settled, until, budget_ms):
    """Between `since` and `until` (ns) exactly the flows of leaf1 went to leaf2, and came back; the outage was short.
    From `settled` on nothing may go to leaf1."""
    before = account.leaves(last=account.number_at(since) - account.flows)  # without what was on its way then
    of = {leaf: {f for f, leaves in before.items() if leaves == {leaf}} for leaf in ("leaf1", "leaf2")}
    during = account.leaves(account.number_at(settled), account.number_at(until))
    moved = {f for f in of["leaf1"] if during.get(f) == {"leaf2"}}
    stayed = {f for f in of["leaf2"] if during.get(f) == {"leaf2"}}
    check(f"{name}: both leaves carried all flows before", len(of["leaf1"]) + len(of["leaf2"]) == account.flows)
    check(f"{name}: all of leaf1's flows move", moved == of["leaf1"] and moved, f"{len(moved)} of {len(of['leaf1'])}")
    check(f"{name}: none of leaf2's flows moves", stayed == of["leaf2"] and stayed, f"{len(stayed)} of {len(of['leaf2'])}")
    ways = account.ways()
    home = [f for f in of["leaf1"] if ways[f] == ["leaf1", "leaf2", "leaf1"]]
    still = [f for f in of["leaf2"] if ways[f] == ["leaf2"]]
    check(f"{name}: leaf1's flows return, once", len(home) == len(of["leaf1"]), f"{len(home)} of {len(of['leaf1'])}")
    check(f"{name}: leaf2's flows never move", len(still) == len(of["leaf2"]), f"{len(still)} of {len(of['leaf2'])}")
    lost = account.lost()
    outage = account.outage_ms()
    check(f"{name}: the outage is under {budget_ms} ms", outage < budget_ms, f"{len(lost)} lost, {outage:.1f} ms")
    check(f"{name}: nothing is doubled", account.repeated == 0)


def expect_counters(lab):
    """in + from-kernel + icmp-sent + fragments = out + dropped + punted."""
    answer = lab.show("counters")
    received = sum(port["in"] + port["from-kernel"] for port in answer["ports"].values())
    sent = sum(port["out"] for port in answer["ports"].values())
    left = received + answer["icmp-sent"] + answer["fragments"]
    right = sent + sum(answer["dropped"].values()) + answer["punted"]
    check("the counters add up", left == right and received > 0, f"{left} = {right}, dropped {answer['dropped']}")


def ping(lab, node, *arguments):
    """(exit code, output) of ping in a node."""
    import subprocess

    done = subprocess.run(["ip", "netns", "exec", node, "ping", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main(body):
    """Run `body()` in a lab's sandbox; exit 1 if a check failed or there was none."""

    def counted():
        begin = time.monotonic()
        try:
            body()
        except _lab.Failure as failure:
            check("runs to its end", False, " ".join(str(failure).split("\n")[:1]))
            print("\n".join("# " + line for line in str(failure).splitlines()), flush=True)
        except Exception as error:  # the runner counts: a crash of the test is a failure of the test
            import traceback

            check("runs to its end", False, repr(error))
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()), flush=True)
        if _count["not ok"]:
            for name in sorted(os.listdir("/run/lab")) if os.path.isdir("/run/lab") else ():
                if name.startswith("dpu-evenpath"):
                    with open(f"/run/lab/{name}", errors="replace") as file:
                        print("".join(f"# {name}: {line}" for line in file.readlines()[-25:]), flush=True)
        print(f"# {time.monotonic() - begin:.1f} s", flush=True)
        return 1 if _count["not ok"] or not _count["ok"] else 0

    _lab.main(counted)
