//! The hash of a port's NIC: what it is asked for, and why it does not do it.

use fastpath::dpdk::{Port, RssAlgorithm, RssOptions};
use fastpath::hash::{Rss, Settings};

/// What a NIC is asked to hash by, so that its value is that of the settings behind `rss`.
pub fn options(rss: Rss) -> RssOptions {
    RssOptions {
        key: rss.key,
        ports: rss.source_port && rss.destination_port,
        algorithm: match rss.sorted {
            true => RssAlgorithm::SortedToeplitz,
            false => RssAlgorithm::Toeplitz,
        },
    }
}

/// The number of `hash` if the NIC of the started `port` says that it hashes by it.
///
/// # Errors
/// Why it does not.
pub fn opened(port: &Port<'_>, hash: &Settings) -> Result<u64, String> {
    let Some(rss) = hash.rss() else {
        return Err("the port was opened without its NIC's hash".into());
    };
    let options = options(rss);
    if port.nic_hash() == Some(options) {
        return Ok(hash.rss_id());
    }
    let missing = port.caps().lacks_rss(&options);
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(match missing.is_empty() {
        true => "the device does not hash as it was told".into(),
        false => format!("the device lacks {}", missing.join(", ")),
    })
}

/// Makes the NIC of the started `port` hash by `rss`.
///
/// # Errors
/// Why it does not.
pub fn program(port: &Port<'_>, rss: Rss) -> Result<(), String> {
    let options = options(rss);
    let missing = port.caps().lacks_rss(&options);
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        return Err(format!("the device lacks {}", missing.join(", ")));
    }
    if !port.tells_hash() {
        // Programming it would only deal packets to other workers.
        return Err(
            "the port was opened without its NIC's hash; a restart asks the NIC for it".into(),
        );
    }
    port.set_rss(&options)
        .map_err(|error| error.cause.to_string())
}

/// Where hashes are from and why, and the ports of which that is true, in their order.
pub fn hashes_from<'p>(
    ports: impl IntoIterator<Item = (&'p str, &'p str, Option<&'p str>)>,
) -> Vec<(String, Vec<&'p str>)> {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for (port, from, reason) in ports.into_iter().filter(|p| !p.1.is_empty()) {
        let from = reason.map_or(from.into(), |reason| format!("{from} ({reason})"));
        match all.iter_mut().find(|known| known.0 == from) {
            Some(known) => known.1.push(port),
            None => all.push((from, vec![port])),
        }
    }
    all
}
