//! A compiled program, kept by two engines: one over a simulated e-switch, the other over rte_flow, DPDK
//! and the driver. Every packet fares the same.

mod support;

use fastpath::dpdk::{Flow, Pool, PoolOptions, Port};
use fastpath::hardware::Steering;
use fastpath::hardware::engine::{Engine, Operations};
use fastpath::hardware::plan::Family;
use fastpath::hardware::sim::{Profile, Sim};
use fastpath::table::PortId;
use support::fabric::{Ends, Fabric};
use support::plan::{PORTS, Random, changes, config, directly, frame, model, plan};

/// Packets that both engines' programs forwarded alike, of each family.
fn compare<S: Steering>(
    ends: &mut Ends<'_>,
    real: &mut Engine<S>,
    model: &mut Engine<Sim>,
) -> [usize; 2] {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut forwarded = [0; 2];
    let mut history = vec![("all of it", plan(64))];
    history.extend(changes(64));
    for (name, changes) in history {
        for change in &changes {
            real.apply(change);
            model.apply(change);
        }
        assert!(real.settle(usize::MAX) && model.settle(usize::MAX));
        assert_eq!(real.operations().failed, 0, "{name}");
        for _ in 0..400 {
            let (port, bytes) = (random.below(3) as usize, frame(&mut random));
            let found = ends.through(port, &bytes);
            let expected = directly(model.steering_mut(), port, &bytes);
            assert_eq!(found, expected, "{name}: port {port}, {bytes:02x?}");
            assert_eq!(found.len(), 1, "nothing is lost");
            forwarded[usize::from(bytes[12] == 0x86)] += usize::from(found[0].1);
        }
    }
    assert_eq!(model.steering().misuses(), [""; 0]);
    let done = |operations: Operations| operations.done;
    assert_eq!(done(real.operations()), done(model.operations()));
    forwarded
}

#[test]
fn a_compiled_program_does_the_same_through_dpdk() {
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    let fabric = Fabric::new(&pool, "bf3", "");
    let mut ends = fabric.ends(&pool);

    let profile = Profile::bf3().switchdev();
    let ports: Vec<(PortId, &Port)> = PORTS.into_iter().zip(&fabric.near).collect();
    let flow = Flow::new(&ports, profile.capabilities.clone()).unwrap();
    let mut real = Engine::new(flow, config());
    let mut model = Engine::new(model(profile), config());
    let forwarded = compare(&mut ends, &mut real, &mut model);
    println!("forwarded by hardware, IPv4 and IPv6: {forwarded:?}");
    assert!(forwarded.iter().all(|n| *n > 200), "{forwarded:?}");
    for family in Family::ALL {
        assert_eq!(real.agrees(family), Some(true), "rows of {family:?}");
    }
}
