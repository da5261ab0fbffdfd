//! Without leave for 512 bits lookups are scalar, whatever the CPU has.
#![cfg(feature = "dpdk")]

use fastpath::dpdk::{Eal, Fib, FibOptions, Kernel, Memory, Options};
use fastpath::table::{GroupId, Lpm, LpmWrite};

#[test]
fn narrower_vectors_are_obeyed() {
    let eal = Eal::init(&Options {
        memory: Memory::Ordinary {
            mib: FibOptions::default().memory_mib(),
        },
        extra: vec!["--force-max-simd-bitwidth=256".into()],
        ..Options::default()
    })
    .unwrap();
    let mut fib = Fib::new(eal.handle(), FibOptions::default()).unwrap();
    assert_eq!(fib.kernel(), [Kernel::Scalar; 2]);
    assert_eq!(fib.choose(Kernel::Avx512), [Kernel::Scalar; 2]);
    assert_eq!(fib.kernels(), ["scalar"; 2]);
    fib.upsert4([10, 0, 0, 0].into(), 8, GroupId(7)).unwrap();
    let mut found = [GroupId::NONE; 2];
    fib.lookup4(&[0x0a01_0203, 0x0b01_0203], &mut found);
    assert_eq!(found, [GroupId(7), GroupId::NONE]);
}
