//! Which hash settings silicon can compute, and why not.

use super::super::Capabilities;
use super::super::plan::Family;
use super::super::program::{Rss, RssFields};
use super::Design;
use super::state::Reason;
use crate::hash::{Algorithm, Field, Settings};

/// How silicon computes a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// Rows by CRC-32 over the five fields.
    Rows,
    /// RSS with this key, these fields and this symmetry, over no queues yet.
    Rss(Rss),
}

/// The five fields of a flow.
const FIVE: [Field; 5] = [
    Field::SourceIp,
    Field::DestinationIp,
    Field::IpProtocol,
    Field::SourcePort,
    Field::DestinationPort,
];

/// How packets of a family are hashed as `settings` say.
///
/// # Errors
/// Every reason why they cannot be.
pub(super) fn express(
    settings: &Settings,
    family: Family,
    design: Design,
    can: &Capabilities,
) -> Result<Expression, Vec<Reason>> {
    let mut reasons = Vec::new();
    let has = |field| settings.fields().has(field);
    let wanted = match design {
        Design::Rows => Algorithm::Crc32,
        Design::Rss => Algorithm::Toeplitz,
    };
    let algorithm = settings.choice().algorithm;
    if algorithm != wanted {
        reasons.push(Reason::Algorithm(algorithm, wanted));
    }
    for field in Field::ALL {
        let matters = match field {
            // IPv4 has no flow label.
            Field::Ipv6Label => family == Family::V6,
            _ => true,
        };
        let known = match design {
            Design::Rows => FIVE.contains(&field),
            Design::Rss => FIVE.contains(&field) && field != Field::IpProtocol,
        };
        if has(field) && matters && !known {
            reasons.push(Reason::FieldOn(field));
        }
        // Rows have one input, with all five in it.
        if design == Design::Rows && known && !has(field) {
            reasons.push(Reason::FieldOff(field));
        }
    }
    match design {
        Design::Rows if !can.index => reasons.push(Reason::NoIndex),
        Design::Rows if family == Family::V6 && !can.full_dw_jumbo => reasons.push(Reason::NoJumbo),
        Design::Rss if !can.indirect_rss => reasons.push(Reason::NoIndirect),
        _ => {}
    }
    if design == Design::Rss && algorithm == wanted && settings.rss().is_none() {
        reasons.push(Reason::RssFields);
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    match (design, settings.rss()) {
        (Design::Rss, Some(rss)) => Ok(Expression::Rss(Rss {
            queues: Vec::new(),
            key: Some(Box::new(rss.key)),
            fields: if rss.source_port {
                RssFields::Flow
            } else {
                RssFields::Addresses
            },
            symmetric: rss.sorted,
        })),
        _ => Ok(Expression::Rows),
    }
}

/// Whether silicon hashes packets of a family as `settings` say.
///
/// # Errors
/// Every reason why it does not.
pub(in super::super) fn can_hash(
    settings: &Settings,
    family: Family,
    design: Design,
    can: &Capabilities,
) -> Result<(), Vec<Reason>> {
    express(settings, family, design, can).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::super::sim::Profile;
    use super::*;
    use crate::hash::{Choice, Fields};

    fn reasons(change: impl Fn(&mut Choice), family: Family, design: Design) -> Vec<String> {
        let mut choice = Choice::default();
        change(&mut choice);
        let can = Profile::cx7().capabilities;
        let found = express(&Settings::new(choice), family, design, &can);
        let reasons = found.err().unwrap_or_default();
        reasons.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_rows_can_hash_and_what_not() {
        let crc = |c: &mut Choice| c.algorithm = Algorithm::Crc32;
        assert!(reasons(crc, Family::V4, Design::Rows).is_empty());
        assert_eq!(
            reasons(crc, Family::V6, Design::Rows),
            [
                "ipv6-label is hashed, and the NIC cannot",
                "the NIC has no full-dword jumbo definers, which IPv6 needs"
            ]
        );
        assert_eq!(
            reasons(|_| (), Family::V4, Design::Rows),
            ["algorithm = \"mix\", and the NIC computes \"crc32\""]
        );
        let four = |c: &mut Choice| {
            c.algorithm = Algorithm::Crc32;
            c.fields = c.fields.with(Field::SourcePort, false);
        };
        assert_eq!(
            reasons(four, Family::V4, Design::Rows),
            ["source-port is not hashed, and the NIC hashes all five or none"]
        );
    }

    #[test]
    fn what_rss_can_hash_and_what_not() {
        let toeplitz = |fields: Fields| {
            move |c: &mut Choice| {
                (c.algorithm, c.fields) = (Algorithm::Toeplitz, fields);
            }
        };
        let four = Fields::default().with(Field::IpProtocol, false);
        let rss = |fields, family| reasons(toeplitz(fields), family, Design::Rss);
        assert!(rss(four, Family::V4).is_empty());
        assert_eq!(rss(four, Family::V6).len(), 1, "the label");
        assert!(rss(four.with(Field::Ipv6Label, false), Family::V6).is_empty());
        assert_eq!(rss(Fields::default(), Family::V4).len(), 1, "the protocol");
        assert_eq!(rss(four.with(Field::SourceIp, false), Family::V4).len(), 1);
        assert_eq!(rss(four.with(Field::GtpTeid, true), Family::V4).len(), 1);
        assert_eq!(reasons(|_| (), Family::V4, Design::Rss).len(), 2);
    }
}
