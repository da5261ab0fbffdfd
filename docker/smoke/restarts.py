"""What the tests of restarts share: a lab whose evenpath has a history that no new start would repeat, and ends and starts again."""
import os
import signal
import time

from fabric import PORTS, SERVICE, Fabric, Stream, done, flows
from smoke import check
from lab import wait_for

FLOWS = 400
TABLES = "/run/lab/state/tables"
LOG = "/run/lab/dpu-evenpath.log"


def config(buckets=64, seed=1, algorithm="mix", recovery="never"):
    # never: who returns gets nothing by itself, its flows stay where they went, which a new start would spread
    return f"""seed = {seed}
algorithm = "{algorithm}"

[resilient]
enable = true
buckets = {buckets}
recovery = "{recovery}"
"""


class Restarts:
    """The lab, with inline FPM routes, after leaf2 has lost its link and has returned: it has no buckets any more."""

    def __init__(self):
        self.fabric = Fabric(hash=config(recovery="idle"), nexthop_groups=False).up()
        done("set", "resilient", "unbalanced-timer", "1")  # in whatever order they came
        wait_for("all leaves have the same", self.is_new)
        done("set", "resilient", "unbalanced-timer", "never", "recovery", "never")
        self.stream = Stream(flows(FLOWS))
        self.took = time.monotonic()
        self.history("up2")
        check("leaf2 has returned and waits: a new start would spread", not self.is_new())

    def owners(self):
        return [self.fabric.owners(prefix) for prefix in SERVICE.values()]

    def is_new(self):
        """All leaves have the same number of buckets, as after a new start."""
        return all({owners.count(port) for port in PORTS} == {len(owners) // len(PORTS)} for owners in self.owners())

    def history(self, port):
        """The leaf at `port` loses its link and returns: it has no buckets any more. Kept in the file at the end."""
        leaf = f"leaf{port[2:]}"
        self.fabric.set_link(leaf, "dpu", False)
        self.fabric.wait_for_ports([each for each in PORTS if each != port])
        lost = time.time()  # its return changes no table
        self.fabric.set_link(leaf, "dpu", True)
        self.fabric.wait_for_ports(PORTS)
        parked = lambda: all(self.fabric.group(prefix).get("parked") for prefix in SERVICE.values())
        wait_for(f"{leaf} waits", parked)
        wait_for("the tables are kept", lambda: os.path.exists(TABLES) and os.stat(TABLES).st_mtime > lost)

    def again(self, how=signal.SIGTERM, content=None, good=False, frr_too=False, **changed):
        """End evenpath by a signal, start it; {flow: port} before and after. `content`: what it finds as tables; `good`:
        they are remembered. With FRR: it starts later than evenpath, which has ended again before it had a route."""
        _, before = self.stream.settle()
        self.fabric.stop("dpu", "evenpath", how)
        self.mark = os.path.getsize(LOG)
        if good:
            with open(TABLES, "rb") as file:
                self.good = file.read()
        if content:
            with open(TABLES, "wb") as file:
                file.write(content)
        if frr_too:
            for daemon in ("bgpd", "zebra"):
                self.fabric.stop("dpu", daemon)
        self.fabric.hash = config(**changed)
        self.fabric.start_evenpath()
        if frr_too:
            self.fabric.stop("dpu", "evenpath", how)
            self.fabric.start_evenpath()
            for daemon in ("zebra", "bgpd"):
                self.fabric.start_daemon("dpu", daemon)
        self.fabric.wait_for_ports(PORTS, seconds=30)
        _, after = self.stream.settle()
        print(f"# {time.monotonic() - self.took:.1f} s", flush=True)
        return before, after

    def keeps(self, name, **how):
        """A restart that moves no flow."""
        owners = self.owners()
        before, after = self.again(**how)
        moved = sum(before[flow] != after[flow] for flow in before)
        kept = [[each[bucket % len(each)] for bucket in range(len(now))] for each, now in zip(owners, self.owners())]
        check(f"{name}: 0 flows moved", moved == 0 and len(before) == FLOWS, f"{moved} of {len(before)}")
        check(f"{name}: each bucket has its owner, which a new start would not give it", kept == self.owners() and not self.is_new())

    def said(self):
        """What the log says of the tables since evenpath started last."""
        with open(LOG) as file:
            file.seek(self.mark)
            return [line for line in file if f"{TABLES}: take up tables: " in line]
