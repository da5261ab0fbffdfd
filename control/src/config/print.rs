//! The commented file of `evenpath config default`, made from the defaults themselves.

use super::{Config, Cores, Hugepages, Seed};
use fastpath::hash::Field;
use std::fmt::Write;

/// `config`, which has no ports, addresses, neighbors or routes, as a file that explains itself.
///
/// `# ` starts words, `#` alone an example to uncomment.
pub fn commented(config: &Config) -> String {
    let mut text = HEAD.to_owned();
    let mut sections = Sections(&mut text);
    sections.all(config);
    text.push_str(EXAMPLES);
    text
}

const HEAD: &str = "\
# evenpath.toml: what follows are the defaults; a file needs only what differs.
# Check a file with: evenpath config check FILE

# A port. Routes, calc and show call it by its name; the first one here is port 0.
#[[port]]
#name = \"up1\"                       # 1 to 15 letters, digits, . _ -
#device = \"xdp:eth1\"                # xdp:NETDEV, tap:NETDEV, a PCI address, or DPDK device arguments
#kernel = \"eth1\"                    # netdev with the addresses (default for xdp: and tap:), \"tap\", or \"none\"
#mac = \"02:00:00:00:00:01\"          # default: the device's
#mtu = 1500                         # L3 bytes, 68..9600; default: the device's
#vlan = 0                           # 1..4094: frames carry this tag; 0: untagged
#side = \"wire\"                      # wire | host: where its packets come from, on a DPU
";

const EXAMPLES: &str = "
# Hash settings of their own for some destinations: any key of [hash]; the rest is as there.
#[[hash-profile]]
#name = \"anycast\"                   # 1 to 15 letters, digits, _ -
#prefixes = [\"10.9.0.0/16\", \"2001:db8:9::/48\"]   # the longest one counts
#ipv6-label = false

# What FRR and the kernel give in production may be written down instead.
#[[address]]
#port = \"up1\"
#address = \"169.254.0.0/31\"

#[[neighbor]]
#port = \"up1\"
#address = \"169.254.0.1\"
#mac = \"02:00:00:00:01:01\"

#[[route]]
#prefix = \"10.0.0.0/8\"
#nexthops = [{ via = \"169.254.0.1\", port = \"up1\", weight = 1 }]   # weight 1..256

#[[route]]
#prefix = \"192.0.2.0/24\"
#type = \"blackhole\"                 # blackhole | unreachable | prohibit
";

struct Sections<'t>(&'t mut String);

impl Sections<'_> {
    fn section(&mut self, name: &str, words: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "\n# {words}\n[{name}]");
    }

    fn line(&mut self, key: &str, value: impl ToString, words: &str) {
        let setting = format!("{key} = {}", value.to_string());
        let _ = match words {
            "" => writeln!(self.0, "{setting}"),
            _ => writeln!(self.0, "{setting:<35} # {words}"),
        };
    }

    fn all(&mut self, c: &Config) {
        self.section("eal", "Cores and memory.");
        let cores = match &c.eal.cores {
            Cores::Auto => quoted("auto"),
            Cores::List(list) => {
                let list: Vec<String> = list.iter().map(u16::to_string).collect();
                quoted(&list.join(","))
            }
        };
        self.line(
            "cores",
            cores,
            "\"1-3\": one worker a core, control stays off them",
        );
        let hugepages = match c.eal.hugepages {
            Hugepages::Auto => "auto",
            Hugepages::Always => "always",
            Hugepages::Never => "never",
        };
        self.line("hugepages", quoted(hugepages), "auto | always | never");
        let memory = c.eal.memory_mib.map_or(quoted("auto"), |m| m.to_string());
        self.line("memory", memory, "MiB, 32..1048576; auto: what is needed");
        let plugins: Vec<String> = c.eal.plugins.iter().map(|p| quoted(p)).collect();
        let words = "DPDK drivers in shared libraries of their own, by path";
        self.line("plugins", format!("[{}]", plugins.join(", ")), words);

        self.section(
            "fpm",
            "FRR's zebra connects here (zebra -M dplane_fpm_nl, `fpm address 127.0.0.1`).",
        );
        self.line("enable", c.fpm.enable, "");
        let words = "no authentication: keep it on loopback";
        self.line("listen", quoted(&c.fpm.listen.to_string()), words);
        let sentinel = c.fpm.sentinel.map_or("none".into(), |p| p.to_string());
        let words =
            "the last route of a resync: `ipv6 route fec0::ffff/128 blackhole` in FRR; or \"none\"";
        self.line("sentinel", quoted(&sentinel), words);
        let words =
            "seconds, 1..3600: without sentinel a resync ends when nothing came for so long";
        self.line("settle", c.fpm.settle.as_secs(), words);
        let words = "percent, 0..100: a resync that brings less of the routes is held, not swept";
        self.line("hold-below", c.fpm.hold_below_percent, words);
        let words = "seconds, 0..3600: a protocol that loses all routes has so long to restart";
        self.line("restart-hold", c.fpm.restart_hold.as_secs(), words);
        let words = "offload | offload-trap | trap | none: what zebra is told of routes that software forwards";
        self.line("answer", quoted(c.fpm.answer.name()), words);

        self.section(
            "hash",
            "What decides a flow's way; names as in the Cumulus text, true | false.",
        );
        for field in Field::ALL {
            self.line(field.name(), c.hash.fields.has(field), "");
        }
        let words = "both directions alike; off by itself when source and destination differ above";
        self.line("symmetric", c.hash.symmetric, words);
        let seed = match c.hash.seed {
            Seed::Random => quoted("random"),
            Seed::Fixed(seed) => seed.to_string(),
        };
        self.line(
            "seed",
            seed,
            "\"random\": drawn once and kept; or 0..4294967295",
        );
        self.line(
            "algorithm",
            quoted(c.hash.algorithm.name()),
            "mix; toeplitz: as NICs do for RSS; crc32: as mlx5 tables do, never symmetric",
        );

        self.section(
            "resilient",
            "Groups. Flows of members that stay never move when another one goes. Enabled: the number\n\
             # of buckets is fixed, and a new member gets those that fall idle; else it gets its\n\
             # share at once, and tables are as large as weight-error demands.",
        );
        self.line("enable", c.resilient.enable, "");
        self.line(
            "buckets",
            c.resilient.buckets,
            "of each group: 64 128 256 512 1024 2048 4096",
        );
        let active = c.resilient.active_timer.as_secs();
        self.line("active-timer", active, "seconds, 1..65535");
        let unbalanced = c.resilient.unbalanced_timer;
        let unbalanced = unbalanced.map_or(u64::from(u32::MAX), |t| t.as_secs());
        self.line("unbalanced-timer", unbalanced, "seconds; 4294967295: never");
        let recovery = c.resilient.recovery.map_or("auto", |r| r.name());
        self.line(
            "recovery",
            quoted(recovery),
            "immediate | idle | never: how who returns gets buckets; auto: idle if enabled, else immediate",
        );
        let hold_down = c.resilient.hold_down.as_secs();
        self.line(
            "hold-down",
            hold_down,
            "seconds that who returns must wait, 0..65535",
        );
        let start = c.resilient.start_timer.as_secs();
        self.line(
            "start-timer",
            start,
            "seconds, 0..3600: so long after a route's start its next hops get their share at once",
        );
        let percent = c.resilient.weight_error as f64 / 10_000.0;
        self.line(
            "weight-error",
            percent,
            "percent, 0.01..100; of a share, if not enabled",
        );
        self.line(
            "deal",
            quoted(c.resilient.deal.name()),
            "round-robin | rendezvous: the same buckets on all routers",
        );
        if let Some(seed) = c.resilient.deal_seed {
            self.line("deal-seed", seed, "of rendezvous, 0..4294967295");
        }

        self.section("tables", "Sizes, fixed at start.");
        self.line("routes-ipv4", c.tables.routes_ipv4, "1..4000000");
        self.line("routes-ipv6", c.tables.routes_ipv6, "1..1000000");
        self.line("groups", c.tables.groups, "64..65536");
        self.line("buckets", c.tables.buckets, "of all groups, 4096..16777216");
        self.line("adjacencies", c.tables.adjacencies, "256..1048576");

        self.section("icmp", "Time exceeded, too big, unreachable: sent by us.");
        self.line(
            "rate",
            c.icmp.rate,
            "a second and worker, 0..1000000; 0: none",
        );

        self.section("api", "Where show, calc and scripts ask.");
        self.line("socket", quoted(&c.api.socket.to_string_lossy()), "");

        self.section(
            "metrics",
            "Figures for Prometheus: http://ADDRESS:PORT/metrics.",
        );
        let listen = c.metrics.listen.map_or("none".into(), |a| a.to_string());
        let words = "\"none\", or e.g. \"127.0.0.1:9470\"; no authentication";
        self.line("listen", quoted(&listen), words);

        self.section(
            "offload",
            "What the NIC forwards by itself (docs/offload.md). No NIC has been met yet: off.",
        );
        let o = &c.offload;
        let words = "off | auto: if the ports can | required: refuse to start without";
        self.line("mode", quoted(o.mode.name()), words);
        let words = "mlx5: the NIC forwards | rss: it spreads packets over workers, who forward";
        self.line("backend", quoted(o.backend.name()), words);
        let words = "backend rss: prefixes that the NIC marks, to spare lookups; 0..65536";
        self.line("marks", o.marks, words);
        let role = o.role.map_or("auto", |r| r.name());
        let words = "dpu: functions of the host and wires | transit: from wire to wire";
        self.line("role", quoted(role), words);
        let design = o.design.map_or("auto", |d| d.name());
        let words = "rows: needs algorithm = \"crc32\" | rss: transit, needs \"toeplitz\"";
        self.line("design", quoted(design), words);
        let mtu = o.mtu.map_or(quoted("auto"), |m| m.to_string());
        self.line(
            "mtu",
            mtu,
            "L3 bytes, 68..9600; longer packets are software's",
        );
        let words = "256..4194304 rules of each prefix length; further prefixes are software's";
        self.line("prefixes", o.prefixes, words);

        self.section(
            "state",
            "What outlives a restart: the random seed, the tables of groups.",
        );
        self.line(
            "directory",
            quoted(&c.state.directory.to_string_lossy()),
            "",
        );
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
