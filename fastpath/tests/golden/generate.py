#!/usr/bin/env python3
"""Writes NAME.in.pcap and NAME.out.pcap: what goes into port 0 of the router of tests/support, and what comes out of all ports.

What comes out is built by scapy (TTL less one, checksums left to scapy, fragments and ICMP errors by scapy too), so that it
shares nothing with what is tested. Frames out are in order of their port, which their source MAC address tells.
Run in this folder, with python3-scapy of Debian 13; the files are committed and change only when this script does.
"""

from scapy.all import (AH, ESP, GRE, ICMP, IP, IPv6, Dot1AD, Dot1Q, Ether, ICMPerror, ICMPv6DestUnreach, ICMPv6EchoRequest,
                       ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPerror, IPOption_Router_Alert, IPOption_RR, IPOption_NOP,
                       IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw, SCTP, TCP, UDP,
                       UDPerror, VXLAN, fragment, wrpcap)
from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.contrib.roce import BTH

HOST4, HOST6 = "10.244.1.10", "fd00:f4::10"
LEAF4, LEAF6 = "169.254.0.1", "fd00:f4:0:1::2"  # out of port 1, untagged
TAGGED4, TAGGED6 = "172.16.0.9", "fd00:16::9"   # out of port 3, VLAN 100
NARROW4, NARROW6 = "172.17.0.9", "fd00:17::9"   # out of port 4, MTU 600 and 1400
DATA = Raw(bytes(range(64)))


def link(port, outbound):
    ours, theirs = f"02:00:00:00:00:{port:02x}", f"02:00:00:00:01:{port:02x}"
    header = Ether(src=ours, dst=theirs) if outbound else Ether(src=theirs, dst=ours)
    return header / Dot1Q(vlan=100) if outbound and port == 3 else header


def built(packet):
    """The packet with every length and checksum filled in."""
    return packet.__class__(bytes(packet))


def forwarded(packet, port):
    """As it leaves by `port`."""
    packet = built(packet)
    if IP in packet and packet.name == "IP":
        packet.ttl -= 1
        del packet.chksum
    else:
        packet.hlim -= 1
    return link(port, True) / packet


def plain(*packets):
    """Pairs of frame in and frame out for packets to either kind of port."""
    ports = {LEAF4: 1, LEAF6: 1, TAGGED4: 3, TAGGED6: 3}
    return [(link(0, False) / p, [forwarded(p, ports[p.dst])]) for p in packets]


def tagged(tags, *packets):
    """The same, coming in with VLAN tags that must be gone afterwards."""
    out = []
    for frame, expected in plain(*packets):
        out.append((Ether(src=frame.src, dst=frame.dst) / tags / frame.payload, expected))
    return out


def four(to=TAGGED4, **fields):
    return IP(src=HOST4, dst=to, id=7, **fields)


def six(to=TAGGED6, **fields):
    return IPv6(src=HOST6, dst=to, **fields)


def udp(sport=1000, dport=2000):
    return UDP(sport=sport, dport=dport)


def ah(following):
    """An authentication header of 24 bytes; scapy fills in neither its length nor what follows."""
    return AH(nh=following, payloadlen=4, spi=1, seq=1, icv=bytes(12))


def refused(packet, answer):
    """A packet that is answered by an ICMP error out of port 0."""
    return [(link(0, False) / packet, [link(0, True) / answer])]


def error4(icmp, packet):
    quote = bytes(packet)[:576 - 28]
    return IP(src="10.244.1.1", dst=HOST4, ttl=64, id=0, flags="DF", tos=0xc0) / icmp / Raw(quote)


def error6(icmp, packet):
    quote = bytes(packet)[:1280 - 48]
    return IPv6(src="fd00:f4::1", dst=HOST6, hlim=64) / icmp / Raw(quote)


def cases():
    inner = IP(src="192.168.0.1", dst="192.168.0.2") / udp(5, 6) / DATA
    inner6 = IPv6(src="2001:db8:1::1", dst="2001:db8:1::2") / TCP(sport=5, dport=6) / DATA
    tunnelled = Ether(src="02:aa:00:00:00:01", dst="02:aa:00:00:00:02") / inner

    yield "plain", plain(
        four() / udp() / DATA, four(LEAF4) / TCP(sport=1, dport=2) / DATA, four() / SCTP(sport=1, dport=2), four() / ICMP() / DATA,
        six() / udp() / DATA, six(LEAF6, fl=0xabcde, tc=0xb8) / TCP(sport=1, dport=2), six() / ICMPv6EchoRequest(), four(tos=0xb9, ttl=2) / udp(),
        six(hlim=2) / udp(), four() / ESP(spi=1, seq=1), four() / AH(spi=1, seq=1) / udp())
    yield "vlan", tagged(Dot1Q(vlan=7, prio=5), four() / udp() / DATA, four(LEAF4) / udp() / DATA, six() / udp() / DATA, six(LEAF6) / udp() / DATA)
    yield "qinq", (tagged(Dot1AD(vlan=7) / Dot1Q(vlan=8), four() / udp() / DATA, four(LEAF4) / udp() / DATA, six() / udp() / DATA)
                   + tagged(Dot1Q(vlan=7) / Dot1Q(vlan=8), four() / udp() / DATA))
    yield "ipv4-options", plain(*(four(to, options=options) / udp() / DATA for to in (TAGGED4, LEAF4) for options in (
        [IPOption_NOP()] * 4, [IPOption_RR(routers=["0.0.0.0", "0.0.0.0"])], [IPOption_Router_Alert()], [IPOption_NOP()] * 40)))
    pad = PadN(optdata=bytes(12))
    yield "ipv6-extensions", plain(*(six(to) / chain / udp() / DATA for to in (TAGGED6, LEAF6) for chain in (
        IPv6ExtHdrHopByHop(options=[pad]), IPv6ExtHdrDestOpt(options=[pad]), IPv6ExtHdrRouting(addresses=["2001:db8::7"]),
        IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=["::7"]) / IPv6ExtHdrDestOpt(), IPv6ExtHdrFragment(id=9, m=0, offset=0),
        IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt())))

    whole4 = four(LEAF4) / udp() / Raw(bytes(1400))
    whole6 = [six(LEAF6) / IPv6ExtHdrFragment(id=9, m=1, offset=0, nh=17) / udp() / Raw(bytes(32)),
              six(LEAF6) / IPv6ExtHdrFragment(id=9, m=0, offset=5, nh=17) / Raw(bytes(32))]
    yield "fragments", plain(*fragment(whole4, fragsize=560), *whole6)
    big = four(NARROW4) / udp() / Raw(bytes(i & 255 for i in range(1400)))
    parts = fragment(built(big), fragsize=600 - 20)
    yield "fragmented", [(link(0, False) / big, [forwarded(p, 4) for p in parts])]

    yield "gre", plain(four() / GRE() / inner, four(LEAF4) / GRE(key_present=1, key=77) / inner, six() / GRE(proto=0x86dd) / inner6)
    yield "ipip", plain(four() / inner, six() / inner6, six(LEAF6) / inner)
    yield "6in4", plain(four() / inner6, four(LEAF4) / inner6)
    yield "vxlan", plain(four() / udp(5000, 4789) / VXLAN(vni=77) / tunnelled, six() / udp(5000, 4789) / VXLAN(vni=77) / tunnelled)
    yield "geneve", plain(four() / udp(5000, 6081) / GENEVE(vni=77, proto=0x6558) / tunnelled)
    yield "gtpu", plain(four() / udp(2152, 2152) / GTP_U_Header(teid=0x11223344, gtp_type=255) / inner,
                        four(LEAF4) / udp(2152, 2152) / GTP_U_Header(teid=1, gtp_type=255, E=1, next_ex=0x85) / GTPPDUSessionContainer(QFI=9) / inner)
    stacked = Ether(src="02:aa:00:00:00:01", dst="02:aa:00:00:00:02") / Dot1AD(vlan=7) / Dot1Q(vlan=8) / inner6
    options = [GeneveOptions(classid=0x102, type=3, data=b"\x09" * 4), GeneveOptions(classid=0x102, type=4)]
    yield "encapsulations", plain(
        four() / GRE(chksum_present=1, key_present=1, seqnum_present=1, key=77, seqence_number=9) / inner,
        six() / GRE(proto=0x6558) / tunnelled, four() / GRE(proto=0x6558) / stacked,
        four() / udp(5000, 4790) / VXLAN(flags=0x0c, NextProtocol=1, vni=77) / inner,
        six() / udp(5000, 4790) / VXLAN(flags=0x0c, NextProtocol=2, vni=77) / inner6,
        four() / udp(5000, 4790) / VXLAN(flags=0x0c, NextProtocol=3, vni=77) / tunnelled,
        four() / udp(5000, 4789) / VXLAN(vni=77) / stacked,
        six() / udp(5000, 6081) / GENEVE(vni=77, proto=0x0800, options=options) / inner,
        four(LEAF4) / udp(5000, 6081) / GENEVE(vni=77, proto=0x6558, options=options) / stacked,
        six(LEAF6) / udp(2152, 2152) / GTP_U_Header(teid=1, gtp_type=255, S=1, seq=7) / inner6,
        four(options=[IPOption_NOP()] * 4) / inner6, six() / IPv6ExtHdrDestOpt() / inner)
    ports = udp()
    yield "transports", plain(*(p / DATA for p in (
        four() / TCP(sport=1000, dport=2000), six() / SCTP(sport=1000, dport=2000), four(proto=33) / bytes(ports), six(nh=33) / bytes(ports),
        four(proto=136) / bytes(ports), six(nh=136) / bytes(ports), four() / ah(17) / ports,
        six() / ah(17) / ports, six() / ah(60) / IPv6ExtHdrDestOpt() / ports,
        six() / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=["::7"]) / ah(60) / IPv6ExtHdrDestOpt() / ports,
        six(LEAF6) / IPv6ExtHdrFragment(id=9, m=1, offset=0) / IPv6ExtHdrDestOpt() / ah(17) / ports)))
    yield "rocev2", plain(four() / udp(49152, 4791) / BTH(opcode=10, dqpn=0x123456, psn=1) / DATA)
    quoted = IPerror(src=TAGGED4, dst="8.8.8.8") / UDPerror(sport=1000, dport=2000)
    yield "icmp-errors", plain(four() / ICMP(type=3, code=4, nexthopmtu=1400) / quoted, four() / ICMP(type=11) / quoted,
                               four() / ICMP(type=5, gw="10.0.0.1") / quoted, six() / ICMPv6PacketTooBig(mtu=1280) / bytes(inner6),
                               six() / ICMPv6DestUnreach() / bytes(inner6))

    expired, expired6 = built(four(ttl=1) / udp() / DATA), built(six(hlim=1) / udp() / DATA)
    unknown, unknown6 = built(four("8.8.8.8") / udp() / DATA), built(six("2600::1") / udp() / DATA)
    closed, closed6 = built(four("203.0.113.9") / udp() / DATA), built(six("2001:db8:a::9") / udp() / DATA)
    large, large6 = built(four(NARROW4, flags="DF") / udp() / Raw(bytes(1000))), built(six(NARROW6) / udp() / Raw(bytes(1400)))
    yield "answers", (refused(expired, error4(ICMP(type=11), expired)) + refused(expired6, error6(ICMPv6TimeExceeded(), expired6))
                      + refused(unknown, error4(ICMP(type=3, code=0), unknown)) + refused(unknown6, error6(ICMPv6DestUnreach(code=0), unknown6))
                      + refused(closed, error4(ICMP(type=3, code=13), closed)) + refused(closed6, error6(ICMPv6DestUnreach(code=1), closed6))
                      + refused(large, error4(ICMP(type=3, code=4, nexthopmtu=600), large))
                      + refused(large6, error6(ICMPv6PacketTooBig(mtu=1400), large6)))

    # What lies about itself: nothing comes out.
    lies = [four(ihl=4) / udp(), four(ihl=15) / udp(), four(len=19) / udp(), four(len=2000) / udp(), four(chksum=1) / udp(),
            four(version=6) / udp(), six(plen=2000) / udp(), six(version=4) / udp(), six(plen=0, nh=0), IP(src="127.0.0.1", dst=LEAF4) / udp(),
            IP(src=HOST4, dst="240.1.1.1") / udp(), IPv6(src="::1", dst=LEAF6) / udp(), IPv6(src="ff02::1", dst=LEAF6) / udp()]
    ethertype = {"IP": 0x0800, "IPv6": 0x86dd}
    frames = [Ether(src="02:00:00:00:01:00", dst="02:00:00:00:00:00", type=ethertype[p.name]) / p for p in lies]
    yield "lies", [(f, []) for f in frames]
    # Extension headers whose lengths lead past the end: forwarded all the same, without ports.
    yield "endless", plain(six(LEAF6, nh=60) / Raw(b"\x3c\xff" + bytes(30)), six(LEAF6, nh=0) / Raw(b"\x2c\x00" + bytes(6) + b"\x11\x00\x00"),
                           six(LEAF6, nh=43) / Raw(b""), four(LEAF4, proto=6) / Raw(b"\x01\x02"))


def main():
    for name, pairs in cases():
        frames = [Ether(bytes(f)) for f, _ in pairs]
        expected = sorted((Ether(bytes(f)) for _, out in pairs for f in out), key=lambda f: f.src)
        for suffix, packets in ("in", frames), ("out", expected):
            for packet in packets:
                packet.time = 0
            wrpcap(f"{name}.{suffix}.pcap", packets, linktype=1)
        print(f"{name}: {len(frames)} in, {len(expected)} out")


if __name__ == "__main__":
    main()
