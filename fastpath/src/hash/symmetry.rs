//! Why both directions of a flow do not hash alike, in an operator's words.

use super::{Algorithm, Field, Settings};
use std::fmt;

/// Fields that say the same of the two ends of a flow.
pub(super) const PAIRS: [(Field, Field); 4] = [
    (Field::SourceIp, Field::DestinationIp),
    (Field::SourcePort, Field::DestinationPort),
    (Field::InnerSourceIp, Field::InnerDestinationIp),
    (Field::InnerSourcePort, Field::InnerDestinationPort),
];

/// A reason why symmetric is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asymmetry {
    /// It is not asked for.
    NotWanted,
    /// One of two fields that belong together is on and the other is not.
    Uneven {
        /// The one that is on.
        on: Field,
        /// The one that is off.
        off: Field,
    },
    /// The NIC's CRC knows no order.
    Crc32,
}

impl fmt::Display for Asymmetry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asymmetry::NotWanted => out.write_str("symmetric = false"),
            Asymmetry::Uneven { on, off } => {
                write!(out, "{} is on and {} is off", on.name(), off.name())
            }
            Asymmetry::Crc32 => {
                out.write_str("crc32 is computed as the NIC does, which tells the directions apart")
            }
        }
    }
}

/// Why two directions may differ though symmetric is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caveat {
    /// The ingress port is hashed.
    Ingress,
    /// The flow label is hashed.
    Label,
    /// The flow label of the inner packet is hashed.
    InnerLabel,
    /// The TEID is hashed.
    Teid,
    /// The queue pair is hashed.
    QueuePair,
}

impl fmt::Display for Caveat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (field, why) = match self {
            Caveat::Ingress => (
                Field::IngressInterface,
                "the directions of a flow come in on different ports",
            ),
            Caveat::Label => (Field::Ipv6Label, "each sender chooses its own label"),
            Caveat::InnerLabel => (Field::InnerIpv6Label, "each sender chooses its own label"),
            Caveat::Teid => (Field::GtpTeid, "each end chooses the TEID it receives by"),
            Caveat::QueuePair => (Field::RoceQp, "each end has a queue pair of its own"),
        };
        write!(out, "{} is on: {why}", field.name())
    }
}

impl Settings {
    /// Why symmetric is not in force; empty exactly when it is.
    pub fn asymmetry(&self) -> Vec<Asymmetry> {
        if !self.wants_symmetric() {
            return vec![Asymmetry::NotWanted];
        }
        let crc32 = self.choice().algorithm == Algorithm::Crc32;
        let uneven = self.uneven().map(|(a, b)| {
            let (on, off) = if self.fields().has(a) { (a, b) } else { (b, a) };
            Asymmetry::Uneven { on, off }
        });
        crc32
            .then_some(Asymmetry::Crc32)
            .into_iter()
            .chain(uneven)
            .collect()
    }

    /// Fields by which the directions of a flow may part although symmetric is in force.
    pub fn caveats(&self) -> Vec<Caveat> {
        let all = [
            (Field::IngressInterface, Caveat::Ingress),
            (Field::Ipv6Label, Caveat::Label),
            (Field::InnerIpv6Label, Caveat::InnerLabel),
            (Field::GtpTeid, Caveat::Teid),
            (Field::RoceQp, Caveat::QueuePair),
        ];
        let on = |of: &(Field, Caveat)| self.is_symmetric() && self.fields().has(of.0);
        all.into_iter().filter(on).map(|of| of.1).collect()
    }

    /// The pairs of fields that are not set alike: what keeps symmetric from being in force.
    pub fn uneven(&self) -> impl Iterator<Item = (Field, Field)> + '_ {
        let fields = self.fields();
        let differ = move |(a, b): &(Field, Field)| fields.has(*a) != fields.has(*b);
        PAIRS.into_iter().filter(differ)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Choice;
    use super::*;

    fn caveats(change: impl Fn(&mut Choice)) -> Vec<String> {
        let mut choice = Choice::default();
        change(&mut choice);
        let caveats = Settings::new(choice).caveats();
        caveats.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn fields_that_the_directions_do_not_share_are_named() {
        let label = "ipv6-label is on: each sender chooses its own label";
        assert_eq!(caveats(|_| ()), [label]);
        let off = |c: &mut Choice| c.fields = c.fields.with(Field::Ipv6Label, false);
        assert!(caveats(off).is_empty());
        let all = caveats(|c| {
            off(c);
            for field in [Field::GtpTeid, Field::RoceQp, Field::IngressInterface] {
                c.fields = c.fields.with(field, true);
            }
        });
        assert_eq!(
            all,
            [
                "ingress-interface is on: the directions of a flow come in on different ports",
                "gtp-teid is on: each end chooses the TEID it receives by",
                "roce-qp is on: each end has a queue pair of its own",
            ]
        );
        // Where symmetric is not in force that is the reason.
        assert!(caveats(|c| c.symmetric = false).is_empty());
    }
}
