"""Other programs that forward, where they are installed: cycles a packet of their thread's own time.

Each takes packets from net_pcap as testpmd does in the same run, so its cost is its cycles less those of testpmd's `io`.
"""

import contextlib
import glob
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import bench

# DPDK's example; no Debian package has it, perf/README.md says how it is built.
L3FWD = os.environ.get("EVENPATH_L3FWD") or shutil.which("dpdk-l3fwd") or shutil.which("l3fwd")
# What the packets of `bench.write_pcap` go to.
RULES = {"4": "R10.0.0.0/8 0\n", "6": "R2001:db8::/32 0\n"}


def packets(prefix):
    """How many came in and went out; nothing before the port runs."""
    (path,) = glob.glob(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as to:
        to.settimeout(5)
        to.connect(path)
        to.recv(16384)
        to.send(b"/ethdev/stats,0")
        stats = json.loads(to.recv(16384))["/ethdev/stats"] or {}
        return stats.get("ipackets", 0), stats.get("opackets", 0)


def l3fwd(lookup, pcap, core, seconds, pages):
    """Cycles a packet of l3fwd with `lookup` (lpm, fib) and one route; its words if it failed."""
    prefix = f"evenpath-perf-{os.getpid()}"
    memory = ["-m", "640", "--huge-unlink"] if pages else ["--no-huge", "-m", "640"]
    with tempfile.TemporaryDirectory() as folder:
        for family, rule in RULES.items():
            with open(f"{folder}/{family}", "w") as file:
                file.write(rule)
        command = [L3FWD, "--lcores", f"1@{core}", "--main-lcore", "1", "--no-pci", "--iova-mode=va", "--file-prefix", prefix, *memory,
                   f"--vdev=net_pcap0,rx_pcap={pcap},infinite_rx=1", "--", "-p", "1", "-P", "--config=(0,0,1)", f"--lookup={lookup}",
                   f"--rule_ipv4={folder}/4", f"--rule_ipv6={folder}/6", "--relax-rx-offload", "--parse-ptype", "--mode=poll"]
        with open(f"{folder}/log", "w+") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                deadline = time.monotonic() + 30
                while time.monotonic() < deadline and process.poll() is None:
                    with contextlib.suppress(OSError, ValueError):
                        if packets(prefix)[0]:
                            break
                    time.sleep(0.1)
                else:
                    log.seek(0)
                    return f"l3fwd: no packets: {log.read()[-500:]}"
                threads, before, begin = bench.Threads(process.pid), packets(prefix), time.monotonic()
                time.sleep(seconds)
                (came, went), span, share = packets(prefix), time.monotonic() - begin, threads.share()
                came, went = came - before[0], went - before[1]
                if went < came * 0.999:
                    return f"l3fwd: {went} of {came} packets were sent"
                return bench.hz() * share * span / came
            finally:
                process.terminate()
                process.wait()


def installed():
    """By name: what measures it. Who is not there is not in it."""
    if not L3FWD:
        return {}
    return {f"l3fwd {lookup}": lambda *where, lookup=lookup: l3fwd(lookup, *where) for lookup in ("lpm", "fib")}


def absent():
    """Names of peers that this machine has not, or that nothing here drives."""
    names = [] if L3FWD else ["l3fwd"]
    return names + [name if not shutil.which(name) else f"{name} (installed, not driven from here)" for name in ("grout", "vpp")]
