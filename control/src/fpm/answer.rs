//! Answers to zebra: what became of the routes that it sent.
//!
//! An answer is zebra's own `RTM_NEWROUTE` with a flag that says so, without next hops, which zebra
//! does not look at. FRR (`zebra/dplane_fpm_nl.c`, `fpm_read`) reads one message of a frame, so each
//! answer is a frame of its own; any number of frames go in one write.

use super::decode::{NEWROUTE, RouteKind};
use super::frame::HEADER;
use crate::prefix::Prefix;
use std::net::IpAddr;

/// `RTM_F_OFFLOAD`: forwarded; zebra shows `*`, and bgpd may announce the route.
pub const OFFLOAD: u32 = 0x4000;
/// `RTM_F_TRAP`: forwarded by a CPU; zebra shows `t`. Alone it does not let bgpd announce the route.
pub const TRAP: u32 = 0x8000;
/// `RTM_F_OFFLOAD_FAILED`: not forwarded; zebra shows `o`, and bgpd withdraws the route.
pub const OFFLOAD_FAILED: u32 = 0x2000_0000;

/// The longest answer in bytes: IPv6.
pub const LONGEST: usize = HEADER + 16 + 12 + 4 + 16;

/// `NLM_F_REQUEST | NLM_F_REPLACE | NLM_F_CREATE`, as zebra's own message has; without the first
/// it is ignored.
const FLAGS: u16 = 0x0501;
/// `RT_TABLE_MAIN`.
const TABLE: u8 = 254;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The route's prefix.
    pub prefix: Prefix,
    /// Its `rtm_protocol`: an answer with another one is ignored.
    pub protocol: u8,
    /// Its type.
    pub kind: RouteKind,
    /// [`OFFLOAD`], [`TRAP`], [`OFFLOAD_FAILED`].
    pub flags: u32,
    /// `nlmsg_pid` of zebra's messages.
    pub port: u32,
}

impl Answer {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (family, address): (u8, &[u8]) = match &self.prefix.address() {
            IpAddr::V4(a) => (2, &a.octets()),
            IpAddr::V6(a) => (10, &a.octets()),
        };
        let attribute = 4 + address.len() as u16;
        let message = 16 + 12 + attribute;
        out.extend([1, 1]);
        out.extend((HEADER as u16 + message).to_be_bytes());
        // struct nlmsghdr
        out.extend(u32::from(message).to_ne_bytes());
        out.extend(NEWROUTE.to_ne_bytes());
        out.extend(FLAGS.to_ne_bytes());
        out.extend(0_u32.to_ne_bytes());
        out.extend(self.port.to_ne_bytes());
        // struct rtmsg
        let kind = match self.kind {
            RouteKind::Unicast => 1,
            RouteKind::Local => 2,
            RouteKind::Blackhole => 6,
            RouteKind::Unreachable => 7,
            RouteKind::Prohibit => 8,
        };
        out.extend([family, self.prefix.length(), 0, 0]);
        out.extend([TABLE, self.protocol, 0, kind]);
        out.extend(self.flags.to_ne_bytes());
        // RTA_DST
        out.extend(attribute.to_ne_bytes());
        out.extend(1_u16.to_ne_bytes());
        out.extend(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fpm::attribute::{Messages, u16_of, u32_of};
    use crate::fpm::decode::{self, Message};
    use crate::fpm::frame::Frames;

    fn recorded(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fpm/{name}.fpm", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// What zebra 10.7.1 was answered, which an encoder must be able to say, too.
    fn said(payload: &[u8]) -> Answer {
        let [message] = &Messages(payload).collect::<Vec<_>>()[..] else {
            panic!("one message a frame");
        };
        let (kind, body) = message.expect("message");
        let Ok(Message::Route(prefix, route)) = decode::message(kind, body) else {
            panic!("{body:x?}");
        };
        Answer {
            prefix,
            protocol: route.protocol,
            kind: route.kind,
            flags: u32_of(&body[8..]).expect("flags"),
            port: u32_of(&payload[12..]).expect("port"),
        }
    }

    fn encoded(answer: Answer) -> Vec<u8> {
        let mut out = Vec::new();
        answer.encode(&mut out);
        out
    }

    #[test]
    fn the_shortest_answer_that_zebra_took_byte_for_byte() {
        let whole = recorded("10.7.1-f05-reply-variant-0.reply");
        assert_eq!(encoded(said(&whole[HEADER..])), whole);
        assert_eq!(said(&whole[HEADER..]).flags, OFFLOAD);
    }

    /// The others carry RTA_PRIORITY and RTA_NH_ID behind the prefix, 16 bytes that zebra does not
    /// need; all else is the same, and so are the lengths but for them.
    #[test]
    fn every_recorded_answer_but_for_its_next_hop() {
        let mut flags = std::collections::BTreeSet::new();
        for name in [
            "10.7.1-f03-reply-echo-offload",
            "10.7.1-f04-reply-v6-offload",
            "10.7.1-f09-reply-variant-4",
            "10.7.1-f10-reply-variant-5",
            "10.7.1-f11-reply-variant-6",
            "10.7.1-f14-update-after-offload",
            "10.7.1-f15-late-fail-after-offload",
            "10.7.1-f16-withdraw-and-return",
            "10.7.1-f18-server-absent",
        ] {
            let mut frames = Frames::default();
            frames.push(&recorded(&format!("{name}.reply")));
            while let Some(payload) = frames.next_frame().expect("frames") {
                let answer = said(payload);
                flags.insert(answer.flags);
                let short = encoded(answer);
                let kept = payload.len() - 16;
                assert_eq!(u16_of(&payload[kept + 2..]), Ok(6), "RTA_PRIORITY");
                assert_eq!(u16_of(&payload[kept + 10..]), Ok(30), "RTA_NH_ID");
                assert_eq!(u32_of(&short[HEADER..]), Ok(kept as u32));
                assert_eq!(short[HEADER + 4..], payload[4..kept], "{name}");
                let length = u16::from_be_bytes([short[2], short[3]]);
                assert_eq!(usize::from(length), short.len());
            }
        }
        let all = [OFFLOAD, TRAP, OFFLOAD | TRAP, OFFLOAD_FAILED];
        assert_eq!(flags, all.into());
    }

    #[test]
    fn types_and_lengths() {
        for (prefix, kind, code) in [
            ("0.0.0.0/0", RouteKind::Unicast, 1),
            ("::/0", RouteKind::Blackhole, 6),
            ("2001:db8::1/128", RouteKind::Unreachable, 7),
            ("192.0.2.0/31", RouteKind::Prohibit, 8),
        ] {
            let answer = Answer {
                prefix: prefix.parse().expect("prefix"),
                protocol: 196,
                kind,
                flags: OFFLOAD,
                port: 7,
            };
            let bytes = encoded(answer);
            assert_eq!((said(&bytes[HEADER..]), bytes[27]), (answer, code));
            assert!(bytes.len() <= LONGEST && bytes.len() % 4 == 0);
        }
    }
}
