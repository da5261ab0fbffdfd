"""Random packets of every kind that the hash reads, from a fixed seed: written from the RFCs, not from the readers under test."""

import ipaddress
import struct
from random import Random

MACS = bytes.fromhex("020000000101020000000102")  # dpu, host
KINDS = []  # (name, share, maker)
FRAGMENTS = []  # the same of kinds whose frames are fragments: built anew for each identification


class Draw:
    """A packet's numbers: `v6` outside, source and destination there, and a generator for the rest."""

    def __init__(self, random, v6, source, destination, number):
        self.random, self.v6, self.source, self.destination, self.number = random, v6, source, destination, number
        self.ident = 0
        self.bits = random.getrandbits

    def port(self):
        # none of the ports of tunnels by chance
        return self.random.choice((443, 80, 53, 8080, self.random.randrange(10000, 65536)))

    def data(self, least=0):
        return struct.pack("!IH", self.number, self.bits(16)) + bytes(self.random.randrange(least, least + 40))

    def inside(self, v6=None):
        """Family and ends of a packet in a tunnel."""
        v6 = bool(self.bits(1)) if v6 is None else v6
        if v6:
            return v6, b"\x20\x01\x0d\xb8" + self.bits(96).to_bytes(12, "big"), b"\x20\x01\x0d\xb9" + self.bits(96).to_bytes(12, "big")
        return v6, bytes([192, 168, self.bits(8), self.bits(8)]), bytes([172, 31, self.bits(8), self.bits(8)])


def kind(name, share=1, fragments=False):
    def put(maker):
        (FRAGMENTS if fragments else KINDS).append((name, share, maker))
        return maker
    return put


# -- headers ---------------------------------------------------------------------------------------------------------------

def total(data):
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return value


def ip4(source, destination, protocol, payload, ident=0, word=0, ttl=64, options=b""):
    head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, word, ttl, protocol, 0,
                       source, destination) + options
    return head[:10] + struct.pack("!H", 0xffff - total(head)) + head[12:] + payload


def ip6(source, destination, protocol, payload, label=0, ttl=64):
    return struct.pack("!IHBB16s16s", 6 << 28 | label, len(payload), protocol, ttl, source, destination) + payload


def ip(draw, protocol, payload, ends=None, **more):
    v6, source, destination = ends or (draw.v6, draw.source, draw.destination)
    if v6:
        return ip6(source, destination, protocol, payload, label=draw.random.choice((0, draw.bits(20))), **more)
    return ip4(source, destination, protocol, payload, ident=draw.bits(16), **more)


def frame(draw, packet, tags=b""):
    return MACS + tags + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def udp(draw, data, dport=None):
    return struct.pack("!HHHH", draw.port(), dport or draw.port(), 8 + len(data), 0) + data


def segment(draw, protocol, data):
    ports = struct.pack("!HH", draw.port(), draw.port())
    head = {6: struct.pack("!IIHHHH", 1, 2, 0x5010, 256, 0, 0), 17: struct.pack("!HH", 8 + len(data), 0),
            136: struct.pack("!HH", 0, 0), 33: bytes([3, 0, 0, 0, 1, 0, 0, 2]), 132: bytes(8)}
    return ports + head[protocol] + data


def transport(draw):
    """(protocol, bytes) of something with ports, or now and then without."""
    protocol = draw.random.choice((6, 17, 17, 33, 132, 136, 50, 99))
    data = draw.data()
    return protocol, segment(draw, protocol, data) if protocol not in (50, 99) else draw.bits(64).to_bytes(8, "big") + data


def inner(draw, v6=None):
    """A whole packet to be carried."""
    protocol, payload = transport(draw)
    return ip(draw, protocol, payload, ends=draw.inside(v6))


def ethernet(draw, packet):
    tags = draw.random.choice((b"", b"", b"\x81\x00\x00\x07", b"\x88\xa8\x00\x08\x81\x00\x00\x09"))
    return bytes(range(12)) + tags + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def ethertype(packet):
    return 0x86dd if packet[0] >> 4 == 6 else 0x0800


# -- plain -----------------------------------------------------------------------------------------------------------------

for _name, _protocol in (("TCP", 6), ("UDP", 17), ("SCTP", 132), ("DCCP", 33), ("UDP-Lite", 136)):
    @kind(_name, 2 if _protocol in (6, 17) else 1)
    def _(draw, protocol=_protocol):
        return frame(draw, ip(draw, protocol, segment(draw, protocol, draw.data())))


@kind("ICMP echo")
def _(draw):
    echo = struct.pack("!BBHHH", 128 if draw.v6 else 8, 0, 0, draw.bits(16), draw.bits(16)) + draw.data()
    return frame(draw, ip(draw, 58 if draw.v6 else 1, echo))


@kind("other protocols")
def _(draw):
    return frame(draw, ip(draw, draw.random.choice((2, 89, 99, 103, 253)), draw.data(8)))


@kind("ESP")
def _(draw):
    return frame(draw, ip(draw, 50, struct.pack("!II", draw.bits(32), draw.bits(32)) + draw.data(16)))


@kind("AH")
def _(draw):
    protocol, payload = transport(draw)
    return frame(draw, ip(draw, 51, struct.pack("!BBHIII", protocol, 2, 0, draw.bits(32), draw.bits(32), 0)[:12] + bytes(4) + payload))


@kind("one or two VLAN tags")
def _(draw):
    tags = draw.random.choice((b"\x81\x00\x00\x05", b"\x88\xa8\x00\x05\x81\x00\x00\x06", b"\x81\x00\xe0\x00"))
    protocol, payload = transport(draw)
    return frame(draw, ip(draw, protocol, payload), tags)


@kind("IPv4 options, IPv6 extension headers", 2)
def _(draw):
    protocol, payload = transport(draw)
    if not draw.v6:
        options = draw.random.choice((b"\x01\x01\x01\x01", b"\x07\x07\x04\x00\x00\x00\x00\x01", b"\x94\x04\x00\x00"))
        return frame(draw, ip(draw, protocol, payload, options=options))
    first, chain = protocol, b""
    for header in draw.random.sample((0, 60, 43, 44), draw.random.randrange(1, 5)):
        if header == 0:
            continue  # hop-by-hop is first only: below
        body = {60: b"\x00\x01\x04\x00\x00\x00\x00", 43: b"\x02\x04\x01\x00\x00\x00\x00" + bytes(16), 44: b"\x00\x00\x00" + draw.bits(32).to_bytes(4, "big")}
        chain, first = bytes([first]) + body[header] + chain, header
    if draw.bits(1) or first == protocol:
        chain, first = bytes([first]) + b"\x00\x01\x04\x00\x00\x00\x00" + chain, 0
    return frame(draw, ip(draw, first, chain + payload))


# -- tunnels ---------------------------------------------------------------------------------------------------------------

@kind("IPIP, 6in4, 4in6, 6in6", 3)
def _(draw):
    packet = inner(draw)
    return frame(draw, ip(draw, 41 if packet[0] >> 4 == 6 else 4, packet))


@kind("GRE, plain or with checksum, key, sequence number", 2)
def _(draw):
    packet, flags = inner(draw), draw.bits(3)
    words = bytes(4 * bin(flags).count("1"))
    flags = (flags & 1) << 15 | (flags >> 1 & 1) << 13 | (flags >> 2) << 12
    return frame(draw, ip(draw, 47, struct.pack("!HH", flags, ethertype(packet)) + words + packet))


@kind("GRE with Ethernet")
def _(draw):
    return frame(draw, ip(draw, 47, struct.pack("!HH", 0, 0x6558) + ethernet(draw, inner(draw))))


@kind("VXLAN", 2)
def _(draw):
    return frame(draw, ip(draw, 17, udp(draw, struct.pack("!II", 8 << 24, draw.bits(24) << 8) + ethernet(draw, inner(draw)), 4789)))


@kind("VXLAN-GPE")
def _(draw):
    packet = inner(draw)
    with_ethernet = draw.bits(1)
    number = 3 if with_ethernet else 2 if packet[0] >> 4 == 6 else 1
    data = ethernet(draw, packet) if with_ethernet else packet
    return frame(draw, ip(draw, 17, udp(draw, struct.pack("!BBBBI", 0x0c, 0, 0, number, draw.bits(24) << 8) + data, 4790)))


@kind("Geneve with options", 2)
def _(draw):
    packet, words = inner(draw), draw.random.randrange(4)
    with_ethernet = draw.bits(1)
    head = struct.pack("!BBHI", words, 0, 0x6558 if with_ethernet else ethertype(packet), draw.bits(24) << 8) + bytes(4 * words)
    return frame(draw, ip(draw, 17, udp(draw, head + (ethernet(draw, packet) if with_ethernet else packet), 6081)))


def gtpu(draw, packet, extensions):
    teid, more = draw.bits(32), b""
    if extensions:
        more = struct.pack("!HBB", draw.bits(16), 0, 0x85) + b"\x01\x10" + bytes([draw.bits(6), 0x85 if extensions > 1 else 0])
        if extensions > 1:
            more += b"\x02\x00\x00\x00\x00\x00\x00\x00"
    return struct.pack("!BBHI", 0x34 if extensions else 0x30, 255, len(more) + len(packet), teid) + more + packet


@kind("GTP-U", 2)
def _(draw):
    return frame(draw, ip(draw, 17, udp(draw, gtpu(draw, inner(draw), 0), 2152)))


@kind("GTP-U with extension headers")
def _(draw):
    return frame(draw, ip(draw, 17, udp(draw, gtpu(draw, inner(draw), draw.random.randrange(1, 3)), 2152)))


@kind("GTP-U signalling, GTP-C, others at its port")
def _(draw):
    teid = draw.bits(32)
    head, port = draw.random.choice((
        (struct.pack("!BBHI", 0x32, draw.random.choice((1, 2, 26, 31, 254)), 4, teid) + bytes(4), 2152),
        (struct.pack("!BBHI", 0x32, draw.random.choice((16, 20, 32)), 4, teid) + bytes(4), draw.random.choice((2152, 2123))),
        (struct.pack("!BBHI", 0x48, 32, 8, teid) + bytes(4), 2152), (draw.bits(96).to_bytes(12, "big"), 2152)))
    return frame(draw, ip(draw, 17, udp(draw, head + draw.data(), port)))


def roce(draw):
    return struct.pack("!BBHII", 4, 0x40, 0xffff, draw.bits(24), draw.bits(24)) + draw.data(16)


@kind("RoCEv2", 2)
def _(draw):
    return frame(draw, ip(draw, 17, udp(draw, roce(draw), 4791)))


@kind("GTP-U or RoCEv2 in VXLAN")
def _(draw):
    carried = udp(draw, gtpu(draw, inner(draw), 0), 2152) if draw.bits(1) else udp(draw, roce(draw), 4791)
    packet = ip(draw, 17, carried, ends=draw.inside())
    return frame(draw, ip(draw, 17, udp(draw, struct.pack("!II", 8 << 24, draw.bits(24) << 8) + ethernet(draw, packet), 4789)))


@kind("tunnels cut off or damaged inside")
def _(draw):
    packet = inner(draw)
    cut = packet[:draw.random.randrange(1, 44)]
    tunnel = draw.random.choice((
        lambda: (47, struct.pack("!HH", 0, ethertype(packet)) + cut), lambda: (41 if packet[0] >> 4 == 6 else 4, cut),
        lambda: (17, udp(draw, struct.pack("!II", 8 << 24, 77 << 8) + ethernet(draw, cut + b"\x45"), 4789)),
        lambda: (17, udp(draw, gtpu(draw, packet, 1)[:draw.random.randrange(4, 20)], 2152)),
        lambda: (17, udp(draw, roce(draw)[:draw.random.randrange(2, 12)], 4791))))
    protocol, payload = tunnel()
    return frame(draw, ip(draw, protocol, payload + draw.data()[:6] if protocol == 4 else payload))


# -- ICMP errors -----------------------------------------------------------------------------------------------------------

def error(draw, quoted):
    if draw.v6:
        number = draw.random.choice((1, 2, 3, 4))
        return ip(draw, 58, struct.pack("!BBHI", number, 0, 0, 1280 if number == 2 else 0) + quoted)
    number = draw.random.choice((3, 4, 5, 11, 12))
    return ip(draw, 1, struct.pack("!BBHI", number, 4 if number == 3 else 0, 0, 1280) + quoted)


def back(draw):
    """The ends of what the error's destination had sent."""
    return draw.v6, draw.destination, draw.inside(draw.v6)[1]


@kind("ICMP errors quoting flows", 2)
def _(draw):
    protocol, payload = transport(draw)
    return frame(draw, error(draw, ip(draw, protocol, payload, ends=back(draw))))


@kind("ICMP errors quoting eight bytes or less")
def _(draw):
    protocol, payload = transport(draw)
    return frame(draw, error(draw, ip(draw, protocol, payload, ends=back(draw))[:(48 if draw.v6 else 28) - draw.random.choice((0, 0, 2, 5))]))


@kind("ICMP errors quoting tunnels")
def _(draw):
    quoted = draw.random.choice((lambda: (17, udp(draw, gtpu(draw, inner(draw), 0), 2152)), lambda: (4, inner(draw, False)),
                                 lambda: (17, udp(draw, struct.pack("!II", 8 << 24, 7 << 8) + ethernet(draw, inner(draw)), 4789))))
    protocol, payload = quoted()
    return frame(draw, error(draw, ip(draw, protocol, payload, ends=back(draw))))


# -- what is not forwarded -------------------------------------------------------------------------------------------------

@kind("not forwarded: TTL or hop limit 1")
def _(draw):
    return frame(draw, ip(draw, 17, udp(draw, draw.data()), ttl=1))


@kind("not forwarded: damaged header, martian source")
def _(draw):
    packet = ip(draw, 17, udp(draw, draw.data()))
    if draw.v6:
        return frame(draw, packet[:8] + bytes(15) + b"\x01" + packet[24:])
    return frame(draw, packet[:10] + bytes([packet[10] ^ 0x55]) + packet[11:])


# -- fragments: lists of frames in the order they are sent ------------------------------------------------------------------

def cut(draw, protocol, payload, sizes, ends=None):
    """The fragments of one datagram; `ident` names it."""
    v6, source, destination = ends or (draw.v6, draw.source, draw.destination)
    label, parts, at = draw.bits(20), [], 0
    for size in sizes:
        piece = payload[at:at + size] if at + size < len(payload) and size is not sizes[-1] else payload[at:]
        more = at + len(piece) < len(payload)
        if v6:
            head = struct.pack("!BBHI", protocol, 0, at | more, draw.ident)
            parts.append(ip6(source, destination, 44, head + piece, label=label))
        else:
            parts.append(ip4(source, destination, protocol, piece, draw.ident & 0xffff, at // 8 | more << 13))
        at += len(piece)
    return parts


def datagram(draw):
    return 17, udp(draw, draw.data(160))


@kind("fragments in order", 2, True)
def _(draw):
    return [frame(draw, part) for part in cut(draw, *datagram(draw), (64, 48, 0))]


@kind("fragments, the last first", 2, True)
def _(draw):
    return [frame(draw, part) for part in reversed(cut(draw, *datagram(draw), (64, 48, 0)))]


@kind("fragments of tunnels", 2, True)
def _(draw):
    payload = udp(draw, gtpu(draw, inner(draw) + bytes(120), 0), 2152)  # the first fragment has all headers
    return [frame(draw, part) for part in cut(draw, 17, payload, (120, 0))]


@kind("fragments inside tunnels", 2, True)
def _(draw):
    ends = draw.inside()
    parts = cut(draw, *datagram(draw), (64, 0), ends)
    teid, port = draw.bits(32), draw.port()
    head = lambda part: struct.pack("!HHHHBBHI", port, 2152, 16 + len(part), 0, 0x30, 255, len(part), teid)
    label = {"label": draw.bits(20)} if draw.v6 else {"ident": draw.bits(16)}
    make = ip6 if draw.v6 else ip4
    return [frame(draw, make(draw.source, draw.destination, 17, head(part) + part, **label)) for part in parts]


@kind("later fragments whose first never comes", 1, True)
def _(draw):
    return [frame(draw, cut(draw, *datagram(draw), (64, 0))[1])]


# -- all of them -----------------------------------------------------------------------------------------------------------

class Packets:
    """`count` packets of all kinds to random addresses in `classes` (name -> (source, destination prefix)), from `seed`.

    `names`, `kinds` and `classes` go with the frames that `frames(round)` gives, whose fragments have new identifications each
    round: a later fragment follows its first one even where the settings have changed since.
    """

    def __init__(self, seed, classes, count):
        random = Random(seed)
        choices = [(name, make, False) for name, share, make in KINDS for _ in range(share)]
        choices += [(name, make, True) for name, share, make in FRAGMENTS for _ in range(share)]
        ends = {name: [ipaddress.ip_network(each) for each in pair] for name, pair in classes.items()}
        self.kinds, self.classes, self.makers = [], [], []
        known, number = set(), 0
        while len(self.kinds) < count:
            # every kind to every class in turn, so that none is left out by chance
            number += 1
            name, make, fragments = choices[number % len(choices)]
            where = list(ends)[number // len(choices) % len(ends)]
            source, destination = (net[random.getrandbits(min(16, net.max_prefixlen - net.prefixlen))].packed for net in ends[where])
            state = random.getrandbits(64)

            def build(turn, state=state, where=where, source=source, destination=destination, number=number, make=make):
                draw = Draw(Random(state), len(source) == 16, source, destination, number)
                draw.ident = (number * 16 + turn) * 0x9e3779b1 & 0xffffffff ^ number
                made = make(draw)
                return made if isinstance(made, list) else [made]

            frames = build(0)
            if len(self.kinds) + len(frames) > count:
                continue
            names = {identity(each) for each in frames}
            if names & known or len(names) < len(frames):
                continue
            known |= names
            self.kinds += [name] * len(frames)
            self.classes += [where] * len(frames)
            self.makers.append(build if fragments else frames)

    def frames(self, turn):
        """All frames, as they are sent."""
        return [each for make in self.makers for each in (make(turn) if callable(make) else make)]


def identity(packet):
    """What of a frame neither hop nor tag changes: the IP packet without TTL and header checksum."""
    at, ethertype_of = 14, packet[12:14]
    while ethertype_of in (b"\x81\x00", b"\x88\xa8"):
        ethertype_of, at = packet[at + 2:at + 4], at + 4
    if ethertype_of == b"\x08\x00":
        end = at + int.from_bytes(packet[at + 2:at + 4], "big")
        return bytes(packet[at:at + 8] + packet[at + 9:at + 10] + packet[at + 12:end])
    end = at + 40 + int.from_bytes(packet[at + 4:at + 6], "big")
    return bytes(packet[at:at + 7] + packet[at + 8:end])


def pcap(path, frames):
    """Write a capture."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for each in frames:
            file.write(struct.pack("<IIII", 0, 0, len(each), len(each)) + each)
