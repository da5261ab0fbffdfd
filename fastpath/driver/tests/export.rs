//! A program as a script: DPDK's own testpmd takes every line of it, and packets through its ports then
//! fare as they do with the program that was exported.

#[path = "../../tests/support/pcap.rs"]
mod pcap;

use fastpath::hardware::audit::Copied;
use fastpath::hardware::compile::{Config, Design, Role};
use fastpath::hardware::engine::Engine;
use fastpath::hardware::export::{Ethdev, Script, whole};
use fastpath::hardware::plan::{Change, Entry, Lead, NexthopId};
use fastpath::hardware::sim::{Kind, Outcome, Profile, Sim};
use fastpath::hash::Settings;
use fastpath::table::{Adjacency, GroupId, PortId};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A wire, and two functions of the host.
const PORTS: [PortId; 3] = [PortId(0), PortId(1), PortId(2)];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const PACKETS: usize = 300;

/// Groups by rows, by one next hop and with a dead one, of prefixes of odd lengths.
fn program() -> Engine<Sim> {
    let mut sim = Sim::new(Profile::bf3().switchdev());
    for (n, port) in PORTS.into_iter().enumerate() {
        let kind = if n == 0 { Kind::Uplink } else { Kind::Function };
        sim.attach(port, kind, false);
    }
    let role = Role::Dpu {
        proxy: PORTS[0],
        uplinks: vec![PORTS[0]],
        functions: vec![PORTS[1], PORTS[2]],
    };
    let mut engine = Engine::new(sim, Config::new(role, Design::Rows, 1500));
    let entry = Entry {
        mac: MAC,
        untagged: true,
    };
    let mut plan = vec![Change::Hash(Box::new(
        Settings::new(Design::Rows.hash()).into(),
    ))];
    plan.extend(PORTS.map(|port| Change::Port(port, Some(entry))));
    plan.extend((0..4).map(|n| {
        let mac = [2, 0, 0, 0, 1, n as u8];
        let adjacency = Adjacency::forward(PORTS[1 + n as usize % 2], 1500, mac, MAC, 0);
        Change::Nexthop(NexthopId(n), (n != 2).then_some(adjacency))
    }));
    let buckets = |members: u32, all: u32| (0..all).map(|b| NexthopId(b % members)).collect();
    plan.push(Change::Group(GroupId(8), Some(buckets(4, 64))));
    plan.push(Change::Group(GroupId(9), Some(buckets(1, 1))));
    for (text, length, group) in [
        ("10.5.0.0", 16, 8),
        ("10.5.16.0", 22, 9),
        ("2001:db8::", 31, 9),
        ("2001:db8:7::", 48, 8),
    ] {
        let lead = Lead::Group(GroupId(group));
        plan.push(Change::Prefix(text.parse().unwrap(), length, Some(lead)));
    }
    for change in &plan {
        engine.apply(change);
    }
    assert!(engine.settle(usize::MAX));
    assert_eq!(engine.compiler().failures(), 0);
    engine
}

/// UDP of both families, also with a TTL that is software's, and to a MAC address that is not ours.
fn frame(random: &mut impl FnMut(u64) -> u64) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 0x99, 2, 0, 0, 0, 1, 0];
    bytes[5] -= u8::from(random(16) == 0);
    let (ttl, host) = (random(5) as u8 * 16, random(200) as u8 + 1);
    if random(2) == 0 {
        bytes.extend([8, 0]);
        let mut header = vec![0x45, 0, 0, 32, 0, 7, 0, 0, ttl, 17, 0, 0, 10, 0, 0, host];
        header.extend([10, 4 + random(2) as u8, random(32) as u8, 2]);
        let sum = fastpath::wire::checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(header);
    } else {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, ttl]);
        let net = 6 + random(3) as u16;
        let source = Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, host.into());
        bytes.extend(source.octets());
        bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, 2).octets());
    }
    bytes.extend([random(256) as u8, random(256) as u8, 0x13, 0x88]);
    bytes.extend([0, 12, 1, 1, 1, 2, 3, 4]);
    bytes
}

/// testpmd with a NIC of three ports, their far ends, and a file for each of both sides.
struct Testpmd {
    child: std::process::Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Testpmd {
    fn new(folder: &Path) -> Self {
        let mut plugin = std::env::current_exe().unwrap();
        plugin.set_file_name("libnet_evenpath_sim.so");
        // Line by line, or its answers would wait for more of them.
        let mut command = Command::new("stdbuf");
        command.args([
            "-oL",
            "dpdk-testpmd",
            "--no-huge",
            "-m",
            "128",
            "--no-pci",
            "--no-shconf",
        ]);
        command.args(["--no-telemetry", "--iova-mode=va", "--lcores=0@0,1@0", "-d"]);
        command.arg(&plugin);
        for n in 0..3 {
            let function = u8::from(n > 0);
            command.arg(format!(
                "--vdev=net_evenpath_sim{n},profile=bf3,function={function}"
            ));
        }
        for n in 0..3 {
            command.arg(format!(
                "--vdev=net_evenpath_wire{n},of=net_evenpath_sim{n}"
            ));
        }
        let file = |side: &str, n: usize| folder.join(format!("{side}{n}.pcap"));
        for n in 0..3 {
            let (from, to) = (file("in", n), file("far", n));
            let (from, to) = (from.display(), to.display());
            command.arg(format!("--vdev=net_pcap{n},rx_pcap={from},tx_pcap={to}"));
        }
        for n in 0..3 {
            let to = file("near", n);
            let number = n + 3;
            command.arg(format!("--vdev=net_pcap{number},tx_pcap={}", to.display()));
        }
        command.args(["--", "-i", "--disable-device-start", "--no-mlockall"]);
        command.args([
            "--total-num-mbufs=8192",
            "--no-lsc-interrupt",
            "--no-flush-rx",
        ]);
        let (sender, lines) = channel();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("dpdk-testpmd runs (Debian 13: dpdk-dev)");
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let other = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let _ = other.send(line);
            }
        });
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Testpmd {
            child,
            lines,
            said: Vec::new(),
        }
    }

    fn tell(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Waits for the next line with these words.
    fn wait(&mut self, words: &str) -> String {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no {words:?} in\n{}", self.said.join("\n"));
            };
            self.said.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// What came out by these ports so far.
    fn sent(&mut self, ports: std::ops::Range<u32>) -> usize {
        let mut sum = 0;
        for port in ports {
            self.tell(&format!("show port stats {port}\n"));
            self.wait(&format!("NIC statistics for port {port} "));
            let line = self.wait("TX-packets:");
            let count = line.split("TX-packets:").nth(1).unwrap();
            let count = count.split_whitespace().next().unwrap();
            sum += count.parse::<usize>().unwrap();
        }
        sum
    }

    /// Ends it, and its files with it.
    fn quit(mut self) {
        self.tell("quit\n");
        drop(self.child.stdin.take());
        for _ in self.lines.iter() {}
        assert!(self.child.wait().unwrap().success());
    }
}

/// Every command was taken, and did what it says.
fn all_accepted(script: &Script, said: &str) {
    for word in [
        "Bad arguments",
        "Command not found",
        "Ambiguous",
        "Caught",
        "evenpath_sim:",
        "is invalid",
    ] {
        let bad = said.lines().find(|line| line.contains(word));
        assert_eq!(bad, None, "{word:?} in\n{said}");
    }
    let count = |words: &str| said.lines().filter(|l| l.contains(words)).count();
    assert_eq!(count("Template table #"), script.tables);
    let enqueued = count("creation enqueued") + count("creation queued");
    assert_eq!(enqueued, script.rules + script.indirects);
    let mut pulled = (0, 0);
    for line in said.lines().filter(|l| l.contains(" operations (")) {
        let mut numbers = line.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.find_map(|n| n.parse::<usize>().ok()).unwrap();
        let (_queue, _all, failed, succeeded) = (next(), next(), next(), next());
        pulled = (pulled.0 + failed, pulled.1 + succeeded);
    }
    assert_eq!(pulled, (0, script.rules + script.indirects));
}

fn ethdevs() -> Vec<Ethdev> {
    let each = PORTS.into_iter().map(|port| Ethdev {
        port,
        name: format!("port{}", port.0),
        number: port.0,
        isolated: false,
    });
    each.collect()
}

#[test]
fn testpmd_takes_a_program_and_forwards_as_it_does() {
    let folder = std::env::temp_dir().join(format!("evenpath-export-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut engine = program();
    let script = whole(&[Copied::of(engine.compiler())], &ethdevs());
    assert_eq!(script.unsaid, [""; 0]);

    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % below
    };
    let mut expected = [const { Vec::new() }; 6];
    let mut forwarded = 0;
    for n in 0..3 {
        let frames: Vec<Vec<u8>> = (0..PACKETS).map(|_| frame(&mut random)).collect();
        pcap::write(&folder.join(format!("in{n}.pcap")), &frames);
        for mut frame in frames {
            match engine.steering_mut().receive(PORTS[n], &mut frame) {
                Outcome::Sent(to) => {
                    expected[usize::from(to.0)].push(frame);
                    forwarded += 1;
                }
                Outcome::Software { .. } => expected[3 + n].push(frame),
                lost => panic!("{lost:?}"),
            }
        }
    }
    assert!(forwarded > PACKETS / 2, "{forwarded}");

    let mut testpmd = Testpmd::new(&folder);
    testpmd.tell(&script.text);
    testpmd.tell("set portlist 6,3,0,9,7,4,1,10,8,5,2,11\nset fwd io\nstart\n");
    let end = Instant::now() + Duration::from_secs(60);
    while testpmd.sent(6..12) < 3 * PACKETS {
        let said = || testpmd.said.join("\n");
        assert!(Instant::now() < end, "packets are lost:\n{}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    testpmd.tell("stop\n");
    testpmd.wait("Done.");
    // What it says of handles when it ends is about itself.
    let said = testpmd.said.join("\n");
    testpmd.quit();
    all_accepted(&script, &said);
    for (side, from) in [("far", 0), ("near", 3)] {
        for n in 0..3 {
            let mut found = pcap::read(&folder.join(format!("{side}{n}.pcap")));
            let mut expected = std::mem::take(&mut expected[from + n]);
            // Ports take turns in another order than ours.
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found.len(), expected.len(), "{side}{n}");
            assert!(found == expected, "{side}{n}: other packets");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
