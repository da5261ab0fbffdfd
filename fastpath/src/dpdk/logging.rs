//! DPDK's log, sent to the [`log`] crate under the target `dpdk`.
//!
//! DPDK's INFO is EAL's chatter and becomes `debug`; NOTICE becomes `info`. The first error line
//! of an operation is kept per thread, to be quoted in the error that follows it: drivers say there
//! what their return value does not, and the lines after it only repeat that something failed.

use log::{Level, LevelFilter};
use std::cell::RefCell;
use std::ffi::c_char;

use super::error::{Errno, check};

thread_local! {
    static FIRST_ERROR: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// `RTE_LOG_ERR`; smaller is worse.
const ERROR: u32 = 4;

/// DPDK's number for the most talkative level that `filter` lets through.
pub(super) const fn dpdk_level(filter: LevelFilter) -> u32 {
    match filter {
        LevelFilter::Off | LevelFilter::Error => ERROR,
        LevelFilter::Warn => 5,
        LevelFilter::Info => 6,
        LevelFilter::Debug => 7,
        LevelFilter::Trace => 8,
    }
}

const fn level(dpdk: u32) -> Level {
    match dpdk {
        0..=ERROR => Level::Error,
        5 => Level::Warn,
        6 => Level::Info,
        7 => Level::Debug,
        _ => Level::Trace,
    }
}

/// Called by DPDK on the thread that logs.
unsafe extern "C" fn sink(dpdk_level: u32, message: *const c_char, length: usize) {
    // SAFETY: the shim passes stdio's buffer and its length; both live during this call.
    let bytes = unsafe { std::slice::from_raw_parts(message.cast::<u8>(), length) };
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if dpdk_level <= ERROR {
            // A thread that is ending has no such variable any more: then nobody asks for it.
            let _ = FIRST_ERROR.try_with(|first| {
                first.borrow_mut().get_or_insert_with(|| line.to_owned());
            });
        }
        log::log!(target: "dpdk", level(dpdk_level), "{line}");
    }
}

/// Redirects DPDK's log, from now to the end of the process.
pub(super) fn redirect() -> Result<(), Errno> {
    // SAFETY: `sink` is a function of the type that the shim asks for and lives forever.
    check(unsafe { dpdk_sys::evenpath_log_redirect(Some(sink)) })?;
    Ok(())
}

/// The calling thread's first error line since this was last called.
pub(super) fn take_error() -> Option<String> {
    FIRST_ERROR.with(|first| first.take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_survive_the_way_there_and_back() {
        for filter in [
            LevelFilter::Error,
            LevelFilter::Warn,
            LevelFilter::Info,
            LevelFilter::Debug,
            LevelFilter::Trace,
        ] {
            assert_eq!(level(dpdk_level(filter)).to_level_filter(), filter);
        }
    }

    #[test]
    fn the_first_error_line_is_kept_once() {
        for (number, text) in [(4, "PMD: first\nPMD: second\n"), (6, "EAL: fine\n")] {
            // SAFETY: pointer and length of one live string.
            unsafe { sink(number, text.as_ptr().cast(), text.len()) };
        }
        assert_eq!(take_error().as_deref(), Some("PMD: first"));
        assert_eq!(take_error(), None);
    }
}
