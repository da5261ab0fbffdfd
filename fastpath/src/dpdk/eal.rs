//! EAL: started once per process, alive as long as anything that came from it.

use log::LevelFilter;
use std::cell::Cell;
use std::ffi::{CString, c_char};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::{Cause, Error, Failed, Object, check, check_errno};
use super::logging;

/// Where packet buffers and lookup tables live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Huge pages, taken as needed and without leaving files; `reserve_mib` are taken at start.
    Hugepages {
        /// MiB to take at start, 0 for none.
        reserve_mib: u32,
    },
    /// Ordinary memory, a fixed amount: needs no privilege, costs about 40 % of the speed.
    Ordinary {
        /// MiB in all.
        mib: u32,
    },
}

impl Memory {
    /// Huge pages when at least `need_mib` MiB of them are free now, else that much ordinary memory.
    pub fn automatic(need_mib: u32) -> Memory {
        if free_hugepages_mib() >= u64::from(need_mib) {
            Memory::Hugepages { reserve_mib: 0 }
        } else {
            Memory::Ordinary { mib: need_mib }
        }
    }
}

/// Free huge pages of all sizes, in MiB; 0 where the kernel has none.
pub fn free_hugepages_mib() -> u64 {
    let Ok(sizes) = std::fs::read_dir(Path::new("/sys/kernel/mm/hugepages")) else {
        return 0;
    };
    sizes
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let kib: u64 = name
                .to_str()?
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            let free = std::fs::read_to_string(entry.path().join("free_hugepages")).ok()?;
            Some(kib * free.trim().parse::<u64>().ok()? / 1024)
        })
        .sum()
}

/// How to start EAL. The defaults need no privilege and touch no file and no PCI device.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory. Default: 64 MiB of ordinary memory.
    pub memory: Memory,
    /// CPUs of the calling thread, which EAL pins, and of EAL's own threads. Empty: the CPU that
    /// EAL chooses. Read the list of CPUs for workers *before* [`Eal::init`]: afterwards the
    /// process-wide default is gone.
    pub control_cores: Vec<usize>,
    /// PCI devices to probe: addresses, with driver arguments after a comma. Empty: no PCI at all.
    pub pci: Vec<String>,
    /// Virtual devices to create at start. Those of [`super::Port::open`] need not be here.
    pub vdevs: Vec<String>,
    /// What DPDK may log; it goes to the [`mod@log`] crate, target `dpdk`.
    pub log_level: LevelFilter,
    /// One file for all memory: what virtio-user and vhost-user need to share it.
    pub single_file_segments: bool,
    /// Anything else, appended as it stands.
    pub extra: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory: Memory::Ordinary { mib: 64 },
            control_cores: Vec::new(),
            pci: Vec::new(),
            vdevs: Vec::new(),
            log_level: log::max_level(),
            single_file_segments: false,
            extra: Vec::new(),
        }
    }
}

impl Options {
    /// The argument vector for EAL.
    fn arguments(&self) -> Vec<String> {
        let mut all = vec!["evenpath".to_owned()];
        // Without it root with huge pages gets physical addresses, and the rest does not.
        all.push("--iova-mode=va".into());
        all.push("--no-telemetry".into());
        match self.memory {
            Memory::Hugepages { reserve_mib } => {
                all.push("--in-memory".into());
                if reserve_mib > 0 {
                    all.extend(["-m".into(), reserve_mib.to_string()]);
                }
            }
            Memory::Ordinary { mib } => {
                all.extend(["--no-huge".into(), "--no-shconf".into()]);
                all.extend(["-m".into(), mib.to_string()]);
            }
        }
        if !self.control_cores.is_empty() {
            let cores: Vec<_> = self.control_cores.iter().map(usize::to_string).collect();
            all.push(format!("--lcores=0@({})", cores.join(",")));
        }
        if self.pci.is_empty() {
            all.push("--no-pci".into());
        }
        for device in &self.pci {
            all.extend(["-a".into(), device.clone()]);
        }
        for device in &self.vdevs {
            all.push(format!("--vdev={device}"));
        }
        if self.single_file_segments {
            all.push("--single-file-segments".into());
        }
        // SAFETY: asks the CPU; needs nothing.
        let is_wide = unsafe { dpdk_sys::evenpath_cpu_has_avx512() };
        const WIDTH: &str = "--force-max-simd-bitwidth";
        if is_wide && !self.extra.iter().any(|one| one.starts_with(WIDTH)) {
            // DPDK's default is 256 bits; the lookup tables have 512-bit kernels.
            all.push(format!("{WIDTH}=512"));
        }
        let level = logging::dpdk_level(self.log_level);
        all.push(format!("--log-level={level}"));
        if self.log_level == LevelFilter::Trace {
            all.push(format!("--log-level=*:{level}"));
        }
        all.extend(self.extra.iter().cloned());
        all
    }
}

/// Nanoseconds per cycle of the time stamp counter, times 2^32; 0 until EAL runs.
pub(super) static NS_PER_CYCLE: AtomicU64 = AtomicU64::new(0);

/// Whether EAL was ever started: DPDK cannot do it twice in a process, not even after a clean-up.
static STARTED: AtomicBool = AtomicBool::new(false);

/// The running EAL. Cleaned up when dropped, which the borrow checker allows only after all pools,
/// ports, queues and tables are gone.
///
/// It belongs to the thread that started it:
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<fastpath::dpdk::Eal>();
/// ```
/// ```compile_fail
/// fn share<T: Sync>() {}
/// share::<fastpath::dpdk::Eal>();
/// ```
#[derive(Debug)]
pub struct Eal {
    /// Neither Send nor Sync.
    _thread: PhantomData<*mut ()>,
}

impl Eal {
    /// Starts EAL on the calling thread and pins that thread to [`Options::control_cores`].
    ///
    /// # Errors
    /// When it was started before in this process, and when DPDK refuses: no memory, an unknown
    /// device, no permission.
    pub fn init(options: &Options) -> Result<Eal, Error> {
        if STARTED.swap(true, Ordering::SeqCst) {
            let cause = Cause::Refused("it was started before; a process can start it once");
            return Err(Error::new(Object::Eal, "init", cause));
        }
        let object = || Object::Eal;
        logging::redirect().at(object, "redirect the log")?;
        let mut argv = Vec::new();
        for argument in options.arguments() {
            let text = CString::new(argument).map_err(|_| {
                Error::new(
                    Object::Eal,
                    "init",
                    Cause::Refused("an argument contains a zero byte"),
                )
            })?;
            // EAL keeps pointers into its arguments: they live to the end of the process.
            argv.push(text.into_raw());
        }
        let argc = argv.len() as i32;
        argv.push(std::ptr::null_mut());
        let argv: &'static mut [*mut c_char] = argv.leak();
        // SAFETY: argv holds argc strings and a null; they and the array are never freed.
        check_errno(unsafe { dpdk_sys::rte_eal_init(argc, argv.as_mut_ptr()) })
            .at(object, "init")
            .map_err(|error| match options.memory {
                Memory::Hugepages { .. } => error.remedy(
                    "check that huge pages are free (/proc/meminfo) or do without them \
                     (hugepages = \"never\")",
                ),
                Memory::Ordinary { .. } => error,
            })?;
        let eal = Eal {
            _thread: PhantomData,
        };
        let scale = (1_000_000_000u64 << 32) / eal.cycles_hz().max(1);
        NS_PER_CYCLE.store(scale, Ordering::Relaxed);
        Ok(eal)
    }

    /// A proof that EAL is running, for other threads.
    pub fn handle(&self) -> Handle<'_> {
        Handle(PhantomData)
    }

    /// Frequency of [`super::cycles`] in Hz.
    pub fn cycles_hz(&self) -> u64 {
        // SAFETY: EAL is running, so the frequency was measured.
        unsafe { dpdk_sys::rte_get_tsc_hz() }
    }

    /// DPDK's version, such as `DPDK 24.11.4`.
    pub fn version(&self) -> String {
        super::version()
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        // SAFETY: this is the thread that started it, and nothing borrows from it any more.
        if let Err(errno) = check(unsafe { dpdk_sys::rte_eal_cleanup() }) {
            log::error!("EAL: clean up: {errno}");
        }
    }
}

/// Proof that EAL runs for `'e`; to be copied to any thread.
#[derive(Clone, Copy, Debug)]
pub struct Handle<'e>(PhantomData<&'e ()>);

/// A thread that DPDK knows: it has its own cache in every packet pool.
///
/// A worker holds one while it runs. It belongs to the thread that made it:
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<fastpath::dpdk::Registered>();
/// ```
#[derive(Debug)]
pub struct Registered<'e> {
    /// Whether this guard registered the thread, so that it must undo it.
    ours: Cell<bool>,
    _eal: PhantomData<&'e ()>,
    _thread: PhantomData<*mut ()>,
}

impl<'e> Registered<'e> {
    /// Registers the calling thread. One that is registered already stays so.
    ///
    /// # Errors
    /// When DPDK has no id left (128 in all).
    pub fn new(_eal: Handle<'e>) -> Result<Registered<'e>, Error> {
        // SAFETY: reads a thread-local variable; needs nothing.
        let known = unsafe { dpdk_sys::evenpath_lcore_id() } != u32::MAX;
        if !known {
            // SAFETY: EAL is running, says the handle.
            check_errno(unsafe { dpdk_sys::rte_thread_register() })
                .at(|| Object::Thread, "register with DPDK")?;
        }
        Ok(Registered {
            ours: Cell::new(!known),
            _eal: PhantomData,
            _thread: PhantomData,
        })
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if self.ours.get() {
            // SAFETY: this thread registered itself; the guard cannot leave it.
            unsafe { dpdk_sys::rte_thread_unregister() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_need_no_privilege() {
        let all = Options::default().arguments();
        for one in ["--no-huge", "--no-shconf", "--no-pci", "--iova-mode=va"] {
            assert!(all.iter().any(|a| a == one), "{one} in {all:?}");
        }
        // EAL refuses the two together.
        assert!(!all.iter().any(|a| a == "--in-memory"));
    }

    #[test]
    fn devices_and_cores_become_arguments() {
        let all = Options {
            memory: Memory::Hugepages { reserve_mib: 128 },
            control_cores: vec![0, 3],
            pci: vec!["0000:03:00.0,dv_flow_en=2".into()],
            vdevs: vec!["net_null0".into()],
            ..Options::default()
        }
        .arguments()
        .join(" ");
        for part in [
            "--in-memory -m 128",
            "--lcores=0@(0,3)",
            "-a 0000:03:00.0,dv_flow_en=2",
            "--vdev=net_null0",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert!(!all.contains("--no-pci") && !all.contains("--no-huge"));
    }
}
