//! The driver refuses what mlx5 refuses, and what mlx5 would not notice: told by DPDK's own application,
//! which checks little itself (of the package dpdk-dev). Its two streams do not say what belongs to which
//! line, so each line has an answer that no other has.

use std::io::Write;
use std::process::{Command, Stdio};

const CONFIGURE: &str = "flow configure 0 queues_number 1 queues_size 1 counters_number 0 \
                         aging_counters_number 0 meters_number 0 flags 0";
const PATTERN: &str = "flow pattern_template 0 create transfer relaxed no pattern_template_id 1 \
                       template eth type mask 0xffff / end";
const TABLE: &str = "flow template_table 0 create table_id 1 group 0 priority 0 transfer \
                     rules_number 4 pattern_template 1 actions_template";
const RULE: &str = "flow queue 0 create 0 template_table 1 pattern_template 0 actions_template 0 \
                    postpone no pattern eth type spec";
const JUMP: &str = "/ end actions jump group 1 / end";

/// What is told, and what the answer must contain.
fn conversation() -> Vec<(String, &'static str)> {
    let jump = "template jump group 1 / end mask jump / end";
    let mac = "modify_field op set dst_type mac_dst src_type value src_value 00 width 48";
    let bare = format!("template {mac} / jump / end mask {mac} / jump / end");
    let actions = |domain: &str, id: u8, list: &str| {
        format!("flow actions_template 0 create {domain} actions_template_id {id} {list}")
    };
    vec![
        // testpmd configures the port when it starts it.
        ("port start all".into(), "Configuring Port 0"),
        ("flow isolate 0 true".into(), "isolate: the port is started"),
        (CONFIGURE.into(), "already started"),
        ("port stop all".into(), "Stopping ports"),
        (
            "flow isolate 0 1".into(),
            "isolate: the port was configured before",
        ),
        (PATTERN.into(), "is not configured"),
        (CONFIGURE.into(), "number of queues 1 with 1 elements"),
        (
            CONFIGURE.into(),
            "configure: it was, and can be once: Operation not supported",
        ),
        (
            PATTERN.into(),
            "pattern template: configure and start the port before",
        ),
        ("port start all".into(), "Port 0: 02:00:00:00:00:00"),
        (PATTERN.into(), "Pattern template #1 created"),
        // Masks that are not full.
        (
            actions("transfer", 1, &bare),
            "an action or a mask that mlx5 does not take",
        ),
        (actions("ingress", 2, jump), "Actions template #2 created"),
        (
            format!("{TABLE} 2"),
            "table: an actions template of another port or domain",
        ),
        (actions("transfer", 1, jump), "Actions template #1 created"),
        (format!("{TABLE} 1"), "Template table #1 created"),
        (
            format!("{RULE} 0x0800 {JUMP}"),
            "Flow rule #0 creation enqueued",
        ),
        (
            format!("{RULE} 0x86dd {JUMP}"),
            "the queue is full: Device or resource busy",
        ),
        ("flow pull 0 queue 0".into(), "(0 failed, 1 succeeded)"),
        // As mlx5 with allow_duplicate_pattern=0.
        (format!("{RULE} 0x0800 {JUMP}"), "creation enqueued"),
        ("flow pull 0 queue 0".into(), "(1 failed, 0 succeeded)"),
        (
            "flow pattern_template 0 destroy pattern_template 1".into(),
            "a table has it",
        ),
        (
            "flow template_table 0 destroy table 1".into(),
            "table: it has rules",
        ),
        (
            "port stop all".into(),
            "handles are left, which are void now",
        ),
    ]
}

/// What testpmd says, on both its streams, to a conversation with a port of these arguments.
fn told(arguments: &str, said: &[(String, &'static str)]) -> [String; 2] {
    let mut plugin = std::env::current_exe().unwrap();
    plugin.set_file_name("libnet_evenpath_sim.so");
    let mut testpmd = Command::new("dpdk-testpmd")
        .args(["--no-huge", "-m", "64", "--no-pci", "--no-shconf"])
        .args(["--no-telemetry", "--iova-mode=va", "--lcores=0@0,1@0"])
        .args(["--log-level=lib.ethdev:info", "-d"])
        .arg(&plugin)
        .arg(format!("--vdev=net_evenpath_sim0,profile=bf3{arguments}"))
        .args(["--", "-i", "--disable-device-start"])
        .args(["--total-num-mbufs=2048", "--no-mlockall"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dpdk-testpmd runs (Debian 13: dpdk-dev)");
    let mut input = testpmd.stdin.take().unwrap();
    for (line, _) in said {
        writeln!(input, "{line}").unwrap();
    }
    writeln!(input, "quit").unwrap();
    drop(input);
    let output = testpmd.wait_with_output().unwrap();
    [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned())
}

fn converse(arguments: &str, said: Vec<(String, &'static str)>) {
    let [out, err] = told(arguments, &said);
    for (line, expected) in said {
        let found = out.contains(expected) || err.contains(expected);
        assert!(found, "{line}: no {expected:?} in\n{out}\n{err}");
    }
}

#[test]
fn the_order_of_calls_is_mlx5s() {
    converse("", conversation());
}

const ROWS: &str = "flow pattern_template 0 create transfer relaxed yes pattern_template_id 7 template \
                    eth / ipv4 src mask 255.255.255.255 dst mask 255.255.255.255 proto mask 0xff / \
                    udp src mask 0xffff dst mask 0xffff / end";

/// A row is inserted, and updated.
fn rows(answer: &'static str) -> Vec<(String, &'static str)> {
    let table = "flow template_table 0 create table_id 7 group 1 priority 0 transfer rules_number 16 \
                 insertion_type index pattern_template 7 actions_template 7";
    let queue = "flow queue 0";
    let depth = CONFIGURE.replace("queues_size 1", "queues_size 8");
    let template = "flow actions_template 0 create transfer actions_template_id 7 template jump group \
                    1 / end mask jump / end";
    let jump = "actions_template 0 postpone no pattern eth / end actions jump group 2 / end";
    vec![
        ("port start all".into(), "Configuring Port 0"),
        ("port stop all".into(), "Stopping ports"),
        (depth, "number of queues 1 with 8 elements"),
        ("port start all".into(), "Port 0: 02:00:00:00:00:00"),
        (ROWS.into(), "Pattern template #7 created"),
        (template.into(), "Actions template #7 created"),
        (table.into(), "Template table #7 created"),
        (
            format!("{queue} create 0 template_table 7 rule_index 3 {}", &jump),
            "Flow rule #0 creation enqueued",
        ),
        ("flow pull 0 queue 0".into(), "(0 failed, 1 succeeded)"),
        (format!("{queue} update 0 rule 0 {jump}"), answer),
    ]
}

/// Drivers of 24.11 take it, and write another row (`mlx5_flow_hw.c:4163`).
#[test]
fn rows_are_updated_where_the_driver_has_the_bug() {
    converse("", rows("rows, and rules with ranges, cannot be updated"));
    converse(",index-bug=1", rows("Flow rule #0 update enqueued"));
}
