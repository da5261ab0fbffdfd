"""What the tests of FRR's restarts share: a stream in both families, and what became of its flows."""

import contextlib
import json
import time

from smoke import BACK, OUT, Traffic, check
from lab import wait_for

FLOWS = 200
RATE = 1000  # packets a second, each family, each direction
GRACEFUL = ("bgp graceful-restart", "bgp graceful-restart preserve-fw-state")


class Both:
    """Numbered packets of `FLOWS` flows of either family while something happens."""

    def __init__(self, lab):
        self.lab = lab
        self.streams = {family: Traffic(family, FLOWS, RATE, frames=1 << 17).start() for family in (4, 6)}
        for stream in self.streams.values():
            stream.rounds(3)
        self.began = time.time_ns()

    def stop(self):
        """End sending; what was before `began` is the state of before."""
        self.ended = time.time_ns()
        for stream in self.streams.values():
            stream.rounds(3)
        self.accounts = {family: stream.stop() for family, stream in self.streams.items()}
        for stream in self.streams.values():
            stream.close()

    def expect(self, name, lost):
        """At most `lost` packets out were lost in each family; every flow ends where it began."""
        for family, accounts in self.accounts.items():
            account = accounts[OUT]
            before = account.leaves(last=account.number_at(self.began))
            after = account.leaves(first=account.number_at(self.ended))
            ways = account.ways()
            moved = sum(before.get(f) != after.get(f) for f in range(FLOWS))
            roamed = sum(len(way) > 1 for way in ways.values())
            missing = len(account.lost())
            back = len(accounts[BACK].lost())
            figures = f"{account.sent} sent, {missing} lost ({account.outage_ms():.0f} ms), {back} lost on the way back"
            check(f"{name}, IPv{family}: {'nothing' if lost == 0 else f'at most {lost} packets'} lost", missing <= lost, figures)
            check(f"{name}, IPv{family}: no flow has moved", moved == 0 and len(before) == FLOWS,
                  f"{moved} of {FLOWS} moved, {roamed} were elsewhere in between")


def restarted(lab, seconds=25):
    """Wait until bgpd of the dpu has all its sessions, and evenpath has its routes from it and no others."""

    def sessions():
        found = json.loads(lab.vtysh("dpu", "show bgp summary json"))
        peers = [p for family in found.values() for p in family.get("peers", {}).values()]
        return len(peers) == 4 and all(p["state"] == "Established" and p["pfxRcd"] for p in peers)

    wait_for("all sessions of bgpd", sessions, seconds, every=0.1)
    lab.wait_for_routes()

    def quiet():
        fpm = lab.show("fpm")
        return fpm["sync"] == "complete" and not fpm["kept"] and not fpm["unrefreshed"]

    wait_for("the end of the resync", quiet, seconds, every=0.1)


@contextlib.contextmanager
def reconnected(lab):
    """Wait for another FPM connection than that of before."""
    before = lab.show("fpm")["connections"]
    yield
    wait_for("FPM connected again", lambda: lab.show("fpm")["connections"] > before)


def inline(lab):
    """The other FPM mode: no nexthop groups, next hops within the routes."""
    with reconnected(lab):
        lab.vtysh("dpu", "configure terminal", "no fpm use-next-hop-groups")
    lab.nexthop_groups = False


def mode(lab):
    """The FPM mode in words."""
    return "nexthop groups" if lab.nexthop_groups else "inline multipath"
