"""What the kernel of a node said about links and routes, and when: the clock against which convergence is measured."""

import calendar
import re
import time

LINE = re.compile(r"\[(\d+-\d+-\d+T\d+:\d+:\d+)\.(\d+)\] (.*)")


class Watch:
    """`ip monitor` in a node from now on."""

    def __init__(self, lab, node):
        self.lab, self.node = lab, node
        self.path = f"{lab.logs}/{node}-monitor.log"
        lab.spawn(node, "monitor", "ip", "-ts", "-o", "monitor", "link", "route")
        time.sleep(0.05)

    def lines(self, since_ns):
        """[(CLOCK_REALTIME ns, text)] of what was said after `since_ns`."""
        found = []
        with open(self.path) as file:
            for line in file:
                match = LINE.match(line)
                if match:
                    second = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
                    when = second * 10**9 + int(match[2]) * 1000
                    if when >= since_ns:
                        found.append((when, match[3]))
        return found

    def last_route_ms(self, since_ns, prefixes, before_ns):
        """Milliseconds until the last change, before `before_ns`, of one of `prefixes` (as `ip route` writes them); 0: none."""
        times = [when for when, text in self.lines(since_ns)
                 if when < before_ns and any(text.removeprefix("Deleted ").startswith(each + " ") for each in prefixes)]
        return (max(times) - since_ns) / 1e6 if times else 0.0

    def link_down_ms(self, since_ns, device):
        """Milliseconds until the kernel said that `device` has no carrier, or None."""
        times = [when for when, text in self.lines(since_ns) if f" {device}@" in text and "NO-CARRIER" in text]
        return (min(times) - since_ns) / 1e6 if times else None
