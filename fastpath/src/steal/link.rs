//! What rtnetlink says of a netdev, and what is set on it: one request, one answer.
//!
//! rtnetlink and not `/sys/class/net`: a mounted sysfs shows the network namespace of whoever
//! mounted it, a socket that of this process.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached};
use netlink_packet_route::tc::{TcHandle, TcMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::error::Error;

/// A netdev as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) mac: [u8; 6],
    /// Bytes of the IP packet.
    pub(super) mtu: u32,
    /// Id of the attached XDP program.
    pub(super) xdp: Option<u32>,
    /// It runs in generic mode: after the kernel made a buffer of its own of each packet.
    pub(super) generic_xdp: bool,
}

/// Whether `name` can be a netdev's name and stand in DPDK device arguments.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let usable = matches!(name.len(), 1..=15)
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/:,=%[]\"".contains(&byte));
    if usable {
        Ok(())
    } else {
        Err(Error::Name {
            name: name.to_owned(),
        })
    }
}

impl Link {
    /// The netdev `name` of this network namespace, with an Ethernet address.
    pub(super) fn get(name: &str) -> Result<Link, Error> {
        Self::find(name)?.ok_or_else(|| Error::Missing {
            netdev: name.to_owned(),
        })
    }

    /// The same, or none.
    pub(super) fn find(name: &str) -> Result<Option<Link>, Error> {
        check_name(name)?;
        let mut ask = LinkMessage::default();
        ask.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let answers = match request(RouteNetlinkMessage::GetLink(ask), 0) {
            Ok(answers) => answers,
            Err(cause) if cause.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            Err(cause) => return Err(Error::kernel(name, "read link")(cause)),
        };
        let Some(message) = answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(message),
            _ => None,
        }) else {
            return Ok(None);
        };
        let mut mac = None;
        let (mut mtu, mut xdp, mut generic_xdp) = (0, None, false);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes).ok(),
                LinkAttribute::Mtu(bytes) => mtu = bytes,
                LinkAttribute::Xdp(facts) => {
                    xdp = program_id(&facts);
                    generic_xdp = facts.contains(&LinkXdp::Attached(XdpAttached::SocketBuffer));
                }
                _ => {}
            }
        }
        let mac = mac
            .filter(|&mac| mac != [0; 6])
            .ok_or_else(|| Error::NotEthernet {
                netdev: name.to_owned(),
            })?;
        Ok(Some(Link {
            name: name.to_owned(),
            index: message.header.index,
            mac,
            mtu,
            xdp,
            generic_xdp,
        }))
    }

    /// Sets one attribute; `operation` names it for an error.
    pub(super) fn set(
        &self,
        attribute: LinkAttribute,
        operation: &'static str,
    ) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message.attributes.push(attribute);
        request(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)
            .map_err(Error::kernel(&self.name, operation))?;
        Ok(())
    }

    /// Index in the signed form of libbpf and tc.
    pub(super) fn signed_index(&self) -> i32 {
        i32::try_from(self.index).unwrap_or(i32::MAX)
    }

    /// Whether the netdev has a clsact (or ingress) qdisc.
    pub(super) fn has_clsact(&self) -> Result<bool, Error> {
        let answers = request(
            RouteNetlinkMessage::GetQueueDiscipline(self.tc(TcHandle::default())),
            NLM_F_DUMP,
        )
        .map_err(Error::kernel(&self.name, "list qdiscs"))?;
        // A kernel may ignore the index of the request and list all netdevs.
        Ok(answers.iter().any(|answer| match answer {
            RouteNetlinkMessage::NewQueueDiscipline(message) => {
                message.header.index == self.signed_index()
                    && message.header.parent == TcHandle::CLSACT
            }
            _ => false,
        }))
    }

    /// Whether any filter is left on the clsact qdisc, in either direction.
    pub(super) fn has_filters(&self) -> Result<bool, Error> {
        for minor in [TcHandle::MIN_INGRESS, TcHandle::MIN_EGRESS] {
            let parent = TcHandle {
                major: u16::MAX,
                minor,
            };
            let answers = request(
                RouteNetlinkMessage::GetTrafficFilter(self.tc(parent)),
                NLM_F_DUMP,
            )
            .map_err(Error::kernel(&self.name, "list filters"))?;
            let one = |answer: &RouteNetlinkMessage| {
                matches!(answer, RouteNetlinkMessage::NewTrafficFilter(message)
                    if message.header.index == self.signed_index())
            };
            if answers.iter().any(one) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tc(&self, parent: TcHandle) -> TcMessage {
        let mut message = TcMessage::default();
        message.header.index = self.signed_index();
        message.header.parent = parent;
        message
    }
}

/// The one program, or the driver's where several modes are in use at once.
fn program_id(facts: &[LinkXdp]) -> Option<u32> {
    let id = |fact: &LinkXdp| match *fact {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) if id != 0 => {
            Some(id)
        }
        _ => None,
    };
    facts.iter().find_map(id)
}

/// Sends one request and collects what comes back; an error answer is its errno.
fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut packet = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
    packet.header.flags = NLM_F_REQUEST | flags;
    packet.header.sequence_number = 1;
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let more = flags & (NLM_F_DUMP | NLM_F_ACK) != 0;
    let mut answers = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let length = (packet.header.length as usize).next_multiple_of(4);
            match packet.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                _ => {}
            }
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
        if !more && !answers.is_empty() {
            return Ok(answers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_the_kernel_and_device_arguments_can_carry() {
        for good in [
            "a",
            "eth1",
            "enp1s0f0np0",
            "p0.100",
            "ep-eth1",
            "fifteen-chars-x",
        ] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a\tb",
            "a:1",
            "a,b",
            "a=b",
            "dtap%d",
            "a[0]",
            "sixteen-chars-xx",
            "é",
            "a\0",
            "a\"",
        ] {
            assert!(
                matches!(check_name(bad), Err(Error::Name { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_program_is_the_one_attached() {
        assert_eq!(program_id(&[]), None);
        assert_eq!(program_id(&[LinkXdp::ProgId(0)]), None);
        assert_eq!(
            program_id(&[LinkXdp::Flags(4), LinkXdp::ProgId(7)]),
            Some(7)
        );
        assert_eq!(
            program_id(&[LinkXdp::DrvProgId(8), LinkXdp::SkbProgId(9)]),
            Some(8)
        );
    }

    #[test]
    fn a_netdev_that_is_not_there_is_named() {
        let error = Link::get("absent0").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("netdev absent0: open: no such netdev"),
            "{error}"
        );
        assert_eq!(Link::find("absent0").unwrap(), None);
    }

    #[test]
    fn loopback_has_no_ethernet_address() {
        assert!(matches!(Link::get("lo"), Err(Error::NotEthernet { .. })));
    }
}
