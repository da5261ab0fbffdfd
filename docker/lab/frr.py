"""FRR of the lab: configuration files and command lines. Every node has its own path space (`-N NODE`)."""

import grp
import os
import pwd

NODES = ("dpu", "leaf1", "leaf2", "server")
DAEMONS = ("mgmtd", "zebra", "bgpd")  # mgmtd first: zebra looks for it
SENTINEL = "fec0::ffff/128"  # the last route of every FPM resync, by which evenpath knows that it is over
BIN = "/usr/lib/frr"
TIMERS = "5 15"  # of BGP: keepalive, hold time, seconds; a busy machine is not to end a session

# AS, router id, {neighbor address or interface: remote AS}, networks it announces
BGP = {
    "dpu": (65100, "10.244.1.1", {"up1": ("169.254.0.1", "fd00:254::1", 65001), "up2": ("169.254.0.3", "fd00:254::3", 65002)},
            ("10.244.1.0/24", "fd00:244:1::/64")),
    "leaf1": (65001, "192.0.2.0", {"dpu": ("169.254.0.0", "fd00:254::", 65100), "server": ("192.0.2.1", "fd00:192::1", 65200)}, ()),
    "leaf2": (65002, "192.0.2.2", {"dpu": ("169.254.0.2", "fd00:254::2", 65100), "server": ("192.0.2.3", "fd00:192::3", 65200)}, ()),
    "server": (65200, "10.0.0.10", {"eth1": ("192.0.2.0", "fd00:192::", 65001), "eth2": ("192.0.2.2", "fd00:192::2", 65002)},
               ("10.0.0.0/8", "fd00:10::/32")),
}


def configure(node, unnumbered, nexthop_groups, bgp=(), bfd=False):
    """Write the node's files under /run/frr/NODE, readable by FRR's user. `bgp`: lines for `router bgp`; `bfd`: with BFD
    between the dpu and its leaves."""
    folder = f"/run/frr/{node}"
    os.makedirs(folder, exist_ok=True)
    texts = {"zebra": _zebra(node, nexthop_groups), "bgpd": _bgpd(node, unnumbered, bgp, bfd)}
    if bfd:
        # 3 x 100 ms: short enough to be well ahead of BGP's hold time, long enough for a busy machine
        texts["bfdd"] = "bfd\n profile lab\n  detect-multiplier 3\n  receive-interval 100\n  transmit-interval 100\n exit\nexit\n"
    for daemon, text in texts.items():
        with open(f"{folder}/{daemon}.conf", "w") as file:
            file.write(f"hostname {node}\nlog file {folder}/{daemon}.log\nlog timestamp precision 6\n{text}")
    owner, group = pwd.getpwnam("frr").pw_uid, grp.getgrnam("frr").gr_gid
    os.chown("/run/frr", owner, group)
    os.chown(folder, owner, group)
    for name in os.listdir(folder):
        os.chown(f"{folder}/{name}", owner, group)


def command(node, daemon):
    """The daemon in the foreground, so that it ends with the lab."""
    more = () if daemon in ("mgmtd", "staticd") else ("-f", f"/run/frr/{node}/{daemon}.conf")
    if node.startswith("dpu") and daemon == "zebra":
        more += ("-M", "dplane_fpm_nl")
    return (f"{BIN}/{daemon}", "-N", node, "-i", f"/run/frr/{node}/{daemon}.pid", "-u", "frr", "-g", "frr",
            "-A", "127.0.0.1", "-P", "0", *more)


def _zebra(node, nexthop_groups):
    lines = ["no zebra nexthop kernel enable"]  # kernel next-hop objects outlive the session that made them
    if node.startswith("dpu"):
        lines.append("fpm address 127.0.0.1 port 2620")
        if not nexthop_groups:
            lines.append("no fpm use-next-hop-groups")
    return "\n".join(lines) + "\n"


def _bgpd(node, unnumbered, bgp, bfd):
    number, router_id, neighbors, networks = BGP[node]
    lines = [
        "bgp as-path access-list own seq 5 permit ^$",
        f"router bgp {number}",
        f" bgp router-id {router_id}",
        " no bgp ebgp-requires-policy",
        " no bgp network import-check",
        " no bgp default ipv4-unicast",
        " bgp bestpath as-path multipath-relax",  # the leaves' AS numbers differ
        " bgp fast-external-failover",
        " coalesce-time 0",
        f" timers bgp {TIMERS}",
        *(f" {line}" for line in bgp),
    ]
    active = {4: [], 6: []}
    for device, (address4, address6, remote) in neighbors.items():
        if unnumbered and "dpu" in (node, device):
            lines.append(f" neighbor {device} interface remote-as {remote}")
            peers = {4: device, 6: device}
        else:
            lines += [f" neighbor {each} remote-as {remote}" for each in (address4, address6)]
            peers = {4: address4, 6: address6}
        for family, peer in peers.items():
            active[family].append((device, peer))
        for peer in sorted(set(peers.values())):
            lines += [f" neighbor {peer} timers connect 1", f" neighbor {peer} advertisement-interval 0"]
            if bfd and "dpu" in (node, device):
                lines.append(f" neighbor {peer} bfd profile lab")
    for family, name in ((4, "ipv4"), (6, "ipv6")):
        lines += [f" address-family {name} unicast", "  maximum-paths 64"]
        lines += [f"  network {each}" for each in networks if (":" in each) == (family == 6)]
        for device, peer in active[family]:
            lines.append(f"  neighbor {peer} activate")
            if device == "dpu":
                lines.append(f"  neighbor {peer} default-originate")
            if node == "dpu":
                lines.append(f"  neighbor {peer} filter-list own out")  # a DPU is no transit between its leaves
        lines.append(" exit-address-family")
    return "\n".join(lines) + "\n"
