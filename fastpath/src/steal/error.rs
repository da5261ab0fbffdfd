//! What can go wrong between a netdev and us, in words for an operator.

use std::fmt;
use std::io;
use std::net::IpAddr;

use super::mac::Mac;

/// Why a netdev cannot be used, or not in this way.
#[derive(Debug)]
pub enum Error {
    /// Not a name that the kernel and DPDK's device arguments can both carry.
    Name {
        /// The name as configured.
        name: String,
    },
    /// No netdev of this name in the network namespace of this process.
    Missing {
        /// The name as configured.
        netdev: String,
    },
    /// A netdev of this name exists, and we were to make it.
    Exists {
        /// The name as configured.
        netdev: String,
    },
    /// No Ethernet netdev: nothing on it is addressed to a MAC address of ours.
    NotEthernet {
        /// Name of the netdev.
        netdev: String,
    },
    /// Another process holds the netdev.
    Claimed {
        /// Name of the netdev.
        netdev: String,
    },
    /// An XDP program that is not ours is attached.
    ForeignXdp {
        /// Name of the netdev.
        netdev: String,
        /// Name of the program.
        program: String,
        /// Its id, for `bpftool prog show id ID`.
        id: u32,
    },
    /// No XDP program of ours is attached although the port should be open.
    NotAttached {
        /// Name of the netdev.
        netdev: String,
    },
    /// Frames of this MTU do not fit in a packet buffer of AF_XDP.
    Mtu {
        /// Name of the netdev.
        netdev: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// The largest MTU that fits, in bytes.
        limit: u32,
    },
    /// The driver of AF_XDP binds one queue here and the netdev spreads over several.
    Queues {
        /// Name of the netdev.
        netdev: String,
        /// How many receive queues are active.
        queues: u32,
        /// How many could be bound.
        limit: u32,
        /// The `ethtool -L` keyword that sets them.
        keyword: &'static str,
    },
    /// The map of own addresses has no room.
    TooManyAddresses {
        /// Name of the netdev.
        netdev: String,
        /// The address that did not fit.
        address: IpAddr,
    },
    /// A multicast or zero MAC address where ours is wanted.
    Mac {
        /// Name of the netdev.
        netdev: String,
        /// The address.
        mac: [u8; 6],
    },
    /// The kernel refused.
    Kernel {
        /// Name of the netdev.
        netdev: String,
        /// What was tried.
        operation: &'static str,
        /// The kernel's answer.
        cause: io::Error,
    },
}

impl Error {
    /// For `map_err`: the kernel refused `operation` on `netdev`.
    pub(super) fn kernel<E: IntoIo>(
        netdev: &str,
        operation: &'static str,
    ) -> impl FnOnce(E) -> Error {
        let netdev = netdev.to_owned();
        move |cause| Error::Kernel {
            netdev,
            operation,
            cause: cause.into_io(),
        }
    }
}

/// The two kinds of errors that calls to the kernel give here.
pub(super) trait IntoIo {
    fn into_io(self) -> io::Error;
}

impl IntoIo for io::Error {
    fn into_io(self) -> io::Error {
        self
    }
}

impl IntoIo for libbpf_rs::Error {
    fn into_io(self) -> io::Error {
        let kind = match self.kind() {
            libbpf_rs::ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            libbpf_rs::ErrorKind::NotFound => io::ErrorKind::NotFound,
            libbpf_rs::ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, format!("{self:#}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Name { name } => write!(
                f,
                "netdev {name:?}: name: not usable; 1 to 15 visible characters other than / : , = % [ ] \""
            ),
            Error::Missing { netdev } => write!(
                f,
                "netdev {netdev}: open: no such netdev in this network namespace; `ip link` lists them"
            ),
            Error::Exists { netdev } => write!(
                f,
                "netdev {netdev}: create tap: the name is taken; rename the port or `ip link del {netdev}`"
            ),
            Error::NotEthernet { netdev } => {
                write!(
                    f,
                    "netdev {netdev}: open: not an Ethernet netdev; use one with a MAC address"
                )
            }
            Error::Claimed { netdev } => write!(
                f,
                "netdev {netdev}: claim: another evenpath has it as a port; stop that one or use another netdev"
            ),
            Error::ForeignXdp {
                netdev,
                program,
                id,
            } => write!(
                f,
                "netdev {netdev}: attach XDP: program {program} (id {id}) of another owner is attached; \
                 stop its owner or `ip link set dev {netdev} xdp off`, or use device = \"tap:{netdev}\""
            ),
            Error::NotAttached { netdev } => write!(
                f,
                "netdev {netdev}: find XDP program: ours is not attached; the port must be opened first, \
                 and nobody else may detach it"
            ),
            Error::Mtu { netdev, mtu, limit } => write!(
                f,
                "netdev {netdev}: MTU {mtu}: frames do not fit in AF_XDP buffers; \
                 `ip link set dev {netdev} mtu {limit}` or use device = \"tap:{netdev}\""
            ),
            Error::Queues {
                netdev,
                queues,
                limit,
                keyword,
            } => write!(
                f,
                "netdev {netdev}: {queues} receive queues: the AF_XDP driver binds at most {limit} here and the \
                 kernel would keep the others' packets; `ethtool -L {netdev} {keyword} {limit}`"
            ),
            Error::TooManyAddresses { netdev, address } => write!(
                f,
                "netdev {netdev}: add own address {address}: the table of {} addresses is full; \
                 remove addresses that are not needed",
                super::own::MAX_ADDRESSES
            ),
            Error::Mac { netdev, mac } => {
                write!(
                    f,
                    "netdev {netdev}: MAC address {}: not a unicast address; set another",
                    Mac(*mac)
                )
            }
            Error::Kernel {
                netdev,
                operation,
                cause,
            } => {
                write!(f, "netdev {netdev}: {operation}: {cause}")?;
                if cause.kind() == io::ErrorKind::PermissionDenied {
                    f.write_str(
                        "; run as root or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_SYS_ADMIN and CAP_IPC_LOCK",
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Kernel { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
