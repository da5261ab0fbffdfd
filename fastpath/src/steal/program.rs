//! The BPF objects in this binary, and what of them is in the kernel.

use std::sync::Once;

use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{MapHandle, ObjectBuilder, OpenObject, PrintLevel};

use super::error::Error;

/// For `net_af_xdp`'s `xdp_prog=`.
pub(super) const XDP_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/xdp.bpf.o"));
/// The programs of [`super::Tc`] and [`super::PuntTap`].
pub(super) const TC_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tc.bpf.o"));

/// Program names, by which leftovers of a killed instance are told from other owners' programs.
pub(super) const XDP: &str = "evenpath_xdp";
pub(super) const STEAL: &str = "evenpath_steal";
pub(super) const RETURN: &str = "evenpath_return";
pub(super) const PUNT: &str = "evenpath_punt";
pub(super) const MUTE: &str = "evenpath_mute";

/// A program in the kernel.
pub(super) struct Loaded {
    pub(super) name: String,
    map_ids: Vec<u32>,
}

impl Loaded {
    /// The program with this id; `None` when it was unloaded meanwhile.
    pub(super) fn find(id: u32) -> Option<Loaded> {
        let options = ProgInfoQueryOptions::default().include_map_ids(true);
        let found = ProgInfoIter::with_query_opts(options).find(|program| program.id == id)?;
        Some(Loaded {
            name: found.name.to_string_lossy().into_owned(),
            map_ids: found.map_ids,
        })
    }

    /// Handles of its maps.
    pub(super) fn maps(&self, netdev: &str) -> Result<Vec<MapHandle>, Error> {
        let open = |&id: &u32| MapHandle::from_map_id(id);
        self.map_ids
            .iter()
            .map(open)
            .collect::<Result<_, _>>()
            .map_err(Error::kernel(netdev, "open the program's maps"))
    }
}

/// Opens an object of ours, unloaded.
pub(super) fn open(netdev: &str, object: &[u8]) -> Result<OpenObject, Error> {
    quiet();
    ObjectBuilder::default()
        .open_memory(object)
        .map_err(Error::kernel(netdev, "open BPF object"))
}

/// Sends libbpf's own messages, which repeat our errors in its words, to the debug log.
pub(super) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Info, |_, message| {
            log::debug!("libbpf: {}", message.trim_end());
        })));
    });
}
