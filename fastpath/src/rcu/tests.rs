//! The writer and readers on real threads.

use super::*;
use std::sync::atomic::AtomicBool;

fn set<T>(value: &mut T, to: T) -> Result<(), ()> {
    *value = to;
    Ok(())
}

#[test]
fn a_change_reaches_both_copies_and_an_error_none() {
    let (mut writer, registry) = pair(vec![0], vec![0]);
    let mut calls = 0;
    let push = |v: &mut Vec<i32>| {
        calls += 1;
        v.push(7);
        Ok::<(), ()>(())
    };
    writer.update(push).unwrap();
    assert_eq!((calls, writer.current()), (2, &vec![0, 7]));
    writer.update(|_| Ok::<(), ()>(())).unwrap();
    assert_eq!(writer.current(), &vec![0, 7], "the other copy");
    assert_eq!(writer.update(|_| Err("full")), Err("full"));
    assert_eq!(registry.reader().read(), &vec![0, 7]);
}

#[test]
fn readers_come_and_go_and_commit_while_offline() {
    let (mut writer, registry) = pair(1, 1);
    drop(registry.reader());
    let mut reader = registry.reader();
    assert_eq!(*reader.read(), 1);
    reader.offline(|| writer.update(|v| set(v, 2)).unwrap());
    assert_eq!(*reader.read(), 2);
    // Back online it is waited for: this would never return if it were not quiescent.
    let seen = reader.slot.seen.load(Ordering::Relaxed);
    assert_eq!(seen, 1);
    drop(reader);
    writer.synchronize();
    assert!(registry.0.readers().is_empty());
}

/// Real threads: the two halves of a value are never seen apart.
#[test]
fn readers_never_see_half_a_change() {
    let (mut writer, registry) = pair([0_u64; 64], [0; 64]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut reader = registry.reader();
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let value = reader.read();
                    assert!(value.iter().all(|v| *v == value[0]) && value[0] >= last);
                    last = value[0];
                    reader.quiescent();
                }
            });
        }
        for i in 1..=300 {
            writer.update(|v| set(v, [i; 64])).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(writer.current()[0], 300);
}
