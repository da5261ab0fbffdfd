"""DPDK's own testpmd takes an exported program, on the driver that it is in force on."""
import re
import subprocess

from smoke import check
from lab import BINARY, PLUGIN, run

# what testpmd says of a line that it does not take, and the driver of a call that it refuses
BAD = ("Bad arguments", "Command not found", "Ambiguous", "Caught", "evenpath_sim:", "is invalid", "Invalid", "Fail", "failed to")


def take(script, mode, functions=()):
    """Feeds a script to testpmd on three simulated ports; what went wrong, and how many operations succeeded of how many."""
    text = open(script).read()
    options = re.search(r"^# After the ports: -- (.*)$", text, re.M)[1].split()
    ports = [f"--vdev=net_evenpath_sim{n},profile=bf3{mode}" + (",function=1" if n in functions else "") for n in range(3)]
    done = subprocess.run(
        ["stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "-m", "256", "--no-pci", "--no-shconf", "--no-telemetry", "--iova-mode=va",
         "--lcores=0@0,1@0", "-d", PLUGIN, *ports, "--", *options, "--no-mlockall", "--total-num-mbufs=8192", "--no-lsc-interrupt"],
        input=f"load {script}\nshow port summary all\nquit\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180)
    # what it says of handles when it ends is about itself
    said = done.stdout.split("Number of available ports")[0]
    bad = [line for line in said.splitlines() if any(word in line for word in BAD)]
    counts = re.findall(r"(\d+) operations \((\d+) failed, (\d+) succeeded\)", said)
    wanted = len(re.findall(r"^flow queue \d+ (?:create|indirect_action \d+ create)", text, re.M))
    return bad, sum(int(ok) for _, _, ok in counts), wanted, said


def expect_taken(lab, name, mode, functions=()):
    """`evenpath export testpmd` of the running evenpath is a script that testpmd takes, line by line."""
    path = f"{lab.logs}/program.testpmd"
    with open(path, "w") as file:
        file.write(run("ip", "netns", "exec", "dpu", BINARY, "export", "testpmd"))
    bad, done, wanted, said = take(path, mode, functions)
    check(f"{name}: testpmd takes every line, and all operations succeed", not bad and done == wanted > 0,
          f"{done} of {wanted}" if not bad else [*bad[:3], *said.splitlines()[-3:]])
