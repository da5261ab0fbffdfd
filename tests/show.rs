//! `evenpath show`, `calc` and `fpm release` against control itself, over a socket.

use control::api::message::{Counters, PortCounters};
use control::api::server::{Limits, Server, ask_control};
use control::config::Config;
use control::control::Control;
use control::event::Noticed;
use control::port::Device;
use fastpath::hash::{Choice, Settings};
use fastpath::table::naive::NaiveLpm;
use fastpath::table::{Tables, View, Writer};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

const CONFIG: &str = r#"
[[port]]
name = "host0"
[[port]]
name = "up1"
[[port]]
name = "up2"
[[address]]
port = "up1"
address = "169.254.0.0/31"
[[neighbor]]
port = "up1"
address = "169.254.0.1"
mac = "02:00:00:00:01:01"
[[neighbor]]
port = "up2"
address = "169.254.0.3"
mac = "02:00:00:00:01:03"
[[route]]
prefix = "10.0.0.0/8"
nexthops = [{ via = "169.254.0.1", port = "up1" }, { via = "169.254.0.3", port = "up2" }]
[[route]]
prefix = "192.0.2.0/24"
type = "blackhole"
"#;

/// Control and its socket, ended with the value.
struct Running {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Running {
    fn new(name: &str) -> Self {
        let name = format!("evenpath-show-{}-{name}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let server = Server::bind(&socket, Limits::default()).expect("socket");
        let (events, inbox) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let config = Config::parse(CONFIG).expect("configuration");
            let hash = Settings::new(Choice {
                fields: config.hash.fields,
                seed: 50,
                ..Choice::default()
            });
            let view = || View::new(NaiveLpm::default(), hash.clone());
            let tables = Arc::new(Tables::new(64, 4096, 256));
            let (writer, _registry) = Writer::new(tables, view(), view());
            let devices = [(); 3].map(|()| Device::default());
            let now = Noticed::now();
            let mut control = Control::new(&config, &devices, writer, now, Instant::now);
            for event in inbox {
                control.handle(event, Instant::now());
            }
        });
        let handler = ask_control(events, Limits::default(), || Counters {
            ports: [("up1".to_owned(), PortCounters::default())].into(),
            punted: 3,
            ..Counters::default()
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Running {
            socket,
            stop,
            server: Some(std::thread::spawn(move || server.run(&handler, &stopped))),
        }
    }

    /// Exit code, standard output, standard error.
    fn said(&self, arguments: &str) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_evenpath"))
            .args(arguments.split(' '))
            .arg("--socket")
            .arg(&self.socket)
            .output()
            .expect("evenpath starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("not killed");
        (code, text(output.stdout), text(output.stderr))
    }

    fn words(&self, arguments: &str) -> String {
        let (code, text, error) = self.said(arguments);
        assert_eq!((code, error.as_str()), (0, ""), "{arguments}");
        text
    }

    fn json(&self, arguments: &str) -> Value {
        let text = self.words(&format!("{arguments} --json"));
        serde_json::from_str(&text).expect(arguments)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            server.join().expect("server ends");
        }
    }
}

/// The words of a line, however they are spaced.
fn line<'t>(text: &'t str, start: &str) -> Vec<&'t str> {
    let line = text
        .lines()
        .find(|l| l.trim_start_matches("* ").trim_start().starts_with(start));
    line.unwrap_or_else(|| panic!("no {start} in:\n{text}"))
        .split_whitespace()
        .collect()
}

#[test]
fn routes_groups_and_next_hops() {
    let running = Running::new("routes");
    let all = running.words("show route");
    let ecmp = line(&all, "10.0.0.0/8");
    assert_eq!(
        (ecmp[2], ecmp[4], ecmp[5]),
        ("static", "169.254.0.1", "up1")
    );
    assert!(line(&all, "169.254.0.3").contains(&"up2"));
    assert!(line(&all, "192.0.2.0/24").contains(&"blackhole"));
    assert!(line(&all, "169.254.0.0/31").contains(&"connected"), "{all}");

    let one = running.json("show route 10.1.2.3");
    assert_eq!(one.as_array().map(Vec::len), Some(1));
    assert_eq!(one[0]["prefix"], "10.0.0.0/8");
    assert_eq!(one, running.json("show route 10.0.0.0/8"));
    let (code, _, error) = running.said("show route 203.0.113.0/24");
    assert!(code == 1 && error.starts_with("evenpath: "), "{error}");

    let id = &one[0]["group"];
    let group = running.json(&format!("show group {id}"));
    assert_eq!(&group[0]["id"], id);
    let shares = [0, 1].map(|m| group[0]["members"][m]["buckets"].as_u64().expect("buckets"));
    assert_eq!(Some(shares[0] + shares[1]), group[0]["buckets"].as_u64());
    assert_eq!(shares[0], shares[1]);
    let (code, _, error) = running.said("show group 4000");
    assert!(
        code == 1 && error.contains("group 4000: show: there is no such group"),
        "{error}"
    );

    let nexthops = running.words("show nexthop");
    assert_eq!(
        line(&nexthops, "169.254.0.3")[..4],
        ["169.254.0.3", "up2", "up", "02:00:00:00:01:03"]
    );
}

#[test]
fn ports_neighbors_counters_fpm_hash_events() {
    let running = Running::new("rest");
    let ports = running.json("show port");
    let names: Vec<_> = (0..3)
        .map(|p| ports[p]["name"].as_str().expect("name"))
        .collect();
    assert_eq!(names, ["host0", "up1", "up2"]);
    assert_eq!(ports[1]["state"], "up");
    assert_eq!(ports[1]["addresses"][0], "169.254.0.0/31");
    assert!(running.words("show port").starts_with("PORT"));
    let neighbors = running.words("show neighbor");
    assert_eq!(
        line(&neighbors, "169.254.0.1"),
        [
            "169.254.0.1",
            "up1",
            "02:00:00:00:01:01",
            "permanent",
            "static",
            "yes"
        ]
    );
    assert_eq!(running.json("show counters")["punted"], 3);
    assert_eq!(running.json("show fpm")["connected"], false);
    assert!(running.words("show fpm").contains("not connected"));
    let hash = running.json("show hash");
    assert_eq!(
        (&hash["seed"], &hash["symmetric"]),
        (&50.into(), &true.into())
    );
    assert_eq!(hash["fields"].as_object().map(|f| f.len()), Some(15));
    assert!(running.json("show events").is_array());
    assert!(running.json("fpm release")["swept"].is_u64());
}

#[test]
fn calc_asks_the_running_one() {
    let running = Running::new("calc");
    let flow = "calc -i host0 -s 10.244.1.2 -d 10.0.0.1 -p tcp --sport 20000 --dport 80";
    let way = running.json(flow);
    let port = way["port"].as_str().expect("port");
    assert!(["up1", "up2"].contains(&port));
    assert_eq!(running.words(flow).lines().last(), Some(port));
    let (code, _, error) = running.said("calc -i host0 -s 10.244.1.2 -d 192.0.2.1 -p 1");
    assert!(code == 1 && error.contains("blackhole"), "{error}");
}

#[test]
fn metrics_are_text_or_json() {
    let running = Running::new("metrics");
    let text = running.words("show metrics");
    assert!(
        text.contains("\nevenpath_punted_packets_total 3\n"),
        "{text}"
    );
    assert!(
        text.contains("\nevenpath_port_up{port=\"up1\"} 1\n"),
        "{text}"
    );
    let json = running.json("show metrics");
    assert_eq!(json["counters"]["punted"], 3);
    assert_eq!(json["groups"], 1);
}

#[test]
fn what_changes_do_to_groups() {
    let running = Running::new("what-if");
    let text = running.words("calc --what-if down:up1 --group all");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "down:up1: 1 of 1 groups change");
    assert_eq!(lines[1], "buckets: 32 of 64 move");
    let json = running.json("calc --what-if down:up1 --group 10.1.2.3 --buckets");
    let path = &json["each"][0]["paths"][0];
    assert_eq!(
        (&path["buckets"], &path["to"]["port"]),
        (&32.into(), &"up2".into())
    );
    assert_eq!(path["numbers"].as_array().map(Vec::len), Some(32));
    let (code, _, error) = running.said("calc --what-if down:up9 --group all");
    assert_eq!(
        (
            code,
            error.starts_with("evenpath: port up9: calc: no such port")
        ),
        (1, true)
    );
    let (code, _, _) = running.said("calc --what-if down:up1");
    assert_eq!(code, 2);
}
