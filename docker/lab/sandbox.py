"""A private world for one lab run: its own mounts, processes and network, all of which the kernel removes when the run ends,
however it ends. Names in it (namespaces, sockets, files in /run) can therefore be short and need no clean-up."""

import ctypes
import os
import signal
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1


def mount(kind, target, flags=0, options=None):
    """mount(2); raises OSError with the target's name."""
    encode = lambda text: text.encode() if text else None
    if LIBC.mount(encode(kind), encode(target), encode(kind), ctypes.c_ulong(flags), encode(options)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def enter():
    """Carry on in a child that is process 1 of new mount, process, network and IPC namespaces.

    The caller's process waits for it, hands signals on and exits with its status; if it is killed, so is everything inside.
    """
    if os.geteuid() != 0:
        sys.exit("lab: needs root, for network namespaces")
    try:
        os.unshare(os.CLONE_NEWNS | os.CLONE_NEWPID | os.CLONE_NEWNET | os.CLONE_NEWIPC)
    except OSError as error:
        sys.exit(f"lab: cannot make namespaces: {error.strerror}; in a container, run it with --privileged")
    child = os.fork()
    if child:
        sys.exit(_wait_for(child))
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)  # process 1 gets only the signals that it handles
    mount(None, "/", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755")
    os.makedirs("/run/netns")


def _stop(number, _frame):
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.stdout.flush()
    print("\nstopped; everything is removed", file=sys.stderr)
    os._exit(128 + number)  # process 1: the kernel ends all others with it


def _wait_for(child):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: os.kill(child, number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the child as well
    while True:
        try:
            _, status = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        except InterruptedError:
            continue
