//! What a replay knows of the world: its configuration, and what a recorded FPM stream says.

use crate::output::Failure;
use control::config::{Config, Kernel};
use control::control::Control;
use control::event::{Event, KernelSync, Link, Noticed};
use control::fpm::decode::{Hop, Object, Via};
use control::fpm::frame::Frames;
use control::fpm::{Batch, FpmEvent};
use fastpath::table::{LpmWrite, PortId};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

/// Interface indexes of ports that the stream says nothing of start here.
const UNKNOWN: u32 = 1 << 20;

/// What helps with a stream that cannot be read.
const REMEDY: &str = "give the bytes that zebra sent to its FPM server, as they are";

/// Gives each port a netdev of its name: the stream names interfaces by index, and netdevs have one.
pub fn with_netdevs(mut config: Config) -> Config {
    for port in &mut config.ports {
        if !matches!(port.kernel, Kernel::Netdev(_)) {
            port.kernel = Kernel::Netdev(port.name.clone());
        }
    }
    config
}

/// Reads the streams in `paths`, one after the other as one connection.
pub fn read(paths: &[PathBuf]) -> Result<Batch, Failure> {
    let (mut batch, mut frames) = (Batch::default(), Frames::default());
    for path in paths {
        let object = || path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|cause| Failure::run(object(), "read", cause.to_string(), Some(REMEDY)))?;
        frames.push(&bytes);
        batch.put_frames(&mut frames).map_err(|cause| {
            Failure::run(object(), "decode FPM", cause.to_string(), Some(REMEDY))
        })?;
    }
    if frames.pending() > 0 {
        log::warn!(
            "--fpm: the stream ends within a frame: its last {} bytes are left out",
            frames.pending()
        );
    }
    Ok(batch)
}

/// Which interface index of the stream is which port: a recorded stream has numbers only. A next
/// hop's gateway tells, by a static neighbor of that address or the connected prefix it lies in.
fn interfaces(config: &Config, batch: &Batch) -> BTreeMap<PortId, u32> {
    let mut known = BTreeMap::new();
    let mut learn = |hop: &Hop| {
        let Some(gateway) = hop.gateway.filter(|_| hop.ifindex != 0) else {
            return;
        };
        if let Some(port) = port_of(config, gateway) {
            known.entry(port).or_insert(hop.ifindex);
        }
    };
    for (_, object) in batch.objects() {
        if let Some(Object::Hop(hop)) = object {
            learn(hop);
        }
    }
    for (_, route) in batch.routes() {
        match route.as_ref().map(|route| &route.via) {
            Some(Via::Hop(hop)) => learn(hop),
            Some(Via::Hops(hops)) => hops.iter().for_each(|(hop, _)| learn(hop)),
            _ => {}
        }
    }
    known
}

/// The one port that `gateway` is on, as far as the configuration says.
fn port_of(config: &Config, gateway: IpAddr) -> Option<PortId> {
    let neighbors = config
        .neighbors
        .iter()
        .filter(|n| n.address == gateway)
        .map(|n| n.port);
    let connected = config
        .addresses
        .iter()
        .filter(|a| a.prefix().contains(gateway))
        .map(|a| a.port);
    let mut ports: Vec<_> = neighbors.collect();
    if ports.is_empty() {
        ports = connected.collect();
    }
    ports.dedup();
    match ports[..] {
        [port] => Some(port),
        _ => None,
    }
}

/// Tells `control` what the kernel and zebra would: all links are up, the resync is complete.
pub fn teach<L: LpmWrite>(control: &mut Control<L>, config: &Config, batch: Option<Batch>) {
    let now = Instant::now();
    let mut say = |event| control.handle(event, now);
    let indexes = batch
        .as_ref()
        .map(|batch| interfaces(config, batch))
        .unwrap_or_default();
    say(Event::KernelSync(KernelSync::Begin));
    for (i, port) in config.ports.iter().enumerate() {
        let Kernel::Netdev(name) = &port.kernel else {
            continue;
        };
        let id = PortId(i as u16);
        let link = Link {
            ifindex: indexes.get(&id).copied().unwrap_or(UNKNOWN + i as u32),
            name: name.clone(),
            mac: port.mac,
            mtu: port.mtu.map_or(1500, u32::from),
            admin_up: true,
            carrier: true,
        };
        say(Event::Link(link, Noticed::now()));
    }
    say(Event::KernelSync(KernelSync::End));
    if let Some(batch) = batch {
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        say(Event::Fpm(FpmEvent::Connected {
            connection: 1,
            peer,
        }));
        say(Event::Fpm(FpmEvent::Batch(Box::new(batch))));
        // A long batch is worked off in slices, so that other events get their turn; here are none.
        while control.next_deadline().is_some_and(|due| due <= now) {
            control.tick(now);
        }
    }
}
