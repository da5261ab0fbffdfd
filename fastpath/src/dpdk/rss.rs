//! The hash that a NIC computes for receive-side scaling: programmed, and read back.

use dpdk_sys::{rte_eth_hash_function as function, rte_eth_rss_conf};

use super::caps::{Caps, Missing};
use super::error::{Cause, Errno, Error, Failed, check};
use super::port::Port;
use std::sync::Arc;

/// Bytes of the key.
pub const RSS_KEY: usize = crate::hash::toeplitz::KEY;

/// How a device hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RssAlgorithm {
    /// As its driver likes, which says nothing about the value.
    Driver,
    /// Toeplitz.
    Toeplitz,
    /// Toeplitz over the addresses in order and the ports in order, each for itself: both
    /// directions of a flow alike.
    SortedToeplitz,
}

impl RssAlgorithm {
    const ALL: [RssAlgorithm; 3] = [
        RssAlgorithm::Driver,
        RssAlgorithm::Toeplitz,
        RssAlgorithm::SortedToeplitz,
    ];

    /// DPDK's number of it.
    const fn number(self) -> function::Type {
        match self {
            RssAlgorithm::Driver => function::RTE_ETH_HASH_FUNCTION_DEFAULT,
            RssAlgorithm::Toeplitz => function::RTE_ETH_HASH_FUNCTION_TOEPLITZ,
            RssAlgorithm::SortedToeplitz => function::RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ_SORT,
        }
    }

    const fn missing(self) -> Missing {
        Missing::Rss(match self {
            RssAlgorithm::Driver => "a hash for RSS",
            RssAlgorithm::Toeplitz => "Toeplitz as hash for RSS",
            RssAlgorithm::SortedToeplitz => "sorted Toeplitz as hash for RSS",
        })
    }
}

/// Drivers that name no algorithm, or not in what they say back, and have their NIC compute Toeplitz
/// whenever none other is asked for; with the file of DPDK 24.11.4 that says so. All take a key of 40
/// bytes. Others may do the same; of these it can be read.
const TOEPLITZ_BY_DEFAULT: [(&str, &str); 9] = [
    ("mlx5_pci", "net/mlx5/mlx5_devx.c: mlx5_devx_tir_attr_set"),
    (
        "mlx5_auxiliary",
        "net/mlx5/mlx5_devx.c: mlx5_devx_tir_attr_set",
    ),
    ("net_mlx4", "net/mlx4/mlx4_rxq.c: mlx4_rss_attach"),
    (
        "net_bnxt",
        "net/bnxt/bnxt_vnic.c: _bnxt_rte_to_hwrm_ring_select_mode",
    ),
    ("net_hns3", "net/hns3/hns3_rss.c: hns3_hash_func_map"),
    ("net_hns3_vf", "net/hns3/hns3_rss.c: hns3_hash_func_map"),
    ("net_gve", "net/gve/gve_ethdev.c: gve_rss_hash_update"),
    ("net_ena", "net/ena/ena_rss.c: ena_rss_hash_set"),
    ("net_mana", "net/mana/rx.c: mana_start_rx_queues"),
];

/// What a device hashes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RssOptions {
    /// The key.
    pub key: [u8; RSS_KEY],
    /// The ports of TCP and UDP, besides the addresses.
    pub ports: bool,
    /// How.
    pub algorithm: RssAlgorithm,
}

/// What a device says that it hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RssState {
    /// The key.
    pub key: [u8; RSS_KEY],
    /// Header fields (`RTE_ETH_RSS_*`).
    pub flow_types: u64,
    /// How; `None` when it is none that we know.
    pub algorithm: Option<RssAlgorithm>,
}

impl RssOptions {
    /// Header fields, as DPDK's bits.
    pub fn flow_types(&self) -> u64 {
        // SAFETY: a constant of the build.
        unsafe { dpdk_sys::evenpath_rss_types(self.ports) }
    }

    /// Whether `state` is what was asked for.
    pub fn is(&self, state: &RssState) -> bool {
        self.key == state.key
            && self.flow_types() == state.flow_types
            && Some(self.algorithm) == state.algorithm
    }
}

impl Caps {
    /// Everything that the device lacks to hash as `options` say and to tell the value with each
    /// packet.
    pub fn lacks_rss(&self, options: &RssOptions) -> Vec<Missing> {
        let mut missing = self.lacks_hash(options);
        if options.algorithm == RssAlgorithm::Driver {
            missing.push(Missing::Rss("a hash that is known"));
        }
        if !self.rss_with_packet {
            missing.push(Missing::Rss("the RSS hash with each packet"));
        }
        missing
    }

    /// The driver computes what `options` ask for when no algorithm is named.
    fn by_default(&self, options: &RssOptions) -> bool {
        let mut known = TOEPLITZ_BY_DEFAULT.iter();
        options.algorithm == RssAlgorithm::Toeplitz
            && known.any(|(driver, _)| *driver == self.driver)
    }

    fn names(&self, algorithm: RssAlgorithm) -> bool {
        self.rss_algorithms >> algorithm.number() & 1 != 0
    }

    /// As the driver is to be asked for `options`: with the algorithm named, if it can be.
    pub(super) fn asked(&self, options: &RssOptions) -> RssOptions {
        let mut asked = *options;
        if !self.names(options.algorithm) && self.by_default(options) {
            asked.algorithm = RssAlgorithm::Driver;
        }
        asked
    }

    /// `state` is what `options` ask for; some drivers never say which algorithm it is.
    pub(super) fn agrees(&self, options: &RssOptions, state: &RssState) -> bool {
        let unnamed = RssOptions {
            algorithm: RssAlgorithm::Driver,
            ..*options
        };
        options.is(state) || self.by_default(options) && unnamed.is(state)
    }

    /// What it lacks to hash as `options` say. A driver that neither names the algorithm nor is known
    /// to mean it is not trusted with it.
    pub(super) fn lacks_hash(&self, options: &RssOptions) -> Vec<Missing> {
        let mut missing = Vec::new();
        if options.flow_types() & !self.rss_flow_types != 0 {
            missing.push(Missing::Rss(if options.ports {
                "RSS by addresses and ports"
            } else {
                "RSS by addresses"
            }));
        }
        if usize::from(self.rss_key_bytes) != RSS_KEY {
            missing.push(Missing::Rss("an RSS key of 40 bytes"));
        }
        if !self.names(options.algorithm) && !self.by_default(options) {
            missing.push(options.algorithm.missing());
        }
        missing
    }
}

impl Port<'_> {
    /// What the device hashes by, when it does as [`super::PortOptions::rss`] asked and tells the value
    /// with each packet. [`Caps::lacks_rss`] says why it does not.
    pub fn nic_hash(&self) -> Option<RssOptions> {
        self.nic_hash.get()
    }

    /// Whether the device was opened so that it tells a hash with each packet; that cannot be changed
    /// while it runs.
    pub fn tells_hash(&self) -> bool {
        self.hash_told
    }

    /// Makes the started device hash as `options` say, and asks it whether it does. Packets that it
    /// received before, and some while this goes on, carry the value of the old settings.
    ///
    /// # Errors
    /// What the device lacks, what the driver says, or that it says one thing and does another; then
    /// [`Port::nic_hash`] is none.
    pub fn set_rss(&self, options: &RssOptions) -> Result<(), Error> {
        let operation = "set the RSS hash";
        self.nic_hash.set(None);
        let missing = self.caps.lacks_hash(options);
        if !missing.is_empty() {
            let cause = Cause::Missing(missing);
            return Err(Error::new(self.object(), operation, cause));
        }
        update(self.index, &self.caps.asked(options)).at(|| self.object(), operation)?;
        self.check_rss(options)?;
        // How the packets' values get out was settled when the port was configured.
        self.nic_hash.set(Some(*options).filter(|_| self.hash_told));
        Ok(())
    }

    pub(super) fn check_rss(&self, options: &RssOptions) -> Result<(), Error> {
        if self.caps.agrees(options, &self.rss_state()?) {
            return Ok(());
        }
        let cause = Cause::Refused("the device does not hash as it was told");
        Err(Error::new(self.object(), "set the RSS hash", cause))
    }

    /// What the device says that it hashes.
    ///
    /// # Errors
    /// What the driver says; one without RSS says so.
    pub fn rss_state(&self) -> Result<RssState, Error> {
        if usize::from(self.caps.rss_key_bytes) > RSS_KEY {
            let cause = Cause::Refused("its RSS key is longer than 40 bytes");
            return Err(Error::new(self.object(), "read the RSS hash", cause));
        }
        read(self.index).at(|| self.object(), "read the RSS hash")
    }
}

/// A key that DPDK points to and only reads. It stays where it is while this is moved, which a `Box`
/// would forbid others to rely on.
#[derive(Debug)]
pub(super) struct RssKey(Arc<[u8; RSS_KEY]>);

impl RssKey {
    pub(super) fn new(options: &RssOptions) -> Self {
        RssKey(Arc::new(options.key))
    }

    /// DPDK's record of `options`, with this as key, which must outlive the record's use: that ends
    /// with the call, except that `rte_eth_dev_configure` keeps the record as long as the device.
    pub(super) fn record(&self, options: &RssOptions) -> rte_eth_rss_conf {
        rte_eth_rss_conf {
            rss_hf: options.flow_types(),
            algorithm: options.algorithm.number(),
            rss_key_len: RSS_KEY as u8,
            rss_key: Arc::as_ptr(&self.0).cast::<u8>().cast_mut(),
        }
    }
}

/// Makes `port` hash as `options` say, from now on.
pub(super) fn update(port: u16, options: &RssOptions) -> Result<(), Errno> {
    let key = RssKey::new(options);
    let mut conf = key.record(options);
    // SAFETY: the caller has the port; the record and its key live as long as the call.
    check(unsafe { dpdk_sys::rte_eth_dev_rss_hash_update(port, &mut conf) })?;
    Ok(())
}

/// What `port` says that it hashes.
fn read(port: u16) -> Result<RssState, Errno> {
    let mut key = [0; RSS_KEY];
    let mut conf = rte_eth_rss_conf {
        rss_hf: 0,
        algorithm: function::RTE_ETH_HASH_FUNCTION_DEFAULT,
        rss_key_len: RSS_KEY as u8,
        rss_key: key.as_mut_ptr(),
    };
    // SAFETY: the caller, `rss_state`, has the port and has made sure that its key is no longer than
    // ours.
    check(unsafe { dpdk_sys::rte_eth_dev_rss_hash_conf_get(port, &mut conf) })?;
    Ok(RssState {
        key,
        flow_types: conf.rss_hf,
        algorithm: RssAlgorithm::ALL
            .into_iter()
            .find(|a| a.number() == conf.algorithm),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(change: impl Fn(&mut Caps, &mut RssOptions)) -> Vec<String> {
        let mut options = RssOptions {
            key: [7; RSS_KEY],
            ports: true,
            algorithm: RssAlgorithm::SortedToeplitz,
        };
        let mut caps = Caps {
            rss_flow_types: options.flow_types(),
            rss_key_bytes: 40,
            rss_algorithms: 1 << RssAlgorithm::SortedToeplitz.number(),
            rss_with_packet: true,
            ..Caps::none()
        };
        change(&mut caps, &mut options);
        let missing = caps.lacks_rss(&options);
        missing.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn toeplitz_is_what_some_drivers_mean_by_nothing() {
        let options = RssOptions {
            key: [7; RSS_KEY],
            ports: true,
            algorithm: RssAlgorithm::Toeplitz,
        };
        let state = |algorithm| RssState {
            key: options.key,
            flow_types: options.flow_types(),
            algorithm,
        };
        let unnamed = RssOptions {
            algorithm: RssAlgorithm::Driver,
            ..options
        };
        let sorted = RssOptions {
            algorithm: RssAlgorithm::SortedToeplitz,
            ..options
        };
        let names_it = 1 << RssAlgorithm::Toeplitz.number();
        for (driver, names, takes, asked) in [
            ("mlx5_pci", 0, true, unnamed),
            ("net_bnxt", names_it, true, options),
            ("net_ntnic", names_it, true, options),
            ("net_ixgbe", 0, false, options),
        ] {
            let caps = Caps {
                driver: driver.into(),
                rss_flow_types: options.flow_types(),
                rss_key_bytes: 40,
                rss_algorithms: 1 | names,
                rss_with_packet: true,
                ..Caps::none()
            };
            assert_eq!(caps.lacks_rss(&options).is_empty(), takes, "{driver}");
            assert_eq!(caps.asked(&options), asked, "{driver}");
            assert!(!caps.lacks_rss(&sorted).is_empty(), "{driver}");
            assert_eq!(caps.asked(&sorted), sorted, "{driver}");
            assert!(caps.agrees(&options, &state(Some(RssAlgorithm::Toeplitz))));
            let known = !matches!(driver, "net_ntnic" | "net_ixgbe");
            let by_default = state(Some(RssAlgorithm::Driver));
            assert_eq!(caps.agrees(&options, &by_default), known, "{driver}");
            assert!(!caps.agrees(&sorted, &by_default) && !caps.agrees(&options, &state(None)));
            let other = RssState {
                key: [8; RSS_KEY],
                ..by_default
            };
            assert!(!caps.agrees(&options, &other), "{driver}");
        }
    }

    #[test]
    fn the_key_outlives_what_it_was_made_from_and_stays_in_its_place() {
        let mut options = RssOptions {
            key: std::array::from_fn(|i| i as u8 ^ 0x5a),
            ports: true,
            algorithm: RssAlgorithm::Toeplitz,
        };
        let (key, wanted) = (RssKey::new(&options), options.key);
        let record = key.record(&options);
        let moved = Box::new(Some(key));
        options.key = [0; RSS_KEY];
        // SAFETY: the key is alive in `moved`.
        let read = unsafe { std::slice::from_raw_parts(record.rss_key, RSS_KEY) };
        assert_eq!(
            (read, usize::from(record.rss_key_len)),
            (&wanted[..], RSS_KEY)
        );
        drop(moved);
    }

    #[test]
    fn a_device_must_have_all_of_it() {
        assert!(lacking(|_, _| ()).is_empty());
        let without_ports = |caps: &mut Caps, options: &mut RssOptions| {
            options.ports = false;
            caps.rss_flow_types = options.flow_types();
        };
        assert!(lacking(without_ports).is_empty());
        let addresses_only = |caps: &mut Caps, options: &mut RssOptions| {
            without_ports(caps, options);
            options.ports = true;
        };
        assert_eq!(lacking(addresses_only), ["RSS by addresses and ports"]);
        assert_eq!(
            lacking(|caps, _| caps.rss_key_bytes = 52),
            ["an RSS key of 40 bytes"]
        );
        assert_eq!(
            lacking(|_, options| options.algorithm = RssAlgorithm::Toeplitz),
            ["Toeplitz as hash for RSS"]
        );
        assert_eq!(
            lacking(|caps, _| caps.rss_with_packet = false),
            ["the RSS hash with each packet"]
        );
        let everything = |caps: &mut Caps, _: &mut RssOptions| *caps = Caps::none();
        assert_eq!(lacking(everything).len(), 4);
    }
}
