//! One deciding program in the kernel's test runner (`BPF_PROG_TEST_RUN`). Needs root.

use libbpf_rs::{MapHandle, Object, ProgramInput};

use self::Verdict::{Kernel, Ours};
use super::frames::OUR_MAC;
use crate::steal::own::{OwnAddresses, Settings};
use crate::steal::program::{self, STEAL, TC_OBJECT, XDP, XDP_OBJECT};

/// Every program of the tests starts with these.
pub(super) const OWN: [&str; 4] = ["169.254.0.0", "10.0.0.1", "2001:db8::1", "10.244.1.255"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ours,
    Kernel,
}

/// One of the two deciding programs, loaded and with its maps filled.
pub(super) struct Program {
    object: Object,
    pub(super) name: &'static str,
    pub(super) ours: i32,
    kernel: i32,
    pub(super) own: OwnAddresses,
}

impl Program {
    /// An AF_XDP socket is bound to no queue here, so the test gives that case a verdict of its
    /// own, XDP_TX, where production passes to the kernel.
    pub(super) fn xdp(unbound: u32) -> Program {
        let mut open = program::open("test", XDP_OBJECT).expect("BPF needs root or CAP_BPF");
        for mut map in open.maps_mut() {
            if map.name().to_string_lossy().ends_with(".rodata") {
                let value = map.initial_value_mut().expect("constants");
                assert_eq!(
                    value,
                    2_u32.to_ne_bytes(),
                    "production passes to the kernel"
                );
                value.copy_from_slice(&unbound.to_ne_bytes());
            }
        }
        let object = open.load().expect("BPF needs root or CAP_BPF");
        Self::new(object, XDP, 0, 3, 2)
    }

    /// `tap` is the interface index of where our packets go.
    pub(super) fn tc(tap: u32) -> Program {
        let open = program::open("test", TC_OBJECT).expect("BPF needs root or CAP_BPF");
        let object = open.load().expect("BPF needs root or CAP_BPF");
        Self::new(object, STEAL, tap, 7, -1)
    }

    fn new(object: Object, name: &'static str, peer: u32, ours: i32, kernel: i32) -> Program {
        let maps: Vec<_> = object
            .maps()
            .map(|map| MapHandle::try_from(&map).unwrap())
            .collect();
        let settings = Settings {
            enabled: false,
            peer,
            uplink: 1,
            mac: OUR_MAC,
        };
        let own = OwnAddresses::new("test", maps, settings).unwrap();
        for address in OWN {
            own.add(address.parse().unwrap()).unwrap();
        }
        Program {
            object,
            name,
            ours,
            kernel,
            own,
        }
    }

    /// Both programs, enabled. Interface 1 is the loopback, which is always there.
    pub(super) fn both() -> [Program; 2] {
        let mut both = [Self::xdp(3), Self::tc(1)];
        for program in &mut both {
            program.own.enable().unwrap();
        }
        both
    }

    pub(super) fn run(&self, frame: &[u8]) -> Verdict {
        let program = self
            .object
            .progs_mut()
            .find(|program| program.name() == self.name)
            .unwrap();
        let input = ProgramInput {
            data_in: Some(frame),
            ..ProgramInput::default()
        };
        let output = program
            .test_run(input)
            .unwrap_or_else(|error| panic!("{}: {error:#}: {frame:02x?}", self.name));
        match output.return_value as i32 {
            value if value == self.ours => Ours,
            value if value == self.kernel => Kernel,
            value => panic!("{}: verdict {value} for {frame:02x?}", self.name),
        }
    }
}
