//! What a route takes of memory beyond the lookup, counted by the allocator: not what the system gives out.

#[path = "lab/mod.rs"]
mod lab;
#[path = "ingest/stream.rs"]
mod stream;

use control::api::{Request, Response};
use control::fpm::Batch;
use control::fpm::decode::Message;
use lab::Lab;
use std::time::Duration;
use stream::{Form, Nowhere};

/// The table of prefixes has just grown: never does it take more of a route.
const ROUTES: u32 = (1 << 17) / 8 * 7 + 1;
/// Bytes a route.
const MOST: i64 = 200;

fn routes(lab: &mut Lab<Nowhere>) -> u64 {
    match lab.ask(&Request::ShowFpm) {
        Response::Fpm(fpm) => fpm.routes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_route_takes_at_most_200_bytes_whether_zebra_reads_its_answers_or_not() {
    for form in [Form::Id, Form::Inline] {
        let bytes = stream::of(form, ROUTES);
        for reads in [true, false] {
            let mut lab = stream::lab();
            let taken = allocation_counter::measure(|| stream::feed(&mut lab, &bytes, reads));
            let each = taken.bytes_current / i64::from(ROUTES);
            let name = form.name();
            println!("{name}, answers read: {reads}: {each} bytes a route");
            assert_eq!(routes(&mut lab), u64::from(ROUTES));
            assert!((64..=MOST).contains(&each), "{name}: {each}");
        }
    }
}

#[test]
fn places_of_routes_that_went_are_taken_again() {
    const COUNT: u32 = 20_000;
    let bytes = stream::of(Form::Id, COUNT);
    let mut lab = stream::lab();
    let mut round = || {
        let taken = allocation_counter::measure(|| {
            stream::feed(&mut lab, &bytes, false);
            let mut batch = Batch::default();
            for prefix in stream::prefixes(COUNT) {
                batch.put(Message::DelRoute(prefix));
            }
            lab.batch(batch);
            // All of a protocol at once: kept for its restart, then no longer; they go in slices.
            lab.pass(Duration::from_secs(3600));
            (0..20).for_each(|_| lab.pass(Duration::from_secs(1)));
        });
        assert_eq!(routes(&mut lab), 0);
        taken.bytes_current / i64::from(COUNT)
    };
    assert!((64..=MOST).contains(&round()), "the table keeps its room");
    let more: i64 = (0..4).map(|_| round()).sum();
    assert!(more <= 16, "{more} bytes a route more in four rounds");
}
