//! The plan against what is in the NIC: what is asked of the owner of the programs, and answered.

use super::*;
use control::api::Response;
use control::api::message::{Verified, VerifyQuery};
use control::offload::{Inquiries, SLICE, Setting};
use fastpath::hardware::agent::Agent;
use fastpath::hardware::compile::{Config as ProgramConfig, Design, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::sim::{Kind, Profile, Sim};
use std::time::Instant;

/// The e-switch of the lab's ports, the first of which is on a wire.
fn agent() -> Agent<Sim> {
    let ports: Vec<PortId> = (0..4).map(PortId).collect();
    let mut sim = Sim::new(Profile::bf3().switchdev());
    for (n, port) in ports.iter().enumerate() {
        let kind = if n == 0 { Kind::Uplink } else { Kind::Function };
        sim.attach(*port, kind, false);
    }
    let role = Role::Dpu {
        proxy: ports[0],
        uplinks: ports[..1].to_vec(),
        functions: ports[1..].to_vec(),
    };
    Agent::new(vec![Engine::new(
        sim,
        ProgramConfig::new(role, Design::Rows, 1500),
    )])
}

/// The thread that owns the programs, a piece of its work at a time.
struct Owner {
    agent: Agent<Sim>,
    inquiries: Inquiries,
    setting: Setting,
    now: Instant,
    /// What the turns of a question looked at.
    slices: Vec<usize>,
    /// The most bytes that a piece of its work gave back: to go through them takes time, too.
    freed: i64,
}

impl Owner {
    fn new() -> Self {
        Owner {
            agent: agent(),
            inquiries: Inquiries::default(),
            setting: Setting {
                ports: ["up1", "up2", "host0", "host1"].map(String::from).to_vec(),
                ..Setting::default()
            },
            now: Instant::now(),
            slices: Vec::new(),
            freed: 0,
        }
    }

    fn settle(&mut self) {
        assert!(self.agent.settle(self.now, 1 << 16));
    }

    fn count(&mut self, work: impl FnOnce(&mut Self)) {
        let memory = allocation_counter::measure(|| work(self));
        let freed = memory.bytes_total as i64 - memory.bytes_current;
        self.freed = self.freed.max(freed);
    }

    /// A piece of a question, and what was to be done elsewhere; whether there is more at once.
    fn turn(&mut self) -> bool {
        let mut turn = Default::default();
        self.count(|owner| {
            turn = owner
                .inquiries
                .turn(&mut owner.agent, &owner.setting, owner.now);
        });
        if turn.entries > 0 {
            self.slices.push(turn.entries);
        }
        if let Some(job) = turn.job {
            std::thread::spawn(|| job.make()).join().expect("made");
        }
        turn.is_busy
    }
}

impl World {
    /// Hands on what hardware is told, and asks what it is asked.
    fn pump(&mut self, owner: &mut Owner) {
        for action in self.lab.control.actions() {
            match action {
                Action::Offload(number, changes) => {
                    owner.inquiries.follow(&changes);
                    owner.agent.apply(number, changes);
                }
                Action::AskOffload(ask) => {
                    owner.count(|o| o.inquiries.ask(&mut o.agent, ask, o.now));
                }
                _ => {}
            }
        }
    }

    /// A piece of an audit.
    fn piece(&mut self, owner: &mut Owner, query: &VerifyQuery) -> Result<Verified, String> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let request = Request::VerifyOffload(query.clone());
        self.lab.event(Event::Request(request, reply));
        self.pump(owner);
        match answer.try_recv().expect("an answer") {
            Reply::Ok(Response::Verify(verified)) => Ok(verified),
            Reply::Error(error) => Err(error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// An audit; what `between` does comes between each two of its pieces.
    fn audit(
        &mut self,
        owner: &mut Owner,
        mut between: impl FnMut(&mut World, &mut Owner),
    ) -> Result<Verified, String> {
        let mut query = VerifyQuery::default();
        for _ in 0..1000 {
            let piece = self.piece(owner, &query)?;
            if piece.next.is_none() {
                return Ok(piece);
            }
            query.next = piece.next;
            owner.turn();
            between(self, owner);
        }
        panic!("an audit without end");
    }

    fn verify(&mut self, owner: &mut Owner) -> Result<Verified, String> {
        self.audit(owner, |_, _| {})
    }
}

fn hop(ifindex: u32, gateway: &str) -> Hop {
    Hop {
        gateway: Some(ip(gateway)),
        ifindex,
        onlink: false,
        encap: false,
    }
}

fn leaf(ifindex: u32, gateway: &str) -> Via {
    Via::Hop(hop(ifindex, gateway))
}

#[test]
fn what_hardware_was_not_told_is_named() {
    let mut world = World::new(&config(Answer::Trap));
    let mut owner = Owner::new();
    world.say(vec![bgp(prefix("10.9.0.0/16"), leaf(P1, "169.254.0.2"))]);
    world.pump(&mut owner);
    owner.settle();
    let all = world.verify(&mut owner).expect("an audit");
    assert!(all.differences.is_empty(), "{:?}", all.differences);
    assert!(all.checked.rules > 30);
    // One that got lost on its way.
    world.say(vec![bgp(prefix("10.10.0.0/16"), leaf(P1, "169.254.0.2"))]);
    world.lab.control.actions().for_each(drop);
    let lost = world.verify(&mut owner).expect("an audit").differences;
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!(
        (&*lost[0].of, &*lost[0].object),
        ("hardware", "prefix 10.10.0.0/16")
    );
    assert_eq!(lost[0].found, "no rule");
    // Next hops have names.
    let adjacency = Adjacency::forward(PortId(1), 1500, [2, 0, 0, 0, 0, 0x77], [2; 6], 0);
    let plan = world.lab.control.hardware_plan();
    let hop = plan.into_iter().find_map(|change| match change {
        Change::Nexthop(id, Some(_)) => Some(id),
        _ => None,
    });
    let hop = Change::Nexthop(hop.expect("there"), Some(adjacency));
    owner.agent.apply(9, vec![hop]);
    owner.settle();
    let wrong = world.verify(&mut owner).expect("an audit").differences;
    let named = |d: &control::api::message::Difference| {
        d.object.starts_with("nexthop 169.254.0.") && d.found.contains("020000000077")
    };
    assert!(wrong.iter().any(named), "{wrong:?}");
}

const MANY: u32 = 9_000;

fn nth(n: u32) -> Prefix {
    let address = std::net::Ipv4Addr::from_bits(0x0b00_0000 + (n << 8));
    Prefix::new(address.into(), 24).expect("a prefix")
}

/// A router with many prefixes by two next hops, one of them on port 1.
fn many() -> (World, Owner) {
    let mut world = World::new(&config(Answer::Trap));
    let mut owner = Owner::new();
    let both = Via::Hops(Box::new([
        (hop(P0, "169.254.0.1"), 1),
        (hop(P1, "169.254.0.2"), 1),
    ]));
    world.say((0..MANY).map(|n| bgp(nth(n), both.clone())).collect());
    world.pump(&mut owner);
    owner.settle();
    (world, owner)
}

#[test]
fn a_dead_link_does_not_wait_for_an_audit() {
    let (mut world, mut owner) = many();
    let mut died = None;
    let all = world.audit(&mut owner, |_, owner| {
        // Amid the copy: some of it is there, most of it is not.
        if owner.slices.len() == 3 && died.is_none() {
            let before = owner.agent.operations();
            owner.agent.port_down(PortId(1));
            assert!(owner.agent.turn(owner.now));
            died = Some(owner.agent.operations().enqueued - before.enqueued);
        }
        owner.settle();
    });
    let all = all.expect("an audit");
    assert_eq!(all.differences, []);
    assert!(all.checked.rules > u64::from(MANY));
    // The update of the next hop, by the turn after that slice.
    assert!(died.is_some_and(|n| n >= 1), "{died:?}");
    assert!(owner.slices.iter().all(|n| *n <= SLICE));
    let entries: usize = owner.slices.iter().sum();
    assert!(owner.slices.len() > entries / SLICE);
    assert!(entries >= all.checked.rules as usize);
}

/// Neither control nor the owner of the programs does anything that takes longer the more prefixes there are:
/// not when an audit begins, nor when it ends, nor when a copy is given up.
#[test]
fn no_piece_of_an_audit_grows_with_the_prefixes() {
    let (mut world, mut owner) = many();
    let first = allocation_counter::measure(|| {
        let query = VerifyQuery::default();
        assert!(
            world
                .piece(&mut owner, &query)
                .expect("a piece")
                .next
                .is_some()
        );
    });
    // The groups and next hops, and no list of prefixes.
    assert!(first.bytes_total < 64 << 10, "{first:?}");
    let all = world.verify(&mut owner).expect("an audit");
    assert_eq!(all.differences, []);
    owner.turn();
    // A copy of all rules that comes to nothing.
    let mut query = VerifyQuery::default();
    let begun = owner.slices.len();
    while owner.slices.len() < begun + MANY as usize / SLICE {
        query.next = world.piece(&mut owner, &query).expect("a piece").next;
        owner.turn();
    }
    owner.now += Duration::from_secs(61);
    while owner.turn() {}
    owner.turn();
    // A slice of copies is taken apart, a piece of the plan is put together.
    let most = (SLICE * 1024) as i64;
    assert!(owner.freed < most, "{} bytes", owner.freed);
}

#[test]
fn what_changes_amid_an_audit_is_no_difference() {
    let (mut world, mut owner) = many();
    let mut n = 0;
    let all = world.audit(&mut owner, |world, owner| {
        // Prefixes come, go and move, before and behind what was copied, until all is compared.
        n += 1;
        if n <= 20 {
            let to = ["169.254.0.1", "169.254.0.2"][n as usize % 2];
            let via = leaf([P0, P1][n as usize % 2], to);
            world.say(vec![
                bgp(nth(n * 400), via.clone()),
                bgp(nth(MANY + n), via),
                Message::DelRoute(nth(n * 400 + 7)),
            ]);
            world.pump(owner);
        }
        owner.agent.turn(owner.now);
    });
    let all = all.expect("an audit");
    assert!(n > 20, "{n} pieces");
    assert_eq!(all.differences, []);
    world.lab.control.actions().for_each(drop);
    // The same way what is really different is found.
    world.say(vec![Message::DelRoute(nth(8_999))]);
    world.lab.control.actions().for_each(drop);
    let found = world.verify(&mut owner).expect("an audit").differences;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].planned, "no rule");
    assert_eq!(found[0].object, format!("prefix {}", nth(8_999)));
}

#[test]
fn one_audit_at_a_time_and_none_without_end() {
    let (mut world, mut owner) = many();
    let first = world
        .piece(&mut owner, &VerifyQuery::default())
        .expect("a piece");
    let first = VerifyQuery {
        next: first.next,
        ..VerifyQuery::default()
    };
    let second = world
        .piece(&mut owner, &VerifyQuery::default())
        .expect("a piece");
    let over = world.piece(&mut owner, &first).expect_err("over");
    assert!(over.contains("verify: it is over: another one"), "{over}");
    let mut second = VerifyQuery {
        next: second.next,
        ..VerifyQuery::default()
    };
    while owner.slices.is_empty() {
        let piece = world.piece(&mut owner, &second).expect("a piece");
        second.next = piece.next;
        owner.turn();
    }
    // Nobody asks for a minute.
    owner.now += Duration::from_secs(61);
    assert!(!owner.turn());
    let over = world.piece(&mut owner, &second).expect_err("over");
    assert!(over.contains("nobody asked for a minute"), "{over}");
    // What does not come to rest within half a minute cannot be compared.
    let restless = world.audit(&mut owner, |world, owner| {
        world.say(vec![bgp(prefix("10.9.0.0/16"), leaf(P1, "169.254.0.2"))]);
        world.pump(owner);
        world.say(vec![Message::DelRoute(prefix("10.9.0.0/16"))]);
        owner.now += Duration::from_secs(1);
    });
    let restless = restless.expect_err("never at rest");
    assert!(
        restless.starts_with("hardware: verify: ") && restless.contains(" changes wait and "),
        "{restless}"
    );
    owner.settle();
    world.pump(&mut owner);
    owner.settle();
    assert_eq!(world.verify(&mut owner).expect("an audit").differences, []);
}

#[test]
fn the_programs_in_force_as_a_script() {
    let (mut world, mut owner) = many();
    let mut query = VerifyQuery::default();
    let (mut text, mut pieces) = (String::new(), 0);
    let exported = loop {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let request = Request::Export(query.clone());
        world.lab.event(Event::Request(request, reply));
        world.pump(&mut owner);
        let Ok(Reply::Ok(Response::Export(piece))) = answer.try_recv() else {
            panic!("a piece");
        };
        pieces += u64::from(!piece.text.is_empty());
        text += &piece.text;
        if piece.next.is_none() {
            break piece;
        }
        query.next = piece.next;
        let turn = owner
            .inquiries
            .turn(&mut owner.agent, &owner.setting, owner.now);
        assert!(turn.entries <= SLICE);
        if let Some(job) = turn.job {
            // It waits for whoever takes what is written.
            std::thread::spawn(|| job.make());
        }
    };
    assert!(exported.not_said.is_empty() && exported.rules > u64::from(MANY));
    assert!(pieces > 4, "{pieces}");
    assert!(text.contains("#   1 up2\n"));
    let matched = text.split("ipv4 dst spec ").skip(1);
    let matched: BTreeSet<&str> = matched
        .filter_map(|m| m.split_once(" / end actions jump"))
        .map(|m| m.0)
        .collect();
    for n in 0..MANY {
        let address = nth(n).address().to_string();
        assert!(matched.contains(&*address), "{address}");
    }
    // Without hardware there is nothing to export, and nothing to audit.
    let mut lab = Lab::dpu();
    let verify = Request::VerifyOffload(VerifyQuery::default());
    assert!(matches!(lab.ask(&verify), Response::Verify(v) if v.is_good()));
}
