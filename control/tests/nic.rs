//! Whose hash counts, as an operator sees it: at the start, through a live change, after a lie.

use crate::lab;
use control::api::message::{HashChange, Port, SetHash};
use control::api::{Reply, Request, Response};
use control::control::Control;
use control::event::{Action, Event, Noticed};
use control::port::Device;
use fastpath::hash::{Algorithm, Choice, Settings};
use fastpath::table::naive::NaiveLpm;
use fastpath::table::stats::{NicCompared, WorkerStats};
use fastpath::table::{PortFacts, PortId, Tables, View, Writer};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

struct Router {
    control: Control<NaiveLpm>,
    worker: Arc<WorkerStats>,
    view: fastpath::rcu::Reader<View<NaiveLpm>>,
    now: Instant,
}

fn settings(seed: u32) -> Settings {
    Settings::new(Choice {
        algorithm: Algorithm::Toeplitz,
        seed,
        ..Choice::default()
    })
}

/// Of the first port the NIC hashes, of the others none does.
fn router() -> Router {
    let tables = Arc::new(Tables::new(64, 1024, 64));
    let view = || View::new(NaiveLpm::new(), settings(1));
    let (writer, registry) = Writer::new(tables, view(), view());
    let now = Instant::now();
    let noticed = Noticed {
        at: now,
        time: SystemTime::UNIX_EPOCH,
    };
    let mut devices = [(); 3].map(|()| Device::default());
    devices[0].nic = Ok(settings(1).rss_id());
    devices[0].ring = 8;
    devices[1].nic = Err("the device lacks the RSS hash with each packet".into());
    let mut config = lab::config();
    config.hash.algorithm = Algorithm::Toeplitz;
    let mut control = Control::new(&config, &devices, writer, noticed, Instant::now);
    let worker = Arc::new(WorkerStats::new());
    control.watch(&[Arc::clone(&worker)], now);
    Router {
        control,
        worker,
        view: registry.reader(),
        now,
    }
}

impl Router {
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        let control = &mut self.control;
        // A commit waits for every reader that is not.
        self.view.offline(|| control.tick(now));
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        let control = &mut self.control;
        self.view.offline(|| control.handle(event, now));
    }

    fn set(&mut self, change: HashChange) {
        let request = SetHash {
            change,
            ..SetHash::default()
        };
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.handle(Event::Request(Request::SetHash(request), reply));
        assert!(matches!(answer.recv(), Ok(Reply::Ok(_))));
    }

    fn ports(&mut self) -> Vec<Port> {
        match self.control.answer(&Request::ShowPort, self.now) {
            Reply::Ok(Response::Port(ports)) => ports,
            other => panic!("{other:?}"),
        }
    }

    fn reason(&mut self) -> Option<String> {
        self.ports()[0].hash_reason.clone()
    }

    fn facts(&self) -> PortFacts {
        self.view.read().ports[0]
    }

    /// What the plane is asked for: the port, the seed of the settings and the ticket.
    fn asked(&mut self) -> Vec<(PortId, u32, u64)> {
        let seed = |rss| (0..9).find(|seed| settings(*seed).rss() == Some(rss));
        let asked = self.control.actions().filter_map(|action| match action {
            Action::ProgramHash { port, rss, ticket } => Some((port, seed(rss)?, ticket)),
            _ => None,
        });
        asked.collect()
    }

    fn compared(&self, alike: u64, other: u64) {
        let port = PortId(0);
        self.worker.compared(port, NicCompared { alike, other });
    }

    fn events(&mut self) -> Vec<String> {
        match self.control.answer(&Request::ShowEvents, self.now) {
            Reply::Ok(Response::Events(events)) => events
                .into_iter()
                .map(|e| format!("{} {}", e.object, e.what))
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn seed(seed: u64) -> HashChange {
    HashChange {
        seed: Some(seed),
        ..HashChange::default()
    }
}

#[test]
fn a_live_change_reaches_the_nic_in_order() {
    let mut router = router();
    let [one, two] = [1, 2].map(|s| settings(s).rss_id());
    assert_eq!(
        (router.facts().nic_hash, router.facts().nic_compare),
        (0, one)
    );
    let ports = router.ports();
    let shown: Vec<_> = ports
        .iter()
        .map(|p| (&*p.hash, p.hash_reason.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        shown,
        [
            (
                "software",
                "the NIC's values are compared first: 0 of 256 were the same"
            ),
            ("software", "the device lacks the RSS hash with each packet"),
            ("software", "its packets do not come from a NIC"),
        ]
    );
    router.compared(256, 0);
    router.pass(Duration::from_millis(10));
    assert_eq!(
        (router.facts().nic_hash, router.facts().nic_compare),
        (one, one)
    );
    assert_eq!(router.reason(), None);
    assert_eq!(router.ports()[0].hash, "nic");

    // Workers compute before anybody asks the plane.
    router.set(seed(2));
    assert_eq!(
        (router.facts().nic_hash, router.facts().nic_compare),
        (0, 0)
    );
    let asked = router.asked();
    assert_eq!(
        asked.iter().map(|a| (a.0, a.1)).collect::<Vec<_>>(),
        [(PortId(0), 2), (PortId(1), 2), (PortId(2), 2)]
    );
    let changing = Some("the NIC is being given new settings".to_string());
    assert_eq!(router.reason(), changing);
    for (port, _, ticket) in asked {
        let done = match port.0 {
            0 => Ok(()),
            _ => Err("the device lacks it".into()),
        };
        router.handle(Event::HashProgrammed { port, ticket, done });
    }
    // Neither the time alone nor the turns alone are enough.
    router.pass(Duration::from_millis(50));
    (0..100).for_each(|_| router.worker.turn());
    router.pass(Duration::from_millis(50));
    (0..8).for_each(|_| router.worker.turn());
    router.pass(Duration::from_millis(500));
    assert_eq!(router.reason(), changing);
    assert_eq!(router.facts().nic_compare, 0);
    router.worker.turn();
    router.pass(Duration::from_millis(1));
    assert_eq!(
        (router.facts().nic_hash, router.facts().nic_compare),
        (0, two)
    );
    router.compared(256, 0);
    router.pass(Duration::from_millis(10));
    assert_eq!(router.facts().nic_hash, two);

    // Another value, ever, ends it.
    router.compared(44, 1);
    router.pass(Duration::from_millis(10));
    assert_eq!(
        (router.facts().nic_hash, router.facts().nic_compare),
        (0, 0)
    );
    let reason = "1 of 301 values that the NIC told were not the computed ones";
    assert_eq!(router.reason().as_deref(), Some(reason));
    let events = router.events();
    let about: Vec<_> = events.iter().filter(|e| e.starts_with("port")).collect();
    assert_eq!(
        about,
        [
            "port up1 hash: the NIC's is taken",
            "port up1 hash: computed: the NIC is being given new settings",
            "port up2 hash: computed: the device lacks it",
            "port host0 hash: computed: the device lacks it",
            "port up1 hash: the NIC's is taken",
            &format!("port up1 hash: computed: {reason}"),
        ]
    );
}

#[test]
fn settings_that_no_nic_has_are_computed_at_once() {
    let mut router = router();
    router.compared(256, 0);
    router.pass(Duration::from_millis(10));
    assert_eq!(router.reason(), None);
    // The label is mixed over the NIC's value: nothing changes for it.
    let label = HashChange {
        fields: [("ipv6-label".to_string(), false)].into(),
        ..HashChange::default()
    };
    router.set(label);
    assert_eq!((router.reason(), router.asked()), (None, vec![]));
    let mix = HashChange {
        algorithm: Some("mix".into()),
        ..HashChange::default()
    };
    router.set(mix);
    assert_eq!(router.reason().as_deref(), Some("the algorithm is mix"));
    assert_eq!((router.facts().nic_hash, router.asked()), (0, vec![]));
    let toeplitz = HashChange {
        algorithm: Some("toeplitz".into()),
        ..HashChange::default()
    };
    router.set(toeplitz);
    // It is what the NIC had, but nobody knows that of every NIC.
    let asked = router.asked();
    assert_eq!(asked.len(), 3);
    // An answer to what is no longer wanted changes nothing.
    router.set(seed(3));
    let (port, _, ticket) = asked[0];
    let done = Err("late".into());
    router.handle(Event::HashProgrammed { port, ticket, done });
    assert_eq!(
        router.reason().as_deref(),
        Some("the NIC is being given new settings")
    );
}
