//! What a port is made from, and what its device counts.

use super::flow::FlowOptions;
use super::rss::RssOptions;

/// How a port is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOptions {
    /// What errors, and DPDK's device where it has no name of its own, call it.
    pub name: String,
    /// DPDK devargs: `net_af_xdp,iface=eth1`, `net_pcap,rx_pcap=a.pcap,tx_pcap=b.pcap`, or a PCI
    /// address that [`super::Options::pci`] named. A virtual device without a number at the end of
    /// its driver's name gets this port's name there.
    pub device: String,
    /// Receive queues, at least 1. More than one are spread over by RSS (addresses and ports, the
    /// driver's own key) where the device has it, else as the device does by itself.
    pub rx_queues: u16,
    /// Transmit queues, at least 1.
    pub tx_queues: u16,
    /// Descriptors per receive queue; moved to the nearest that the device allows.
    pub rx_descriptors: u16,
    /// Descriptors per transmit queue; moved to the nearest that the device allows.
    pub tx_descriptors: u16,
    /// L3 MTU in bytes; `None` leaves the device's. Some drivers set the kernel interface's.
    pub mtu: Option<u16>,
    /// MAC address; `None` leaves the device's. A driver without an address filter (pcap) cannot be
    /// told, and need not be.
    pub mac: Option<[u8; 6]>,
    /// Receive what is for other MAC addresses too.
    pub promiscuous: bool,
    /// Receive all multicast: for ports whose multicast we carry to the kernel.
    pub all_multicast: bool,
    /// Have the device hash so, and tell the value with each packet, if it can
    /// ([`super::Port::nic_hash`]).
    pub rss: Option<RssOptions>,
    /// Configure the device's flow engine, so that [`super::Flow`] can put rules into it.
    pub flow: Option<FlowOptions>,
}

impl PortOptions {
    /// One queue each way, 1,024 descriptors, everything else as the device has it.
    pub fn new(name: impl Into<String>, device: impl Into<String>) -> Self {
        PortOptions {
            name: name.into(),
            device: device.into(),
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: None,
            mac: None,
            promiscuous: false,
            all_multicast: false,
            rss: None,
            flow: None,
        }
    }
}

/// What the device counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received, sent.
    pub packets: (u64, u64),
    /// Bytes received, sent.
    pub bytes: (u64, u64),
    /// Packets that the device dropped for want of a free descriptor.
    pub rx_missed: u64,
    /// Damaged packets.
    pub rx_errors: u64,
    /// Receive failures for want of a packet buffer.
    pub rx_no_buffer: u64,
    /// Packets that the device could not send.
    pub tx_errors: u64,
}
