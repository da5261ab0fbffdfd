//! Every interleaving of one writer and readers, within loom's bounds:
//! `RUSTFLAGS="--cfg loom" cargo test -p fastpath --no-default-features --lib --release rcu`.

use super::*;
use loom::cell::UnsafeCell as Watched;

/// A value on which loom reports any write that is concurrent with another access.
struct Value(Watched<u64>);
// SAFETY: loom fails the test when accesses are not ordered; that is what is tested.
unsafe impl Sync for Value {}

fn value() -> Value {
    Value(Watched::new(0))
}

fn get(value: &Value) -> u64 {
    // SAFETY: the pointer is valid; loom checks the rest.
    value.0.with(|p| unsafe { *p })
}

fn set(value: &mut Value, to: u64) {
    // SAFETY: the pointer is valid; loom checks the rest.
    value.0.with_mut(|p| unsafe { *p = to });
}

fn read_twice(mut reader: Reader<Value>) {
    let first = get(reader.read());
    reader.quiescent();
    assert!(get(reader.read()) >= first, "time ran backwards");
    reader.quiescent();
}

fn model(write: impl Fn(&mut Writer<Value>) + Sync + Send + Copy + 'static) {
    let mut bounds = loom::model::Builder::new();
    bounds.preemption_bound = Some(3);
    bounds.check(move || {
        let (mut writer, registry) = pair(value(), value());
        let reader = registry.reader();
        let thread = loom::thread::spawn(move || read_twice(reader));
        write(&mut writer);
        thread.join().unwrap();
    });
}

fn update(writer: &mut Writer<Value>, to: u64) {
    writer
        .update(|v| {
            set(v, to);
            Ok::<(), ()>(())
        })
        .unwrap();
}

#[test]
fn right_order() {
    model(|writer| {
        update(writer, 1);
        update(writer, 2);
    });
}

#[test]
fn a_reader_that_signs_in_during_an_update() {
    loom::model(|| {
        let (mut writer, registry) = pair(value(), value());
        let thread = loom::thread::spawn(move || {
            let mut reader = registry.reader();
            get(reader.read());
            reader.quiescent();
            reader.offline(|| ());
            get(reader.read());
        });
        update(&mut writer, 1);
        thread.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn wrong_order_no_grace_period() {
    model(|writer| {
        set(writer.standby(), 1);
        writer.swap();
        set(writer.standby(), 1);
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn wrong_order_announced_before_swapped() {
    model(|writer| {
        set(writer.standby(), 1);
        let generation = writer.announce();
        writer.swap();
        writer.wait(generation);
        set(writer.standby(), 1);
    });
}
