//! Every default, in one place.

use super::{
    Algorithm, Answer, Api, Cores, DealBy, Eal, Fpm, Hash, Hugepages, Icmp, Resilient, Seed, State,
    Tables,
};
use fastpath::hash::Fields;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where the api socket is unless configured or said otherwise.
pub const DEFAULT_SOCKET: &str = "/run/evenpath/api.sock";

impl Default for Eal {
    fn default() -> Self {
        Eal {
            cores: Cores::Auto,
            hugepages: Hugepages::Auto,
            memory_mib: None,
            plugins: Vec::new(),
        }
    }
}

impl Default for Fpm {
    fn default() -> Self {
        Fpm {
            enable: true,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2620),
            sentinel: "fec0::ffff/128".parse().ok(),
            settle: Duration::from_secs(10),
            hold_below_percent: 50,
            restart_hold: Duration::from_secs(5),
            answer: Answer::Offload,
        }
    }
}

impl Default for Hash {
    fn default() -> Self {
        Hash {
            fields: Fields::default(),
            symmetric: true,
            seed: Seed::Random,
            algorithm: Algorithm::Mix,
        }
    }
}

impl Default for Resilient {
    fn default() -> Self {
        Resilient {
            enable: false,
            buckets: 64,
            active_timer: Duration::from_secs(120),
            unbalanced_timer: None,
            recovery: None,
            hold_down: Duration::ZERO,
            start_timer: Duration::from_secs(10),
            weight_error: 10_000,
            deal: DealBy::RoundRobin,
            deal_seed: None,
        }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            routes_ipv4: 131_072,
            routes_ipv6: 32_768,
            groups: 16_384,
            buckets: 65_536,
            adjacencies: 16_384,
        }
    }
}

impl Default for Icmp {
    fn default() -> Self {
        Icmp { rate: 1000 }
    }
}

impl Default for Api {
    fn default() -> Self {
        Api {
            socket: PathBuf::from(DEFAULT_SOCKET),
        }
    }
}

impl Default for State {
    fn default() -> Self {
        State {
            directory: PathBuf::from("/var/lib/evenpath"),
        }
    }
}
