"""Frames of numbered packets for the smoke tests, tunnels and all, built once and sent by raw sockets."""

import ipaddress
import struct

TCP, UDP = 6, 17
VXLAN, GTP, ROCE = 4789, 2152, 4791
DATA = bytes(12)  # what packets carry: their sender's to fill in


def packed(address):
    return ipaddress.ip_address(address).packed


def ip(source, destination, protocol, payload, label=0):
    """An IPv4 or IPv6 packet, by its addresses."""
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28 | label, len(payload), protocol, 64) + packed(source) + packed(destination) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + packed(source) + packed(destination)
    total = sum(struct.unpack("!10H", head))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return head[:10] + struct.pack("!H", 0xffff - total) + head[12:] + payload


def udp(sport, dport, payload):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(sport, dport, payload):
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 0x50, 0x10, 1000, 0, 0) + payload


def ethernet(packet, macs=bytes(12)):
    return macs + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


def vxlan(packet, vni=7):
    """The payload of a UDP packet to VXLAN."""
    return struct.pack("!II", 0x08000000, vni << 8) + ethernet(packet, bytes.fromhex("020000000a01020000000a02"))


def gtp(teid, packet):
    """The payload of a UDP packet to GTP: user data with a sequence number."""
    return struct.pack("!BBHIHBB", 0x32, 255, 4 + len(packet), teid, 1, 0, 0) + packet


def roce(qp, payload):
    """The payload of a UDP packet to ROCE: a base transport header, send only."""
    return struct.pack("!BBHII", 0x04, 0x40, 0xffff, qp, 1) + payload


# Makers of flows: called with a random generator, each gives a packet of a new flow and one of its reverse.

def plain(addresses, pack, protocol):
    """TCP or UDP; both ends chose one flow label."""
    def make(draw):
        (a, b), (x, y), label = ends(addresses, draw), ports(draw), draw.getrandbits(20)
        return [ip(s, d, protocol, pack(p, q, DATA), label) for s, d, p, q in ((a, b, x, y), (b, a, y, x))]
    return make


def vtep(outer, inner):
    """UDP in VXLAN: the outer source port is each sender's own choice."""
    def make(draw):
        (a, b), pair = ends(outer, draw, 3), plain(inner, udp, UDP)(draw)
        return [ip(s, d, UDP, udp(draw.randrange(49152, 65536), VXLAN, vxlan(packet)))
                for s, d, packet in ((a, b, pair[0]), (b, a, pair[1]))]
    return make


def mobile(outer, inner):
    """UDP in GTP-U: each end chose the TEID that it receives by."""
    def make(draw):
        (a, b), pair = ends(outer, draw, 3), plain(inner, udp, UDP)(draw)
        return [ip(s, d, UDP, udp(GTP, GTP, gtp(draw.getrandbits(32), packet)))
                for s, d, packet in ((a, b, pair[0]), (b, a, pair[1]))]
    return make


def sixinfour(outer, inner):
    """TCP in 6in4."""
    def make(draw):
        (a, b), pair = ends(outer, draw, 3), plain(inner, tcp, TCP)(draw)
        return [ip(s, d, 41, packet) for s, d, packet in ((a, b, pair[0]), (b, a, pair[1]))]
    return make


def queue_pair(addresses):
    """RoCEv2, as its senders do it: the reverse has a source port and a queue pair of its own."""
    def make(draw):
        a, b = ends(addresses, draw, 3)
        return [ip(s, d, UDP, udp(ports(draw)[0], ROCE, roce(draw.getrandbits(24), DATA))) for s, d in ((a, b), (b, a))]
    return make


def ends(addresses, draw, most=250):
    return [each.format(draw.randint(1, most)) for each in addresses]


def ports(draw):
    return draw.randrange(1024, 30000), draw.randrange(30000, 60000)
