"""What the measurements share: huge pages for as long as they run, one run of `evenpath bench` and of testpmd, the machine."""

import contextlib
import json
import os
import platform
import re
import signal
import statistics
import struct
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("EVENPATH_BINARY", os.path.join(TOP, "target/release/evenpath"))
PAGES = "/proc/sys/vm/nr_hugepages"
OWN = "02:70:63:61:70:00"  # the address that net_pcap gives its first port


def line_of(path, name):
    """What stands behind `name` in a file of `name: value` lines."""
    with open(path) as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.split(":", 1)[0].strip() == name), "")


def hz():
    """Cycles a second of the time stamp counter: what the kernel calls a loop is two of them."""
    return float(line_of("/proc/cpuinfo", "bogomips")) / 2 * 1e6


def machine(pages):
    """What the figures depend on beside the code."""
    commit = subprocess.run(["git", "-C", TOP, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return {"commit": commit, "cpu": line_of("/proc/cpuinfo", "model name"), "cores": os.cpu_count(), "tsc_mhz": round(hz() / 1e6),
            "virtual": "hypervisor" in line_of("/proc/cpuinfo", "flags").split(), "kernel": platform.release(), "huge_pages": pages,
            "load": round(os.getloadavg()[0], 1), "date": time.strftime("%Y-%m-%d", time.gmtime())}


@contextlib.contextmanager
def hugepages(wanted):
    """True if there are 2 MiB pages: `wanted` reserved for the run, if none were and we may, and given back."""
    with open(PAGES) as file:
        had = int(file.read())
    if had:
        yield True
        return
    # Ended from outside, they are given back too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with open(PAGES, "w") as file:
            file.write(str(wanted))
        with open(PAGES) as file:
            yield int(file.read()) >= wanted * 3 // 4
    except OSError:
        yield False
    finally:
        with contextlib.suppress(OSError), open(PAGES, "w") as file:
            file.write(str(had))


def evenpath(arguments, seconds, binary=BINARY):
    """What one run of `evenpath bench` found, a dictionary; its words where it failed."""
    command = [binary, "bench", *arguments.split(), "--duration", str(seconds), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return f"{' '.join(command[1:])}: {(done.stderr or done.stdout).strip()[-500:]}"
    return json.loads(done.stdout)


def write_pcap(path, flows, frame=60):
    """UDP packets of `flows` flows from 10.244.1.10 to all over 10.0.0.0/8, `frame` bytes without checksum each."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for flow in range(flows):
            udp = struct.pack("!HHHH", 1024 + flow % 50000, 4000 + flow // 50000, frame - 34, 0) + bytes(frame - 42)
            destination = 0x0A000000 | (flow * 2654435761 & 0xFFFFFF)
            header = struct.pack("!BBHHHBBHII", 0x45, 0, frame - 14, flow & 0xFFFF, 0, 64, 17, 0, 0x0AF4010A, destination)
            total = sum(struct.unpack("!10H", header))
            total = (total & 0xFFFF) + (total >> 16)
            header = header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
            data = bytes.fromhex(OWN.replace(":", "")) + b"\x02\0\0\0\0\1\x08\0" + header + udp
            file.write(struct.pack("<IIII", 0, flow, len(data), len(data)) + data)


class Threads:
    """Which thread of a process works, and what share of a core it had."""

    def __init__(self, pid):
        self.pid, self.before, self.begin = pid, self.sample(pid), time.monotonic()

    @staticmethod
    def sample(pid):
        times = {}
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
                times[task] = int(file.read().split()[0])
        return times

    def share(self):
        """Of the busiest thread since the start, 0 to 1."""
        spent = max(now - self.before.get(task, 0) for task, now in self.sample(self.pid).items())
        return spent / 1e9 / (time.monotonic() - self.begin)


def testpmd(mode, pcap, core, seconds, pages):
    """Cycles a packet of testpmd in `mode` (io, mac) on one port of net_pcap, of its thread's own time; its words if it failed."""
    memory = ["--in-memory", "-m", "128"] if pages else ["--no-huge", "-m", "128", "--no-shconf"]
    command = ["stdbuf", "-oL", "dpdk-testpmd", "--lcores", f"0@{0 if core else 1},1@{core}", "--no-pci", "--iova-mode=va", *memory,
               f"--vdev=net_pcap0,rx_pcap={pcap},infinite_rx=1", "--", f"--forward-mode={mode}", "--port-topology=loop",
               "--nb-cores=1", "--no-flush-rx", "--total-num-mbufs=16384", "--burst=64", "--stats-period=1", "--auto-start"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        rates, threads, lines = [], None, []
        for line in process.stdout:
            lines.append(line)
            if "statistics for port" in line and threads is None:
                threads = Threads(process.pid)
            match = re.search(r"Rx-pps: +(\d+)", line)
            if match and int(match[1]) > 0:
                rates.append(int(match[1]))
            if len(rates) > seconds:
                break
        if len(rates) <= seconds:
            return "testpmd: no rates: " + "".join(lines[-8:])
        return hz() * threads.share() / statistics.median(rates[1:])
    finally:
        process.terminate()
        process.wait()
