"""A transit router whose NIC forwards from wire to wire by hairpin queues: net_evenpath_sim in NIC mode, a real FRR.

    host ══ wire ─┐ NIC: a program for each wire that packets come in by ┌─ wires ══ leaf1, leaf2 ── server
                  └─ worker: what the rules do not take, and the kernel's own traffic by taps
"""

import testpmd
from smoke import BACK, FLOWS, OUT, Traffic, check, expect_failover, expect_whole, settle
from lab import SERVICE, Lab, wait_for

# design A hashes by rows, design B by RSS; what the NIC computes, so that both planes choose alike
DESIGNS = {
    "rows": 'algorithm = "crc32"\nsymmetric = false\nipv6-label = false\n',
    "rss": 'algorithm = "toeplitz"\nip-protocol = false\nipv6-label = false\n',
}


def taken_in(lab):
    """Packets that workers have seen."""
    return sum(port["in"] for port in lab.show("counters")["ports"].values())


def whose(lab, prefix):
    """Who forwards it."""
    return lab.show("offload", prefix)["of"]["state"]


def router(design):
    lab = Lab(plane="transit", hash=DESIGNS[design]).up()
    for prefix in SERVICE.values():
        wait_for(f"{prefix} is hardware's", lambda prefix=prefix: whose(lab, prefix) == "hw")
    status = lab.show("offload")
    check(f"{design}: role and design, and why", (status["state"], status["role"], status["design"]) == ("hw", "transit", design)
          and "the NIC computes the hash in force" in status["design-reason"], status["design-reason"])
    check(f"{design}: nothing has failed", status["failures"] == 0 == status["operations"]["failed"], status["operations"])
    for family in (4, 6):
        before = taken_in(lab)
        accounts = Traffic(family, FLOWS, rate=2000).run(1.5)
        expect_whole(f"{design}, IPv{family}, host to server", accounts[OUT])
        expect_whole(f"{design}, IPv{family}, server to host", accounts[BACK])
        packets, seen = accounts[OUT].sent + accounts[BACK].sent, taken_in(lab) - before
        check(f"{design}, IPv{family}: what hardware forwards no worker sees", seen < packets // 20, f"{seen} of {packets}")
    testpmd.expect_taken(lab, f"{design}, exported", ",mode=nic")
    traffic = Traffic(4, FLOWS, rate=2000).start()
    traffic.rounds(2)
    cut = lab.set_link("leaf1", "dpu", up=False)
    wait_for("the link is lost for hardware", lambda: lab.show("offload")["ports-down"] == ["up1"])
    lab.wait_for_routes(members=1)
    settled = settle(traffic)
    back = lab.set_link("leaf1", "dpu", up=True)
    lab.wait_for_routes()
    lab.wait_for_return()
    traffic.rounds(2)
    expect_failover(f"{design}, a wire is cut", traffic.stop()[OUT], cut, settled, back, budget_ms=200)
    traffic.close()
    for prefix in SERVICE.values():
        wait_for(f"{prefix} is hardware's again", lambda prefix=prefix: whose(lab, prefix) == "hw")
    status = lab.show("offload")
    check(f"{design}: nothing has failed after all", status["failures"] == 0, status["operations"])
