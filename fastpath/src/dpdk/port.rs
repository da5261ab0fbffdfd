//! Ports: a device, configured and started, whose queues are given out once.

use dpdk_sys::{rte_eth_conf, rte_eth_rx_mq_mode as mq};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::caps::{self, Caps, Wanted};
use super::device::find_or_create;
use super::error::{Cause, Errno, Error, Failed, Object, check};
use super::flow::FlowLimits;
use super::link::{self, Callback, Link, LinkChanged};
use super::pool::Pool;
use super::port_options::{PortOptions, PortStats};
use super::queue::{RxQueue, TxQueue};
use super::rss::{RssKey, RssOptions};

/// Bytes of a frame beyond its MTU: MAC addresses, EtherType and two VLAN tags.
const L2_OVERHEAD: u32 = 14 + 2 * 4;

/// DPDK ports that a [`Port`] holds, one bit each.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// A device in use. Dropping it stops and closes it, which writes out what a pcap device holds.
///
/// It borrows the pool, and queues borrow it, so the order of shutdown (queues, port, pool, EAL) is
/// the only one that compiles. It may move to another thread and may not be shared.
#[derive(Debug)]
pub struct Port<'p> {
    pub(super) index: u16,
    name: String,
    pub(super) caps: Caps,
    mac: [u8; 6],
    mtu: u16,
    queues: (u16, u16),
    /// Behind those, each way.
    hairpins: u16,
    rss: bool,
    pub(super) nic_hash: Cell<Option<RssOptions>>,
    /// DPDK's record of the device points to it: it goes after the device is closed (`drop`).
    _rss_key: Option<RssKey>,
    /// Of each receive queue.
    rx_descriptors: u16,
    /// It was configured to tell its hash with each packet.
    pub(super) hash_told: bool,
    promiscuous: bool,
    all_multicast: bool,
    started: bool,
    given: Cell<bool>,
    callback: Option<Callback>,
    flow: Option<FlowLimits>,
    flow_given: AtomicU32,
    /// The device, when it was made for this port and is to be removed with it.
    device: Option<NonNull<dpdk_sys::rte_device>>,
    _pool: PhantomData<&'p ()>,
}

// SAFETY: DPDK's device functions may be called from any thread, one at a time.
unsafe impl Send for Port<'_> {}

/// All queues of a port.
pub type Queues<'q> = (Vec<RxQueue<'q>>, Vec<TxQueue<'q>>);

impl<'p> Port<'p> {
    /// Creates the device if it is not there, and configures it with its queues, which receive into
    /// `pool`. `link_changed` is called when the device reports a change ([`Port::reports_link`]).
    ///
    /// # Errors
    /// When there is no such device, it is in use, or it lacks something that `options` ask for:
    /// everything missing is named.
    pub fn open(
        pool: &'p Pool<'p>,
        options: &PortOptions,
        link_changed: Option<LinkChanged>,
    ) -> Result<Port<'p>, Error> {
        let object = || Object::Port(options.name.clone());
        let (index, created) = find_or_create(options)?;
        if OPEN.fetch_or(1 << index, Ordering::Relaxed) & 1 << index != 0 {
            let cause = Cause::Refused("another port uses that device");
            return Err(Error::new(object(), "open", cause));
        }
        // What was logged before is not about what follows.
        super::logging::take_error();
        let info = caps::info(index).at(object, "ask the device");
        // From here on, dropping it undoes everything.
        let mut port = Port {
            index,
            name: options.name.clone(),
            caps: info
                .as_ref()
                .map_or_else(|_| Caps::none(), |info| info.caps.clone()),
            mac: [0; 6],
            mtu: 0,
            queues: (options.rx_queues, options.tx_queues),
            hairpins: options.flow.map_or(0, |flow| flow.hairpins),
            rss: false,
            nic_hash: Cell::new(None),
            _rss_key: None,
            rx_descriptors: 0,
            hash_told: false,
            promiscuous: options.promiscuous,
            all_multicast: options.all_multicast,
            started: false,
            given: Cell::new(false),
            callback: None,
            flow: None,
            flow_given: AtomicU32::new(0),
            device: info
                .as_ref()
                .ok()
                .and_then(|info| info.device)
                .filter(|_| created),
            _pool: PhantomData,
        };
        info?;
        if options.flow.is_some_and(|flow| flow.isolated) {
            super::flow::isolate(index).map_err(|e| port.flow_error(&e, "isolate"))?;
        }
        port.configure(pool, options, link_changed.is_some())?;
        for queue in 0..options.rx_queues {
            port.set_up_rx(pool, options, queue)?;
        }
        for queue in 0..options.tx_queues {
            port.set_up_tx(options, queue)?;
        }
        if let Some(flow) = &options.flow {
            let limits = super::flow::configure(index, flow);
            let limits = limits.map_err(|e| port.flow_error(&e, "configure the flow engine"))?;
            port.flow = Some(limits);
        }
        port.set_address(options)?;
        if let Some(changed) = link_changed.filter(|_| port.caps.link_interrupt) {
            let callback = Callback::register(index, changed).at(object, "watch the link")?;
            port.callback = Some(callback);
        }
        Ok(port)
    }

    pub(super) fn object(&self) -> Object {
        Object::Port(self.name.clone())
    }

    /// What the flow engine refused, as any other error of the port.
    fn flow_error(&self, error: &crate::hardware::Error, operation: &'static str) -> Error {
        Error {
            said: Some(error.message.to_string()),
            ..Error::new(self.object(), operation, Cause::Errno(Errno(error.errno)))
        }
    }

    fn configure(&mut self, pool: &Pool, options: &PortOptions, lsc: bool) -> Result<(), Error> {
        let object = || Object::Port(options.name.clone());
        let missing = self.caps.missing(Wanted {
            rx_queues: options.rx_queues.saturating_add(self.hairpins),
            tx_queues: options.tx_queues.saturating_add(self.hairpins),
            mtu: options.mtu,
        });
        if !missing.is_empty() {
            return Err(Error::new(object(), "configure", Cause::Missing(missing)));
        }
        let mut device_mtu = 0;
        // SAFETY: the port exists; one u16 to fill.
        check(unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.index, &mut device_mtu) })
            .at(object, "read the MTU")?;
        self.mtu = options.mtu.unwrap_or(device_mtu);
        let room = pool.options().data_room;
        let need = u32::from(self.mtu) + L2_OVERHEAD;
        if need > room.into() {
            let cause = Cause::Refused("a frame of that MTU does not fit one packet buffer");
            return Err(Error::new(object(), "configure", cause).remedy(format!(
                "frames take up to {need} bytes and buffers hold {room}: lower the MTU or raise the \
                 pool's data room"
            )));
        }
        // SAFETY: a plain record for which zeros are valid and mean "off".
        let mut conf: rte_eth_conf = unsafe { std::mem::zeroed() };
        conf.rxmode.mtu = self.mtu.into();
        // SAFETY: a constant of the build.
        let spread = unsafe { dpdk_sys::evenpath_rss_flow_types() } & self.caps.rss_flow_types;
        self.rss = options.rx_queues > 1 && spread != 0;
        if self.rss {
            conf.rxmode.mq_mode = mq::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = spread;
        }
        if let Some(hash) = options.rss.filter(|h| self.caps.lacks_rss(h).is_empty()) {
            conf.rxmode.mq_mode = mq::RTE_ETH_MQ_RX_RSS;
            conf.rxmode.offloads |= caps::RSS_HASH;
            // Drivers (ixgbe, i40e) read the key when the port starts, too.
            let key = self._rss_key.insert(RssKey::new(&hash));
            conf.rx_adv_conf.rss_conf = key.record(&self.caps.asked(&hash));
            self.rss = options.rx_queues > 1;
            self.nic_hash.set(Some(hash));
            self.hash_told = true;
        }
        if lsc && self.caps.link_interrupt {
            conf.intr_conf.set_lsc(1);
        }
        let (rx, tx) = self.queues;
        let (rx, tx) = (rx + self.hairpins, tx + self.hairpins);
        // SAFETY: the port exists and is not started; the settings are copied, and the key that they
        // point to is kept until the device is closed.
        check(unsafe { dpdk_sys::rte_eth_dev_configure(self.index, rx, tx, &conf) })
            .at(object, "configure")?;
        if self.mtu != device_mtu {
            // SAFETY: the port exists.
            match check(unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.index, self.mtu) }) {
                // A device without an MTU (ring, pcap) takes any frame.
                Err(Errno(libc::ENOTSUP)) => {}
                other => drop(other.at(object, "set the MTU")?),
            }
        }
        Ok(())
    }

    fn set_up_rx(&mut self, pool: &Pool, options: &PortOptions, queue: u16) -> Result<(), Error> {
        let object = || Object::RxQueue(options.name.clone(), queue);
        let (descriptors, _) = self.descriptors(options)?;
        self.rx_descriptors = descriptors;
        // SAFETY: the port is configured with that queue; it borrows the pool, so that lives on.
        check(unsafe {
            dpdk_sys::rte_eth_rx_queue_setup(
                self.index,
                queue,
                descriptors,
                self.socket(),
                std::ptr::null(),
                pool.as_ptr(),
            )
        })
        .at(object, "set up")?;
        Ok(())
    }

    fn set_up_tx(&self, options: &PortOptions, queue: u16) -> Result<(), Error> {
        let object = || Object::TxQueue(options.name.clone(), queue);
        let (_, descriptors) = self.descriptors(options)?;
        // SAFETY: the port is configured with that queue.
        check(unsafe {
            dpdk_sys::rte_eth_tx_queue_setup(
                self.index,
                queue,
                descriptors,
                self.socket(),
                std::ptr::null(),
            )
        })
        .at(object, "set up")?;
        Ok(())
    }

    fn descriptors(&self, options: &PortOptions) -> Result<(u16, u16), Error> {
        let (mut rx, mut tx) = (options.rx_descriptors, options.tx_descriptors);
        // SAFETY: the port exists; two u16 to change.
        check(unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.index, &mut rx, &mut tx) })
            .at(|| self.object(), "choose the descriptors")?;
        Ok((rx, tx))
    }

    /// The device's NUMA node; -1 (any) as C's unsigned.
    fn socket(&self) -> u32 {
        // SAFETY: the port exists.
        unsafe { dpdk_sys::rte_eth_dev_socket_id(self.index) as u32 }
    }

    fn set_address(&mut self, options: &PortOptions) -> Result<(), Error> {
        let object = || Object::Port(options.name.clone());
        if let Some(mac) = options.mac {
            let mut address = dpdk_sys::rte_ether_addr { addr_bytes: mac };
            // SAFETY: the port exists; the address is read.
            match check(unsafe {
                dpdk_sys::rte_eth_dev_default_mac_addr_set(self.index, &mut address)
            }) {
                // No filter to set: it receives everything.
                Err(Errno(libc::ENOTSUP)) => {}
                other => drop(other.at(object, "set the MAC address")?),
            }
            self.mac = mac;
            return Ok(());
        }
        let mut address = dpdk_sys::rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port exists; one address to fill.
        check(unsafe { dpdk_sys::rte_eth_macaddr_get(self.index, &mut address) })
            .at(object, "read the MAC address")?;
        self.mac = address.addr_bytes;
        Ok(())
    }

    /// Starts receiving and sending.
    ///
    /// # Errors
    /// What the driver says; for af_packet and tap often a missing privilege.
    pub fn start(&mut self) -> Result<(), Error> {
        let name = self.name.clone();
        let object = || Object::Port(name.clone());
        super::logging::take_error();
        // SAFETY: the port is configured and all its queues are set up.
        check(unsafe { dpdk_sys::rte_eth_dev_start(self.index) }).at(object, "start")?;
        self.started = true;
        if let Some(options) = self.nic_hash.get() {
            // Without it the hash is computed, which is slower and the same.
            if let Err(error) = self.check_rss(&options) {
                log::warn!("{error}");
                self.nic_hash.set(None);
            }
        }
        if self.promiscuous {
            // SAFETY: the port exists.
            check(unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.index) })
                .at(object, "enable promiscuous mode")?;
        }
        if self.all_multicast {
            // SAFETY: the port exists.
            let done = check(unsafe { dpdk_sys::rte_eth_allmulticast_enable(self.index) });
            match done {
                // af_xdp can only open its netdev for everything; who cannot do that has no filter.
                Err(Errno(libc::ENOTSUP)) => {
                    // SAFETY: the port exists.
                    match check(unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.index) }) {
                        Err(Errno(libc::ENOTSUP)) => {}
                        other => {
                            other.at(object, "enable promiscuous mode")?;
                            self.promiscuous = true;
                        }
                    }
                }
                other => drop(other.at(object, "enable reception of all multicast")?),
            }
        }
        Ok(())
    }

    /// All queues of the started port: the first time it is asked, and never again.
    pub fn queues(&self) -> Option<Queues<'_>> {
        if !self.started || self.given.replace(true) {
            return None;
        }
        let (rx, tx) = self.queues;
        Some((
            (0..rx)
                .map(|queue| RxQueue::new(self.index, queue))
                .collect(),
            (0..tx)
                .map(|queue| TxQueue::new(self.index, queue))
                .collect(),
        ))
    }

    /// The configured name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// DPDK's number of it.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// What the device says of itself.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Our MAC address there.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The L3 MTU, bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Descriptors of each receive queue: the most packets that wait there.
    pub fn rx_descriptors(&self) -> u16 {
        self.rx_descriptors
    }

    /// What the flow engine got of what [`PortOptions::flow`] asked for.
    pub fn flow(&self) -> Option<FlowLimits> {
        self.flow
    }

    /// Who has its flow queues: a bit for each that somebody has.
    pub(super) fn flow_given(&self) -> &AtomicU32 {
        &self.flow_given
    }

    /// Receive queues of software, numbered from 0.
    pub fn rx_queues(&self) -> u16 {
        self.queues.0
    }

    /// Queues of software, each way; those of hairpins are behind them.
    pub(super) fn software_queues(&self) -> (u16, u16) {
        self.queues
    }

    /// Hairpin queues, as many each way.
    pub(super) fn hairpins(&self) -> u16 {
        self.hairpins
    }

    /// Whether it was started.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether several receive queues are spread over by RSS.
    pub fn rss(&self) -> bool {
        self.rss
    }

    /// Whether the closure given to [`Port::open`] is registered for link changes. net_tap says so
    /// too and never calls; the kernel's word counts there.
    pub fn reports_link(&self) -> bool {
        self.callback.is_some()
    }

    /// The link now, without waiting.
    ///
    /// # Errors
    /// What the driver says.
    pub fn link(&self) -> Result<Link, Error> {
        link::read(self.index).at(|| self.object(), "read the link")
    }

    /// The device's counters.
    ///
    /// # Errors
    /// What the driver says.
    pub fn stats(&self) -> Result<PortStats, Error> {
        // SAFETY: a plain record for which zeros are valid.
        let mut raw: dpdk_sys::rte_eth_stats = unsafe { std::mem::zeroed() };
        // SAFETY: the port exists; one record to fill.
        check(unsafe { dpdk_sys::rte_eth_stats_get(self.index, &mut raw) })
            .at(|| self.object(), "read the counters")?;
        Ok(PortStats {
            packets: (raw.ipackets, raw.opackets),
            bytes: (raw.ibytes, raw.obytes),
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            rx_no_buffer: raw.rx_nombuf,
            tx_errors: raw.oerrors,
        })
    }
}

impl Drop for Port<'_> {
    fn drop(&mut self) {
        let name = &self.name;
        self.callback = None;
        if self.started && self.promiscuous {
            // The netdev of an af_xdp port would keep it. SAFETY: the port exists.
            if let Err(errno) = check(unsafe { dpdk_sys::rte_eth_promiscuous_disable(self.index) })
            {
                log::warn!("port {name}: disable promiscuous mode: {errno}");
            }
        }
        if self.started {
            // SAFETY: queues borrow the port, so none is left that could be polled.
            if let Err(errno) = check(unsafe { dpdk_sys::rte_eth_dev_stop(self.index) }) {
                log::error!("port {name}: stop: {errno}");
            }
        }
        // SAFETY: stopped.
        if let Err(errno) = check(unsafe { dpdk_sys::rte_eth_dev_close(self.index) }) {
            log::error!("port {name}: close: {errno}");
        }
        if let Some(device) = self.device {
            // SAFETY: made for this port, which is closed.
            if let Err(errno) = check(unsafe { dpdk_sys::evenpath_device_remove(device.as_ptr()) })
            {
                log::error!("port {name}: remove the device: {errno}");
            }
        }
        OPEN.fetch_and(!(1 << self.index), Ordering::Relaxed);
    }
}
