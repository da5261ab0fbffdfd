//! By which instructions a lookup table is searched.

use super::fib::Fib;
use dpdk_sys::{rte_fib_lookup_type as Of4, rte_fib6_lookup_type as Of6};

/// What searches a lookup table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// One address after the other; the only one on CPUs other than x86-64.
    #[default]
    Scalar,
    /// Sixteen at once by AVX-512 (IPv4: F and DQ; IPv6: BW as well): where the CPU has it and EAL may use
    /// 512 bits ([`super::Options`]).
    Avx512,
}

impl Kernel {
    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Kernel::Scalar => "scalar",
            Kernel::Avx512 => "avx512",
        }
    }
}

impl Fib<'_> {
    /// Those of IPv4 and IPv6: the widest that CPU and EAL allow, unless [`Fib::choose`] has said otherwise.
    pub fn kernel(&self) -> [Kernel; 2] {
        self.kernel
    }

    /// Has both families looked up by `wanted` where that can be; says by what they are.
    pub fn choose(&mut self, wanted: Kernel) -> [Kernel; 2] {
        let [kind4, kind6] = match wanted {
            Kernel::Scalar => [
                Of4::RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO,
                Of6::RTE_FIB6_LOOKUP_TRIE_SCALAR,
            ],
            Kernel::Avx512 => [
                Of4::RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512,
                Of6::RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512,
            ],
        };
        // SAFETY: the table lives, and `&mut` keeps readers out.
        let done4 = unsafe { dpdk_sys::rte_fib_select_lookup(self.fib4.as_ptr(), kind4) };
        // SAFETY: as above.
        let done6 = unsafe { dpdk_sys::rte_fib6_select_lookup(self.fib6.as_ptr(), kind6) };
        for (done, kernel) in [done4, done6].into_iter().zip(&mut self.kernel) {
            // Refused, it stays as it was.
            if done == 0 {
                *kernel = wanted;
            }
        }
        self.kernel
    }
}
