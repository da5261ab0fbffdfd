//! Compiled programs, kept by two engines each: one over a simulated e-switch, the other over rte_flow,
//! DPDK and the driver. Every packet fares the same, in each role and design.

mod support;

use fastpath::dpdk::{Flow, Pool, PoolOptions, probe};
use fastpath::hardware::compile::Design;
use fastpath::hardware::engine::{Engine, Operations};
use fastpath::hardware::plan::Family;
use fastpath::hardware::probe::MOST_ROWS_LOG;
use fastpath::hardware::sim::Sim;
use support::fabric::{Ends, Fabric};
use support::plan::{Random, Setting, changes, config, directly, frame, model, plan};

/// Packets that both engines' programs forwarded alike, of each family.
fn compare(
    setting: Setting,
    ends: &mut Ends<'_>,
    real: &mut [Engine<Flow<'_>>],
    model: &mut [Engine<Sim>],
) -> [usize; 2] {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut forwarded = [0; 2];
    let mut history = vec![("all of it", plan(setting, 64))];
    history.extend(changes(64));
    for (name, changes) in history {
        let what = format!("{setting:?}: {name}");
        for (real, model) in real.iter_mut().zip(&mut *model) {
            for change in &changes {
                real.apply(change);
                model.apply(change);
            }
            assert!(real.settle(usize::MAX) && model.settle(usize::MAX));
            assert_eq!(real.operations().failed, 0, "{what}");
        }
        for _ in 0..400 {
            let (port, bytes) = (random.below(3) as usize, frame(&mut random));
            let found = ends.through(port, &bytes);
            let at = if model.len() == 1 { 0 } else { port };
            let expected = directly(model[at].steering_mut(), port, &bytes);
            assert_eq!(found, expected, "{what}: port {port}, {bytes:02x?}");
            assert_eq!(found.len(), 1, "nothing is lost");
            forwarded[usize::from(bytes[12] == 0x86)] += usize::from(found[0].1);
        }
    }
    let done = |operations: Operations| operations.done;
    for (real, model) in real.iter().zip(model) {
        assert_eq!(model.steering().misuses(), [""; 0]);
        assert_eq!(done(real.operations()), done(model.operations()));
    }
    forwarded
}

/// Each role and design, on a NIC of its own that is asked what it can do.
fn roles(pool: &Pool<'_>, setting: Setting, name: &str) {
    let fabric = Fabric::new(pool, setting, name, "", false);
    let mut ends = fabric.ends(pool);
    let _bound = fabric.bind();
    let profile = setting.profile(name);

    let probed = probe(&fabric.near[0]).capabilities;
    let mut expected = profile.capabilities.clone();
    expected.name = "net_evenpath_sim".into();
    expected.max_rows_log = expected.max_rows_log.min(MOST_ROWS_LOG);
    // What the port was configured with.
    expected.queues = setting.programs() as u32;
    expected.depth = 256;
    assert_eq!(probed, expected, "{setting:?}, {name}");

    let programs = 0..setting.programs();
    let real = programs.clone().map(|at| fabric.engine(at, &probed, false));
    let mut real: Vec<_> = real.collect();
    let models = programs.map(|at| {
        let hairpins = fabric.hairpins(at);
        let sim = model(setting, profile.clone(), at, &hairpins, false);
        Engine::new(sim, config(setting, at, &hairpins, false))
    });
    let mut models: Vec<_> = models.collect();
    let forwarded = compare(setting, &mut ends, &mut real, &mut models);
    println!("{setting:?}, {name}: forwarded by hardware, IPv4 and IPv6: {forwarded:?}");
    assert!(forwarded.iter().all(|n| *n > 200), "{forwarded:?}");
    for family in Family::ALL {
        let rows = setting != Setting::Transit(Design::Rss);
        assert_eq!(real[0].agrees(family), rows.then_some(true), "{family:?}");
    }
}

#[test]
fn compiled_programs_do_the_same_through_dpdk() {
    let eal = support::eal();
    let pool = Pool::new(eal.handle(), PoolOptions::default()).unwrap();
    roles(&pool, Setting::Dpu, "bf3");
    roles(&pool, Setting::Transit(Design::Rows), "bf3");
    roles(&pool, Setting::Transit(Design::Rss), "cx7");
    assert_eq!(pool.in_use(), 0);
}
