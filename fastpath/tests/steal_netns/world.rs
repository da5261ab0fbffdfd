//! Two network namespaces and the processes in them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A namespace that lasts as long as the process that waits in it for its input to end.
struct Namespace {
    waiting: Child,
}

impl Namespace {
    fn new() -> Namespace {
        let waiting = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux is needed");
        let namespace = Namespace { waiting };
        let own = std::fs::read_link("/proc/self/ns/net").expect("a network namespace");
        for _ in 0..1000 {
            let theirs = std::fs::read_link(format!("{}/ns/net", namespace.proc()));
            if theirs.is_ok_and(|theirs| theirs != own) {
                return namespace;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("no network namespace could be made: this test needs root");
    }

    fn proc(&self) -> String {
        format!("/proc/{}", self.waiting.id())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}/ns/net", self.proc()))
            .arg(program);
        command
    }

    /// Runs a command line and returns what it wrote; it must succeed.
    fn run(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let program = words.next().unwrap_or_default();
        let output = self
            .command(program)
            .args(words)
            .output()
            .expect("nsenter is needed");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.waiting.stdin.take());
        let _ = self.waiting.wait();
    }
}

/// Peer and router with a veth pair between them.
pub struct World {
    peer: Namespace,
    router: Namespace,
}

impl World {
    pub fn new() -> World {
        let world = World {
            peer: Namespace::new(),
            router: Namespace::new(),
        };
        world.router("sysctl -qw net.ipv4.ip_forward=0");
        world.router(&format!(
            "ip link add west type veth peer name east netns {}",
            world.peer.waiting.id()
        ));
        for line in [
            "ip link set dev lo up",
            "ip link set dev west up",
            "ip address add 10.9.0.1/24 dev west",
            "ip address add 2001:db8:9::1/64 dev west nodad",
        ] {
            world.router(line);
        }
        for line in [
            "ip link set dev lo up",
            "ip link set dev east up",
            "ip address add 10.9.0.2/24 dev east",
            "ip address add 2001:db8:9::2/64 dev east nodad",
            "ip route add default via 10.9.0.1",
            "ip -6 route add default via 2001:db8:9::1",
            "ethtool -K east tx off",
        ] {
            world.peer(line);
        }
        world
    }

    pub fn peer(&self, line: &str) -> String {
        self.peer.run(line)
    }

    pub fn router(&self, line: &str) -> String {
        self.router.run(line)
    }

    /// How many of `count` pings from the peer are answered.
    pub fn ping(&self, destination: &str, size: &str, count: u32) -> u32 {
        let output = self
            .peer
            .command("ping")
            .args(["-n", "-i", "0.05", "-W", "1", "-s", size])
            .args(["-c", &count.to_string(), destination])
            .output()
            .expect("ping is needed");
        let text = String::from_utf8_lossy(&output.stdout);
        let answered = text.split(" packets transmitted, ").nth(1);
        answered
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// All that a port could change about the netdev.
    pub fn west(&self) -> String {
        [
            self.router("ip -details link show dev west"),
            self.router("tc qdisc show dev west"),
            self.router("tc filter show dev west ingress"),
        ]
        .concat()
    }
}

/// A process with a port in the router's namespace: this test binary again, as `port::process`.
pub struct Port {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Port {
    fn spawn(world: &World, kind: &str) -> (Port, String) {
        let this = std::env::current_exe().expect("the path of this test");
        let mut process = world
            .router
            .command(this.to_str().expect("a path in UTF-8"))
            .args(["--exact", "port::process", "--ignored", "--nocapture"])
            .env("STEAL_NETNS_KIND", kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter is needed");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut port = Port {
            process,
            input,
            output,
        };
        let first = port.answer();
        (port, first)
    }

    /// A port that comes up.
    pub fn start(world: &World, kind: &str) -> Port {
        let (port, answer) = Self::spawn(world, kind);
        assert_eq!(answer, "ok ", "start of {kind}");
        port
    }

    /// The error of a port that does not.
    pub fn refused(world: &World, kind: &str) -> String {
        let (mut port, answer) = Self::spawn(world, kind);
        let status = port.process.wait().expect("the port's process");
        assert!(!status.success(), "{answer}");
        answer
    }

    /// The next answer, past what the test runner itself prints.
    fn answer(&mut self) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).expect("text") == 0 {
                return format!("it ended: {seen}");
            }
            // The runner may have begun the line itself.
            if let Some((_, answer)) = line.split_once("answer: ") {
                return answer.trim_end_matches('\n').to_owned();
            }
            seen.push_str(&line);
        }
    }

    /// Has it do something, and returns what it says then.
    pub fn ask(&mut self, request: &str) -> String {
        let input = self.input.as_mut().expect("it runs");
        writeln!(input, "{request}").expect("it listens");
        let answer = self.answer();
        match answer.strip_prefix("ok ") {
            Some(value) => value.to_owned(),
            None => panic!("{request}: {answer}"),
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("the port's process");
    }

    /// A clean end.
    pub fn stop(mut self) {
        drop(self.input.take());
        let status = self.process.wait().expect("the port's process");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
