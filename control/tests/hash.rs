//! The hash changed while packets flow: what workers see, what is refused, what is kept.

use crate::lab::{Lab, config};
use control::api::message::{Error, Flow, Hash, HashChange, HashChanged, SetHash, Trace};
use control::api::prepare::{self, Drawing};
use control::api::{Reply, Request, Response};
use control::config::{Config, Seed};
use control::hash::configured_policy;
use control::keyed;
use fastpath::hash::{Field, Policy};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

const PROFILE: &str = "
[hash]
seed = 50
[[hash-profile]]
name = \"anycast\"
prefixes = [\"10.9.0.0/16\", \"2001:db8:9::/48\"]
ipv6-label = false
";

fn lab(text: &str) -> Lab {
    let parsed = Config::parse(text).expect("configuration");
    let mut config = config();
    (config.hash, config.hash_profiles) = (parsed.hash, parsed.hash_profiles);
    Lab::new(&config)
}

/// What control answers, and how many keys and tables it had to make for that.
fn answer(lab: &mut Lab, request: Request) -> (Reply, u64) {
    let (reply, answer) = std::sync::mpsc::sync_channel(1);
    let event = control::event::Event::Request(request, reply);
    let Lab {
        control, view, now, ..
    } = lab;
    let before = keyed::made_here();
    // A commit waits for every reader that is not.
    view.offline(|| control.handle(event, *now));
    let made = keyed::made_here() - before;
    (answer.recv().expect("an answer"), made)
}

/// The answer as clients get it, and what control had to make.
fn ask(lab: &mut Lab, request: Request) -> (Reply, u64) {
    let (lab, made) = (RefCell::new(lab), Cell::new(0));
    let control = |request| {
        let (reply, here) = answer(&mut lab.borrow_mut(), request);
        made.set(made.get() + here);
        reply
    };
    (
        prepare::ask(request, &control, &Drawing::default()),
        made.get(),
    )
}

fn set(lab: &mut Lab, request: SetHash) -> Result<HashChanged, Error> {
    match ask(lab, Request::SetHash(request)).0 {
        Reply::Ok(Response::SetHash(changed)) => Ok(changed),
        Reply::Error(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_answered_may_count_on_it() {
    let mut lab = lab(PROFILE);
    let before = lab.view.read().hash.clone();
    // Who answers waits until somebody listens.
    let (reply, answer) = std::sync::mpsc::sync_channel(0);
    let request = Request::SetHash(field("source-port", false));
    let event = control::event::Event::Request(request, reply);
    let Lab {
        control, view, now, ..
    } = &mut lab;
    let is_published = std::thread::scope(|scope| {
        let controls = scope.spawn(|| control.handle(event, *now));
        let end = Instant::now() + Duration::from_secs(10);
        while view.read().hash == before && Instant::now() < end {
            view.quiescent();
            std::thread::yield_now();
        }
        let is_published = view.read().hash != before;
        let reply = view.offline(|| {
            let reply = answer.recv().expect("an answer");
            controls.join().expect("control goes on");
            reply
        });
        assert!(matches!(reply, Reply::Ok(Response::SetHash(_))));
        is_published
    });
    assert!(is_published, "answered before packets went by it");
}

fn show(lab: &mut Lab) -> Hash {
    match lab.control.answer(&Request::ShowHash, lab.now) {
        Reply::Ok(Response::Hash(hash)) => hash,
        other => panic!("{other:?}"),
    }
}

fn field(name: &str, on: bool) -> SetHash {
    SetHash {
        change: HashChange {
            fields: [(name.to_string(), on)].into(),
            ..HashChange::default()
        },
        ..SetHash::default()
    }
}

fn seed(seed: u64) -> SetHash {
    SetHash {
        change: HashChange {
            seed: Some(seed),
            ..HashChange::default()
        },
        ..SetHash::default()
    }
}

fn policy(lab: &mut Lab) -> Policy {
    lab.view.read().hash.clone()
}

#[test]
fn workers_see_a_change_whole_and_profiles_inherit() {
    let mut lab = lab(PROFILE);
    let before = policy(&mut lab);
    assert_eq!(before.profiles().len(), 1);
    let both = SetHash {
        change: HashChange {
            fields: [
                ("source-port".into(), false),
                ("destination-port".into(), false),
            ]
            .into(),
            seed: Some(7),
            ..HashChange::default()
        },
        ..SetHash::default()
    };
    let dry = SetHash {
        dry_run: true,
        ..both.clone()
    };
    let answer = set(&mut lab, dry).expect("a dry run");
    assert!(answer.dry_run && answer.changes.len() == 3, "{answer:?}");
    assert_eq!(policy(&mut lab), before, "a dry run changes nothing");

    let changed = set(&mut lab, both.clone()).expect("a change");
    assert_eq!(changed.changes, answer.changes);
    let after = policy(&mut lab);
    let anycast = after
        .profile_of("10.9.1.1".parse().unwrap())
        .expect("it is");
    for settings in [after.base(), &anycast.settings] {
        assert_eq!(settings.seed(), 7);
        assert!(settings.is_symmetric(), "both ports went at once");
        assert!(!settings.fields().has(Field::SourcePort));
    }
    assert!(after.base().fields().has(Field::Ipv6Label));
    assert!(!anycast.settings.fields().has(Field::Ipv6Label), "its own");

    let again = set(&mut lab, both).expect("no change");
    assert!(again.changes.is_empty() && policy(&mut lab) == after);
    let shown = show(&mut lab);
    assert_eq!(shown.live, ["source-port", "destination-port", "seed"]);
    assert_eq!((shown.seed, shown.seed_source.as_str()), (7, "live"));
    assert_eq!(shown.profiles[0].own, ["ipv6-label"]);
    assert_eq!(shown.profiles[0].seed_source, "inherited");
}

#[test]
fn a_profile_has_its_own_and_the_rest_stays() {
    let mut lab = lab(PROFILE);
    let request = SetHash {
        profile: Some("anycast".into()),
        ..seed(9)
    };
    set(&mut lab, request).expect("a change");
    set(&mut lab, seed(8)).expect("a change");
    let after = policy(&mut lab);
    let anycast = after.settings4(u32::from_be_bytes([10, 9, 0, 1]));
    assert_eq!((anycast.seed(), after.base().seed()), (9, 8));
    let request = SetHash {
        profile: Some("anycats".into()),
        ..seed(9)
    };
    let words = set(&mut lab, request).expect_err("unknown").to_string();
    assert_eq!(
        words,
        "hash profile anycats: set: there is no such profile; profiles are anycast"
    );
}

#[test]
fn what_is_said_of_a_profile_is_its_own_and_marked() {
    let mut lab = lab(PROFILE);
    let of = |request| SetHash {
        profile: Some("anycast".into()),
        ..request
    };
    // As it is inherited already: nothing moves, but from now on it is the profile's.
    let pinned = set(&mut lab, of(field("source-port", true))).expect("a change");
    assert!(pinned.changes.is_empty() && pinned.notes[1].contains("its own now"));
    set(&mut lab, field("source-port", false)).expect("a change");
    let shown = show(&mut lab);
    assert_eq!(shown.live, ["source-port"]);
    let anycast = &shown.profiles[0];
    assert!(anycast.fields["source-port"] && !shown.fields["source-port"]);
    assert_eq!(anycast.own, ["source-port", "ipv6-label"]);
    assert_eq!(anycast.live, ["source-port"], "the label is of the file");

    set(&mut lab, of(field("ipv6-label", true))).expect("a change");
    set(&mut lab, of(field("destination-port", false))).expect("a change");
    let anycast = &show(&mut lab).profiles[0];
    assert_eq!(
        anycast.live,
        ["source-port", "destination-port", "ipv6-label"]
    );
    let note = anycast.note.as_deref();
    assert_eq!(
        note,
        Some("off: source-port is on and destination-port is off")
    );
    set(&mut lab, of(field("ipv6-label", false))).expect("as in the file");
    let anycast = &show(&mut lab).profiles[0];
    assert_eq!(anycast.live, ["source-port", "destination-port"]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let text = "[[hash-profile]]\nname = \"x\"\nprefixes = [\"10.9.0.0/16\"]\n\
                source-ip = true\nipv6-label = false\n";
    let mut lab = lab(text);
    for name in [
        "ip-protocol",
        "source-ip",
        "destination-ip",
        "source-port",
        "destination-port",
    ] {
        set(&mut lab, field(name, false)).expect("ipv6-label is left");
    }
    let before = policy(&mut lab);
    for (request, words) in [
        (field("ipv6-label", false), "no field would be on"),
        (field("ipv6-lable", true), "did you mean ipv6-label?"),
        (seed(1 << 32), "allowed are 0..4294967295"),
        (SetHash::default(), "nothing is to change"),
    ] {
        let error = set(&mut lab, request).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(policy(&mut lab), before);
    }
    let last = SetHash {
        profile: Some("x".into()),
        ..field("source-ip", false)
    };
    assert!(set(&mut lab, last).is_err());
    assert_eq!(policy(&mut lab), before);
}

#[test]
fn a_side_alone_switches_symmetric_off_and_says_why() {
    let mut lab = lab(PROFILE);
    let changed = set(&mut lab, field("destination-port", false)).expect("a change");
    let last = changed.notes.last().expect("a note");
    assert_eq!(
        last,
        "symmetric: off: source-port is on and destination-port is off"
    );
    let shown = show(&mut lab);
    assert!(!shown.symmetric);
    let words = shown.note.expect("why");
    assert!(
        words.contains("source-port") && words.contains("destination-port"),
        "{words}"
    );
    set(&mut lab, field("source-port", false)).expect("a change");
    let shown = show(&mut lab);
    assert!(shown.symmetric && shown.note.is_none());
    let label = "ipv6-label is on: each sender chooses its own label";
    assert_eq!(shown.caveats, [label]);
    assert!(shown.profiles[0].caveats.is_empty(), "it has no label");
}

#[test]
fn a_drawn_seed_is_kept_where_the_configuration_says_random() {
    let directory = std::env::temp_dir().join(format!("evenpath-live-{}", std::process::id()));
    let mut config = config();
    config.state.directory = directory.clone();
    config.hash.seed = Seed::Random;
    let mut lab = Lab::new(&config);
    let first = policy(&mut lab);
    let draw = SetHash {
        draw_seed: true,
        ..SetHash::default()
    };
    let dry = SetHash {
        dry_run: true,
        ..draw.clone()
    };
    set(&mut lab, dry).expect("a dry run");
    assert!(!directory.exists(), "a dry run keeps nothing");
    set(&mut lab, draw.clone()).expect("a change");
    let shown = show(&mut lab);
    assert_eq!(shown.seed_source, "kept");
    assert!(shown.live.is_empty());
    let (restarted, warnings) = configured_policy(&config);
    assert!(warnings.is_empty());
    assert_eq!(
        restarted.base().seed(),
        shown.seed,
        "a restart has it again"
    );

    let wrong = SetHash {
        draw_seed: true,
        ..field("source-prot", true)
    };
    set(&mut lab, wrong).expect_err("no such field");
    assert_eq!(configured_policy(&config).0.base().seed(), shown.seed);
    let files = std::fs::read_dir(&directory).expect("directory");
    assert_eq!(files.count(), 1, "nothing is left beside it");

    let changed = set(&mut lab, seed(3)).expect("a change");
    assert!(
        changed.notes[0].contains("until evenpath ends"),
        "{changed:?}"
    );
    // The first start's seed is not what a restart would take.
    let first = u64::from(first.base().seed());
    set(&mut lab, seed(first)).expect("a change");
    assert_eq!(show(&mut lab).live, ["seed"]);
    assert_eq!(configured_policy(&config).0.base().seed(), shown.seed);
    std::fs::remove_dir_all(&directory).expect("remove");

    config.state.directory = "/dev/null/state".into();
    let mut lab = Lab::new(&config);
    let before = policy(&mut lab);
    let words = set(&mut lab, draw).expect_err("no place").to_string();
    assert!(
        words.starts_with("hash seed: set: keep it in /dev/null/state/seed: "),
        "{words}"
    );
    assert_eq!(policy(&mut lab), before);
}

/// Keys and tables take milliseconds: a repair would have to wait for them.
#[test]
fn control_makes_no_tables_for_who_asks() {
    let mut text = String::from("[hash]\nseed = 7100\n");
    for n in 0..16 {
        text += &format!("[[hash-profile]]\nname = \"p{n}\"\nprefixes = [\"10.{n}.0.0/16\"]\n");
    }
    let mut lab = lab(&text);
    for n in 0..16 {
        let own = SetHash {
            profile: Some(format!("p{n}")),
            ..seed(7200 + n)
        };
        set(&mut lab, own).expect("a seed of its own");
    }
    let all = |algorithm: &str, seed| SetHash {
        change: HashChange {
            algorithm: Some(algorithm.into()),
            seed: Some(seed),
            ..HashChange::default()
        },
        ..SetHash::default()
    };
    let what_if = |seed| {
        let trace = Trace {
            flow: Some(Flow {
                source: "10.244.1.10".parse().unwrap(),
                destination: "10.9.0.1".parse().unwrap(),
                protocol: 17,
                source_port: 1000,
                destination_port: 53,
                ingress: "p0".into(),
                flow_label: 0,
            }),
            what_if: vec![format!("algorithm=toeplitz,seed={seed}")],
            ..Trace::default()
        };
        Request::Trace(Box::new(trace))
    };
    let (_, made) = answer(&mut lab, what_if(7300));
    assert!(made >= 17, "asked directly it has to: {made}");
    for request in [
        what_if(7301),
        Request::SetHash(SetHash {
            dry_run: true,
            ..all("toeplitz", 7302)
        }),
        Request::SetHash(all("toeplitz", 7303)),
        Request::SetHash(SetHash {
            draw_seed: true,
            ..SetHash::default()
        }),
        Request::SetHash(all("crc32", 7304)),
    ] {
        let (reply, made) = ask(&mut lab, request);
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        assert_eq!(made, 0);
    }
}
