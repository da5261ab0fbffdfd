//! The software plane of one process: cores, memory, ports and their queues, from the configuration.

use crate::nic;
use crate::output::Failure;
use crate::shared;
use control::config::{Config, Cores, Device, Hugepages, Kernel};
use control::hash::configured_policy;
use fastpath::dpdk::{
    Cause, Eal, EntrySize, FibOptions, FlowOptions, LinkChanged, Memory, Missing, Options, Pool,
    PoolOptions, Port, PortOptions, RxQueue, TxQueue, free_hugepages_mib,
};
use fastpath::hash::Settings;
use fastpath::rcu::Registry;
use fastpath::software::worker::{Attached, Role};
use fastpath::steal::{KernelTap, PuntTap, Steal, Tc, Xdp};
use fastpath::table::{LpmWrite, PortId, Tables, View, Writer};
use std::sync::Arc;

/// Descriptors of each queue; the drivers move it to what they can.
const DESCRIPTORS: u16 = 1024;

/// Which cores do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// One worker each.
    pub workers: Vec<usize>,
    /// Everything else; where workers leave none, all that there are.
    pub control: Vec<usize>,
}

/// Shares out `available` cores, as read before EAL pinned anything.
pub fn layout(cores: &Cores, available: &[usize]) -> Result<Layout, Failure> {
    let workers = match cores {
        Cores::Auto => available.last().copied().into_iter().collect(),
        Cores::List(list) => list
            .iter()
            .map(|&core| usize::from(core))
            .collect::<Vec<_>>(),
    };
    if let Some(missing) = workers.iter().find(|core| !available.contains(core)) {
        let have: Vec<_> = available.iter().map(usize::to_string).collect();
        return Err(Failure::run(
            "eal.cores",
            "place workers",
            format!(
                "core {missing} is not there or not ours; there are {}",
                have.join(", ")
            ),
            Some("name cores of that list, or \"auto\""),
        ));
    }
    let mut control: Vec<_> = available
        .iter()
        .copied()
        .filter(|core| !workers.contains(core))
        .collect();
    if control.is_empty() {
        // EAL would pin it to one core, beside the worker there, however busy that is.
        control = available.to_vec();
    }
    Ok(Layout { workers, control })
}

/// Sizes of the lookup tables.
pub fn fib_options(config: &Config) -> FibOptions {
    let defaults = FibOptions::default();
    let tables = &config.tables;
    let tbl8_4 = defaults.tbl8_4.max(tables.routes_ipv4 / 16);
    let tbl8_6 = (tables.routes_ipv6 / 2).max(1 << 14);
    // Small entries are worth a cache; they count groups and second-level blocks by 15 bits.
    let most = tables.groups.max(tbl8_4).max(tbl8_6);
    let entry = if most <= EntrySize::Two.largest_group().0 {
        EntrySize::Two
    } else {
        EntrySize::Four
    };
    FibOptions {
        routes4: tables.routes_ipv4,
        routes6: tables.routes_ipv6,
        tbl8_4,
        tbl8_6,
        entry,
        ..defaults
    }
}

/// Bytes that a packet buffer must hold: the configured MTUs and those of netdevs with taps or beside a NIC.
pub fn data_room(config: &Config, planned: &[Planned]) -> u16 {
    let of = |port: &control::config::Port| shared::mtu(port).or(port.mtu);
    let configured = config.ports.iter().filter_map(of);
    let taps = planned.iter().filter_map(|plan| match &plan.steal {
        Some(tap @ Steal::Tc(_)) => Some(tap.mtu()),
        _ => None,
    });
    if configured.chain(taps).any(|mtu| mtu > 1900) {
        9728
    } else {
        2048
    }
}

/// What workers read, what control writes, and where workers sign in.
pub type Published<L> = (Arc<Tables>, Writer<L>, Registry<View<L>>);

/// The tables of `config`, empty, with the hash that it asks for; `lpm` makes a lookup table.
pub fn tables<L: LpmWrite>(
    config: &Config,
    lpm: impl Fn() -> Result<L, Failure>,
) -> Result<Published<L>, Failure> {
    let tables = Arc::new(Tables::new(
        config.tables.groups as usize,
        config.tables.buckets as usize,
        config.tables.adjacencies as usize,
    ));
    let (hash, warnings) = configured_policy(config);
    for warning in warnings {
        log::warn!("{warning}");
    }
    let view = || Ok::<_, Failure>(View::new(lpm()?, hash.clone()));
    let (writer, registry) = Writer::new(Arc::clone(&tables), view()?, view()?);
    Ok((tables, writer, registry))
}

/// How many packet buffers `ports` ports with `queues` receive queues in all and `workers` workers
/// can hold at once, at most, and how large.
pub fn pool_options(ports: usize, queues: usize, workers: usize, data_room: u16) -> PoolOptions {
    // af_xdp keeps up to 4,096 buffers in its rings per queue, others their descriptors; as many
    // transmit queues hold what they have sent.
    let held = queues * 6 * usize::from(DESCRIPTORS) + workers * (512 + 64 * (2 * ports + 2));
    let buffers = held.max(8191).next_power_of_two() - 1;
    PoolOptions {
        buffers: u32::try_from(buffers).unwrap_or(u32::MAX),
        data_room,
        ..PoolOptions::default()
    }
}

/// Memory of a run, by the configuration and by what is free.
pub fn memory(config: &Config, need_mib: u32) -> Result<Memory, Failure> {
    let need = config.eal.memory_mib.unwrap_or(0).max(need_mib);
    match config.eal.hugepages {
        Hugepages::Never => Ok(ordinary(need)),
        Hugepages::Auto => {
            let mut memory = Memory::automatic(need);
            if matches!(memory, Memory::Ordinary { .. }) {
                memory = ordinary(need);
                log::warn!(
                    "eal: {} MiB of huge pages free, {need} needed: ordinary memory is used, at \
                     about 60 % of the speed; reserve some (vm.nr_hugepages) or lower [tables]",
                    free_hugepages_mib()
                );
            }
            Ok(memory)
        }
        Hugepages::Always if free_hugepages_mib() < u64::from(need) => Err(Failure::run(
            "eal.hugepages",
            "reserve memory",
            format!(
                "{need} MiB are needed and {} are free",
                free_hugepages_mib()
            ),
            Some("reserve more (vm.nr_hugepages), lower [tables], or set hugepages = \"auto\""),
        )),
        Hugepages::Always => Ok(Memory::Hugepages { reserve_mib: 0 }),
    }
}

/// Ordinary memory is one block for the whole run, which tables and buffers cut up: a third more
/// leaves room for a large table behind the gaps. What is never touched costs nothing.
fn ordinary(need_mib: u32) -> Memory {
    Memory::Ordinary {
        mib: need_mib + need_mib / 3,
    }
}

/// MiB that packet buffers take, rounded up.
pub fn pool_mib(options: &PoolOptions) -> u32 {
    // Per buffer: the struct, headroom, data, and the mempool's own header and padding.
    let each = u64::from(options.data_room) + 128 + 128 + 128;
    (u64::from(options.buffers) * each >> 20) as u32 + 8
}

/// A port before EAL: what is to be opened, and what parts its packets from the kernel's.
#[derive(Debug)]
pub struct Planned {
    /// Its number.
    pub port: PortId,
    /// DPDK device arguments.
    pub devargs: String,
    /// Receive queues.
    pub rx_queues: u16,
    /// Shared with the kernel by a program of ours.
    pub steal: Option<Steal>,
}

/// Claims the netdevs of the configuration and works out device arguments.
pub fn plan(config: &Config, workers: usize) -> Result<Vec<Planned>, Failure> {
    let workers = u16::try_from(workers).unwrap_or(u16::MAX);
    let data_room = data_room(config, &[]);
    let mut planned = Vec::new();
    for (index, port) in config.ports.iter().enumerate() {
        let id = PortId(index as u16);
        let number = index as u16;
        let steal = match &port.device {
            Some(Device::Xdp(netdev)) => Some(Steal::Xdp(Xdp::prepare(netdev, number, data_room)?)),
            Some(Device::Tap(netdev)) => Some(Steal::Tc(Tc::prepare(netdev, number)?)),
            _ => None,
        };
        if let (Some(steal), Some(mac)) = (&steal, port.mac) {
            if mac != steal.mac() {
                // Neighbors learn the netdev's from the kernel, whatever we think.
                let remedy =
                    "leave mac out, or give the netdev that one (ip link set dev … address …)";
                return Err(Failure::run(
                    format!("port {}", port.name),
                    "open",
                    "its mac is not the netdev's",
                    Some(remedy),
                ));
            }
        }
        shared::check(config, port)?;
        let (devargs, rx_queues) = match (&steal, &port.device) {
            // Any number up to 16 will do for a tap.
            (Some(Steal::Tc(tap)), _) => (tap.devargs().to_owned(), workers.min(16)),
            (Some(steal), _) => (steal.devargs().to_owned(), steal.queues()),
            (None, Some(Device::Pci(args) | Device::Devargs(args))) => (args.clone(), workers),
            (None, _) => {
                return Err(Failure::run(
                    format!("port {}", port.name),
                    "open",
                    "it has no device".to_owned(),
                    Some("give it one: device = \"xdp:NETDEV\", a PCI address or DPDK devargs"),
                ));
            }
        };
        planned.push(Planned {
            port: id,
            devargs,
            rx_queues,
            steal,
        });
    }
    Ok(planned)
}

/// Starts EAL for `config`.
pub fn start_eal(config: &Config, layout: &Layout, memory: Memory) -> Result<Eal, Failure> {
    let pci = config.ports.iter().filter_map(|port| match &port.device {
        Some(Device::Pci(address)) => Some(address.clone()),
        _ => None,
    });
    let options = Options {
        memory,
        control_cores: layout.control.clone(),
        pci: pci.collect(),
        extra: config
            .eal
            .plugins
            .iter()
            .flat_map(|path| ["-d".to_owned(), path.clone()])
            .collect(),
        ..Options::default()
    };
    Ok(Eal::init(&options)?)
}

/// Opens the port of `planned`, one transmit queue for each worker.
pub fn open<'p>(
    pool: &'p Pool<'p>,
    config: &Config,
    planned: &Planned,
    workers: usize,
    hash: &Settings,
    (flow, changed): (Option<FlowOptions>, Option<LinkChanged>),
) -> Result<Port<'p>, Failure> {
    let wanted = &config.ports[usize::from(planned.port.0)];
    let exclusive = wanted.kernel == Kernel::Tap;
    // af_xdp and tap refuse other numbers than the netdev's.
    let tx_queues = planned
        .steal
        .as_ref()
        .map_or(workers as u16, |_| planned.rx_queues);
    if usize::from(tx_queues) < workers {
        return Err(too_few_queues(&wanted.name, workers, tx_queues));
    }
    let options = PortOptions {
        rx_queues: planned.rx_queues,
        tx_queues,
        rx_descriptors: DESCRIPTORS,
        tx_descriptors: DESCRIPTORS,
        // The netdev of a shared port is the operator's, not ours to change; its tap must follow.
        mtu: match &planned.steal {
            Some(tap @ Steal::Tc(_)) => Some(tap.mtu()),
            Some(Steal::Xdp(_)) => None,
            None => wanted.mtu.filter(|_| shared::netdev(wanted).is_none()),
        },
        mac: wanted
            .mac
            .filter(|_| planned.steal.is_none() && shared::netdev(wanted).is_none()),
        all_multicast: exclusive,
        rss: hash.rss().map(nic::options),
        flow,
        ..PortOptions::new(wanted.name.clone(), planned.devargs.clone())
    };
    let hairpins = flow.map_or(0, |flow| flow.hairpins);
    Port::open(pool, &options, changed).map_err(|error| match &error.cause {
        Cause::Missing(_) if hairpins > 0 => {
            let cause = format!("{hairpins} hairpin queues are needed: {}", error.cause);
            Failure::run(format!("port {}", wanted.name), "open", cause, None)
        }
        Cause::Missing(missing) => missing
            .iter()
            .find_map(|one| match *one {
                Missing::TxQueues(_, most) => Some(too_few_queues(&wanted.name, workers, most)),
                _ => None,
            })
            .unwrap_or_else(|| error.into()),
        _ => error.into(),
    })
}

/// Workers share no queue: a port needs one for each.
fn too_few_queues(port: &str, workers: usize, queues: u16) -> Failure {
    let cause = format!("{workers} workers need a transmit queue each, and it has {queues}");
    let remedy = "give the device more queues (ethtool -L for a netdev, else its device arguments), \
                  or list fewer [eal] cores";
    Failure::run(format!("port {port}"), "open", cause, Some(remedy))
}

/// The kernel's sides are numbered behind the taps of shared ports.
const KERNEL_TAPS: u16 = 64;

/// Makes the kernel's side of an exclusive port: a tap with the port's name and MAC address.
pub fn open_kernel_tap<'p>(
    pool: &'p Pool<'p>,
    name: &str,
    id: PortId,
    beside: &Port<'_>,
    workers: usize,
) -> Result<(KernelTap, Port<'p>), Failure> {
    let tap = KernelTap::prepare(name, KERNEL_TAPS + id.0, beside.mac())?;
    let options = PortOptions {
        tx_queues: workers as u16,
        rx_queues: workers as u16,
        ..PortOptions::new(format!("{name} (kernel)"), tap.devargs())
    };
    let mut port = Port::open(pool, &options, None)?;
    port.start()?;
    tap.set_mtu(beside.mtu())?;
    Ok((tap, port))
}

/// Makes the way back to `netdev`, which the kernel keeps of the NIC of port `name`.
pub fn open_punt_tap<'p>(
    pool: &'p Pool<'p>,
    (name, netdev): (&str, &str),
    id: PortId,
    workers: usize,
) -> Result<Port<'p>, Failure> {
    let tap = PuntTap::prepare(netdev, KERNEL_TAPS + id.0)?;
    let options = PortOptions {
        tx_queues: workers as u16,
        rx_queues: workers as u16,
        mtu: Some(tap.mtu()),
        ..PortOptions::new(format!("{name} (kernel)"), tap.devargs())
    };
    let mut port = Port::open(pool, &options, None)?;
    tap.attach()?;
    port.start()?;
    Ok(port)
}

/// One worker's queues.
#[derive(Debug, Default)]
pub struct Share<'q> {
    /// To poll.
    pub receive: Vec<Attached<RxQueue<'q>>>,
    /// To send by.
    pub transmit: Vec<Attached<TxQueue<'q>>>,
}

/// Gives each worker a transmit queue of every port and deals the receive queues around.
pub fn share<'q>(ports: &'q [(PortId, Role, Port<'_>)], workers: usize) -> Vec<Share<'q>> {
    let mut shares: Vec<_> = (0..workers.max(1)).map(|_| Share::default()).collect();
    let count = shares.len();
    let mut next = 0;
    for (port, role, device) in ports {
        let (port, role) = (*port, *role);
        let Some((receive, transmit)) = device.queues() else {
            continue;
        };
        for queue in receive {
            shares[next % count]
                .receive
                .push(Attached { queue, port, role });
            next += 1;
        }
        for (queue, share) in transmit.into_iter().zip(&mut shares) {
            share.transmit.push(Attached { queue, port, role });
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_leaves_control_a_core_when_there_are_two() {
        let auto = |available: &[usize]| layout(&Cores::Auto, available).unwrap();
        assert_eq!(
            auto(&[0, 1]),
            Layout {
                workers: vec![1],
                control: vec![0]
            }
        );
        assert_eq!(
            auto(&[5]),
            Layout {
                workers: vec![5],
                control: vec![5]
            }
        );
        let listed = layout(&Cores::List(vec![1, 2]), &[0, 1, 2, 3]).unwrap();
        assert_eq!(
            listed,
            Layout {
                workers: vec![1, 2],
                control: vec![0, 3]
            }
        );
    }

    #[test]
    fn a_core_that_is_not_there_is_named() {
        let error = layout(&Cores::List(vec![1, 9]), &[0, 1])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("core 9") && error.contains("0, 1"),
            "{error}"
        );
    }

    #[test]
    fn pools_grow_with_queues_and_stay_one_below_a_power_of_two() {
        assert_eq!(pool_options(1, 1, 1, 2048).buffers, 8191);
        assert!(pool_options(3, 3, 1, 2048).buffers >= 3 * 5 * 1024);
        assert!((pool_options(64, 64, 4, 9728).buffers + 1).is_power_of_two());
    }
}
