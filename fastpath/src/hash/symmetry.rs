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
