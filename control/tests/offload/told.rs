//! What zebra is told as hardware takes over, and gives up.

use super::*;
use crate::lab::answers::Told as Answers;

fn word(prefixes: &[(&str, State)], applied: u64) -> Event {
    let prefixes = prefixes.iter().map(|(text, state)| {
        let it = prefix(text);
        (it.address(), it.length(), *state)
    });
    let news = News {
        applied,
        prefixes: prefixes.collect(),
        ..News::default()
    };
    Event::Offload(Box::new(Update { news, status: None }))
}

fn one(to: &str, what: &'static str) -> Answers {
    vec![(to.to_owned(), what)]
}

const IT: &str = "10.9.0.0/16";

fn leaves() -> Via {
    let hop = |gateway: &str, ifindex| {
        let gateway = Some(ip(gateway));
        let hop = Hop {
            gateway,
            ifindex,
            onlink: false,
            encap: false,
        };
        (hop, 1)
    };
    Via::Hops([hop("169.254.0.0", P0), hop("169.254.0.2", P1)].into())
}

fn world(answer: Answer) -> World {
    let mut world = World::new(&config(answer));
    world.follow();
    world
}

impl World {
    /// What zebra is told, added to `said`, and what hardware is.
    pub fn both(&mut self, said: &mut Answers) -> Vec<(u64, Vec<Change>)> {
        let mut plans = Vec::new();
        let mut bytes = Vec::new();
        loop {
            let actions: Vec<Action> = self.lab.control.actions().collect();
            let mut any = false;
            for action in actions {
                match action {
                    Action::FpmReply { bytes: more, .. } => {
                        bytes.extend(more);
                        any = true;
                    }
                    Action::Offload(number, changes) => {
                        self.number = number;
                        self.told.take(changes.clone());
                        plans.push((number, changes));
                    }
                    _ => {}
                }
            }
            if !any {
                break;
            }
            self.lab.written();
        }
        let mut frames = control::fpm::frame::Frames::default();
        frames.push(&bytes);
        said.extend(crate::lab::answers::read(&mut frames));
        plans
    }

    /// What zebra is told.
    fn answers(&mut self) -> Answers {
        let mut said = Answers::new();
        self.both(&mut said);
        said
    }
}

#[test]
fn software_first_then_hardware() {
    let mut world = world(Answer::Trap);
    world.say(vec![bgp(prefix(IT), leaves())]);
    assert_eq!(world.answers(), one(IT, "trap"), "it forwards already");
    let number = world.number;
    // Twice the same is once; partial is software's answer; better again is hardware's.
    for (state, told) in [
        (State::Hardware, Some("offload")),
        (State::Hardware, None),
        (State::Partial, Some("trap")),
        (State::Software, None),
        (State::Hardware, Some("offload")),
    ] {
        world.lab.event(word(&[(IT, state)], number));
        let told = told.map(|t| one(IT, t)).unwrap_or_default();
        assert_eq!(world.answers(), told, "{state:?}");
    }
    // zebra asks again for what has not changed: hardware's.
    world.say(vec![bgp(prefix(IT), leaves())]);
    assert_eq!(newest(world.answers()), one(IT, "offload"));
    // Another connection starts from nothing.
    world.lab.close();
    world.lab.connect();
    world.say(vec![bgp(prefix(IT), leaves())]);
    assert_eq!(newest(world.answers()), one(IT, "offload"));
}

/// zebra waits for an answer to each update, also where software's is none and the last one was hardware's.
#[test]
fn an_update_that_software_is_silent_about_is_answered_by_hardware() {
    let mut world = world(Answer::None);
    world.say(vec![bgp(prefix(IT), leaves())]);
    assert_eq!(world.answers(), [], "software is silent");
    let number = world.number;
    world.lab.event(word(&[(IT, State::Hardware)], number));
    assert_eq!(world.answers(), one(IT, "offload"));
    world.say(vec![bgp(prefix(IT), one_leaf())]);
    assert_eq!(world.answers(), [], "software again");
    let number = world.number;
    world.lab.event(word(&[(IT, State::Hardware)], number));
    assert_eq!(world.answers(), one(IT, "offload"), "of the update");
}

/// By the first leaf alone.
fn one_leaf() -> Via {
    Via::Hop(Hop {
        gateway: Some(ip("169.254.0.0")),
        ifindex: P0,
        onlink: false,
        encap: false,
    })
}

pub fn newest(answers: Answers) -> Answers {
    let newest = crate::lab::answers::newest(answers);
    newest.into_iter().collect()
}

/// News of what a prefix was before its last change are not about it.
#[test]
fn old_news_of_a_replaced_route_is_not_told() {
    let mut world = world(Answer::Trap);
    world.say(vec![bgp(prefix(IT), leaves())]);
    world.answers();
    let before = world.number;
    world.say(vec![bgp(prefix(IT), one_leaf())]);
    assert_eq!(world.answers(), one(IT, "trap"));
    assert!(world.number > before);
    world.lab.event(word(&[(IT, State::Hardware)], before));
    assert_eq!(world.answers(), [], "that was the one before");
    let number = world.number;
    world.lab.event(word(&[(IT, State::Hardware)], number));
    assert_eq!(world.answers(), one(IT, "offload"));
    world.say(vec![Message::DelRoute(prefix(IT))]);
    world.lab.pass(Duration::from_millis(100));
    world.answers();
    world.lab.event(word(&[(IT, State::Hardware)], number));
    assert_eq!(world.answers(), [], "it is gone");
}

/// Where policy says the same of both planes, hardware's coming and going is nobody's news.
#[test]
fn a_policy_that_tells_no_difference_sends_nothing() {
    let mut world = world(Answer::Offload);
    let routes = |n: u8| Prefix::containing(IpAddr::from([10, 9, n, 0]), 24).expect("length");
    world.say((0..200).map(|n| bgp(routes(n), leaves())).collect());
    assert_eq!(world.answers().len(), 200);
    let texts: Vec<String> = (0..200).map(|n| routes(n).to_string()).collect();
    for state in [State::Hardware, State::Partial, State::Software] {
        let all: Vec<(&str, State)> = texts.iter().map(|t| (t.as_str(), state)).collect();
        let number = world.number;
        world.lab.event(word(&all, number));
        assert_eq!(world.answers(), [], "{state:?}");
    }
}

/// What software has no room for hardware does not save.
#[test]
fn questions_go_to_who_can_answer_them() {
    let mut world = world(Answer::Offload);
    world.say(vec![bgp(prefix(IT), leaves())]);
    world.answers();
    let (reply, answer) = std::sync::mpsc::sync_channel(1);
    let query = control::api::message::OffloadQuery {
        prefix: Some(prefix(IT)),
        ..Default::default()
    };
    let request = Request::ShowOffload(query.clone());
    world
        .lab
        .event(Event::Request(request.clone(), reply.clone()));
    let asked = world.lab.control.actions().find_map(|action| match action {
        Action::AskOffload(ask) => Some(ask),
        _ => None,
    });
    let asked = asked.expect("passed on");
    assert_eq!(asked.query, query);
    let names: Vec<&str> = asked.names.values().map(String::as_str).collect();
    assert!(
        names.contains(&"169.254.0.0 on p0") || names.contains(&"169.254.0.0 on up1"),
        "{names:?}"
    );
    assert!(answer.try_recv().is_err());
    // Without hardware control answers itself.
    let mut lab = Lab::dpu();
    lab.event(Event::Request(request, reply));
    let Ok(Reply::Ok(control::api::Response::Offload(view))) = answer.try_recv() else {
        panic!("an answer");
    };
    assert_eq!((&*view.status.mode, &*view.status.state), ("off", "sw"));
}
