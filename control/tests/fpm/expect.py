#!/usr/bin/env python3
"""What the recorded streams mean, worked out from their decoded texts by nobody's code but this.

usage: expect.py FOLDER > expect.txt

FOLDER holds INDEX.json and a NAME.txt for every stream: one netlink message a line, written by a
decoder of its own. Streams of a set are one conversation, in order. A line of the result:

  NAME connect=0|1 frames=… newroute=… delroute=… newnexthop=… delnexthop=… held=0|1 routes=… digest=…

`routes` and `digest` (FNV-1a, 64 bits) are over the routes that zebra wants when the stream has
been read and a resync, if any, has settled: sorted lines "PREFIX KIND HOP*WEIGHT …", each ended by
a newline; HOP is GATEWAY@IFINDEX or @IFINDEX, with ! behind the fake gateway 169.254.0.1 onlink.
The kernel's own routes without a gateway are not zebra's to say, nor is the sentinel. A resync that
brings back less than half of more than 16 routes is held: nothing is deleted.
With a second argument the routes of that stream are printed instead.
"""
import json, re, sys

SENTINEL = "fec0::ffff/128"


def attribute(line, name):
    found = re.search(r"\b%s=(\S+)" % name, line)
    return found.group(1) if found else None


def hop(gateway, ifindex, onlink):
    fake = "!" if gateway == "169.254.0.1" and onlink else ""
    return "%s@%s%s" % (gateway or "", ifindex, fake)


class Router:
    def __init__(self):
        self.objects, self.routes, self.generation = {}, {}, 0
        self.base, self.filling, self.held = 0, False, False

    def connect(self):
        self.generation += 1
        self.objects = {}
        self.base = sum(r["proto"] != "kernel" for r in self.routes.values())
        self.filling, self.held = True, False

    def resolve(self, number, depth=0):
        """Hops and weights that an id stands for; None when it or a member is unknown."""
        content = self.objects.get(number)
        if content is None or depth > 2:
            return None
        if isinstance(content, str):
            return {} if content == "blackhole" else {content: 1}
        hops = {}
        for member, weight in content:
            inner = self.resolve(member, depth + 1)
            if inner is None:
                return None
            for name, w in inner.items():
                hops[name] = hops.get(name, 0) + w * weight
        return hops

    def message(self, line):
        kind = re.search(r"nllen=\d+ (\w+)", line).group(1)
        if kind == "NEWNEXTHOP":
            number, group = attribute(line, "ID"), attribute(line, "GROUP")
            if group:
                members = re.findall(r"(\d+)\*w(\d+)", group)
                self.objects[number] = [(m, int(w)) for m, w in members]
            elif "BLACKHOLE" in line:
                self.objects[number] = "blackhole"
            else:
                onlink = "onlink" in attribute(line, "nhflags")
                self.objects[number] = hop(attribute(line, "GATEWAY"), attribute(line, "OIF"), onlink)
        elif kind == "DELNEXTHOP":
            self.objects.pop(attribute(line, "ID"), None)
        elif kind == "DELROUTE":
            self.routes.pop(attribute(line, "dst"), None)
        elif kind == "NEWROUTE":
            self.newroute(line)
        return kind.lower()

    def newroute(self, line):
        prefix, many = attribute(line, "dst"), re.search(r"MULTIPATH\S*=\[(.*)\]", line)
        if prefix == SENTINEL:
            return
        old = self.routes.get(prefix, {})
        route = {"proto": attribute(line, "proto"), "kind": attribute(line, "type"),
                 "generation": self.generation, "id": attribute(line, "NH_ID"), "hops": {}}
        if route["kind"] != "unicast":
            pass
        elif route["id"]:
            route["hops"] = old.get("hops", {})
        elif many:
            for part in re.findall(r"{([^}]*)}", many.group(1)):
                via = attribute(part, "VIA")
                gateway = via.split(":", 1)[1] if via else attribute(part, "GATEWAY")
                weight = int(re.search(r"weight (\d+)", part).group(1))
                name = hop(gateway, attribute(part, "dev"), "onlink" in attribute(part, "flags"))
                route["hops"][name] = route["hops"].get(name, 0) + weight
        else:
            via = attribute(line, "VIA")
            gateway = via.split(":", 1)[1] if via else attribute(line, "GATEWAY")
            onlink = "onlink" in attribute(line, "rtmflags")
            route["hops"] = {hop(gateway, attribute(line, "OIF"), onlink): 1}
        self.routes[prefix] = route

    def settle(self):
        for route in self.routes.values():
            if route["id"] and route["generation"] == self.generation:
                hops = self.resolve(route["id"])
                if hops is not None:
                    route["hops"] = hops
        if self.filling or self.held:
            stale = [p for p, r in self.routes.items() if r["generation"] != self.generation]
            missing = sum(self.routes[p]["proto"] != "kernel" for p in stale)
            back = max(self.base - missing, 0)
            self.filling, self.held = False, back * 100 < self.base * 50 and missing > 16
            if not self.held:
                for prefix in stale:
                    del self.routes[prefix]

    def lines(self):
        for prefix, route in sorted(self.routes.items()):
            hops = route["hops"]
            if len(hops) == 1:
                hops = dict.fromkeys(hops, 1)
            gateways = any(not h.startswith("@") for h in hops)
            if route["proto"] == "kernel" and not gateways or prefix.startswith("fe80::"):
                continue
            yield " ".join([prefix, route["kind"]] + sorted("%s*%d" % h for h in hops.items()))


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value


def main():
    folder, wanted = sys.argv[1], sys.argv[2:]
    routers = {}
    for stream in json.load(open(folder + "/INDEX.json")):
        router = routers.setdefault((stream["version"], stream["set"]), Router())
        if stream["name"].endswith("initial-sync") and "-x" in stream["name"]:
            router = routers[stream["version"], stream["set"]] = Router()
        connect = any("zebra connected" in c for c in stream["connection"])
        if connect:
            router.connect()
        counts = dict.fromkeys(["newroute", "delroute", "newnexthop", "delnexthop"], 0)
        frames = set()
        for line in open("%s/%s.txt" % (folder, stream["name"])):
            if "nllen=" in line:
                counts[router.message(line)] += 1
                frames.add(re.search(r"#(\d+)", line).group(1))
        router.settle()
        lines = list(router.lines())
        digest = fnv("".join(l + "\n" for l in lines))
        if wanted == [stream["name"]]:
            print("\n".join(lines))
        elif not wanted:
            numbers = " ".join("%s=%d" % c for c in counts.items())
            print("%s connect=%d frames=%d %s held=%d routes=%d digest=%016x" % (
                stream["name"], connect, len(frames), numbers, router.held, len(lines), digest))


main()
