//! A program as a script for testpmd, DPDK's own application: for bring-up on a NIC that we have not
//! seen, without us in the way.
//!
//! Pure: what is in the NIC by the compiler's books goes out as commands of testpmd's asynchronous
//! flow interface, tables before their rules, rules before those that lead to them, and the rules that
//! let packets in last. Written for DPDK 24.11; testpmd numbers rules itself.
//!
//! What testpmd cannot say ([`Script::unsaid`]) is a comment in the script, and what would have led
//! there leads to software.

mod parts;
mod words;

use super::audit::Copied;
use super::compile::{Role, SOFTWARE};
use super::program::{
    Action, Domain, Group, HashFunction, IndirectId, Insertion, Place, Rule, Table, TableId,
};
use crate::table::PortId;
use parts::Part;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use words::{LINE, Names, Unsaid};

/// A port of the program, as testpmd has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ethdev {
    /// The program's number.
    pub port: PortId,
    /// Its name, for comments.
    pub name: String,
    /// testpmd's number: ports are numbered in the order of the command line.
    pub number: u16,
    /// What no rule takes is the kernel's (`rte_flow_isolate`); testpmd does that when it starts.
    pub isolated: bool,
}

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Commands and comments, a line each; of a script in pieces the last one.
    pub text: String,
    /// Tables, rules and indirect actions that were said.
    pub tables: usize,
    /// Rules.
    pub rules: usize,
    /// Indirect actions.
    pub indirects: usize,
    /// What could not be said, each once.
    pub unsaid: Vec<String>,
}

/// Operations that a flow queue of testpmd holds.
const DEPTH: usize = 256;
/// So many are pushed and pulled together: a pull takes what has completed, and of some drivers no
/// more than this.
const BATCH: usize = 64;
/// Bytes of a script after which a piece of it is handed out.
pub const PIECE: usize = 256 << 10;

/// The script of programs, one after the other; `ports` are all that they name. `text` is given the
/// script in pieces of [`PIECE`] bytes and some, and says whether it wants more; what is left after
/// the last one is in the answer. `None`: it did not.
pub fn testpmd(
    programs: &[Copied],
    ports: &[Ethdev],
    text: &mut dyn FnMut(String) -> bool,
) -> Option<Script> {
    let parts = parts::of(programs);
    let mut writer = Writer::new(ports, text);
    writer.head(programs);
    writer.configure(&parts);
    for (port, part) in &parts {
        writer.part(*port, part, programs);
        if !writer.wanted {
            return None;
        }
    }
    Some(writer.finish())
}

/// The same in one piece.
pub fn whole(programs: &[Copied], ports: &[Ethdev]) -> Script {
    let mut text = String::new();
    let script = testpmd(programs, ports, &mut |piece| {
        text += &piece;
        true
    });
    let mut script = script.unwrap_or_default();
    script.text.insert_str(0, &text);
    script
}

struct Writer<'a> {
    ports: &'a [Ethdev],
    sink: &'a mut dyn FnMut(String) -> bool,
    /// The sink wants more.
    wanted: bool,
    script: Script,
    /// Groups that could not be said: by program.
    missing: BTreeSet<(usize, Group)>,
    tables: HashMap<(usize, TableId), u32>,
    indirects: HashMap<(usize, IndirectId), u32>,
}

impl<'a> Writer<'a> {
    fn new(ports: &'a [Ethdev], sink: &'a mut dyn FnMut(String) -> bool) -> Self {
        Writer {
            ports,
            sink,
            wanted: true,
            script: Script::default(),
            missing: BTreeSet::new(),
            tables: HashMap::new(),
            indirects: HashMap::new(),
        }
    }

    fn line(&mut self, line: &str) {
        self.script.text += line;
        self.script.text.push('\n');
        if self.script.text.len() >= PIECE {
            let piece = std::mem::take(&mut self.script.text);
            self.wanted = self.wanted && (self.sink)(piece);
        }
    }

    /// A command, unless testpmd cannot read it.
    fn say(&mut self, line: &str) -> Result<(), Unsaid> {
        if line.len() > LINE {
            return Err(Unsaid::Long(line.len()));
        }
        self.line(line);
        Ok(())
    }

    fn unsaid(&mut self, what: &str, why: Unsaid) {
        let words = format!("{what}: {why}");
        self.line(&format!("# not said: {words}"));
        if !self.script.unsaid.contains(&words) {
            self.script.unsaid.push(words);
        }
    }

    fn number(&self, port: PortId) -> Option<u16> {
        let port = self.ports.iter().find(|p| p.port == port);
        port.map(|p| p.number)
    }

    fn names(&self, at: usize) -> Names<'_> {
        Names {
            ports: self.ports,
            indirects: &self.indirects,
            at,
        }
    }

    fn head(&mut self, programs: &[Copied]) {
        self.line(
            "# evenpath's program for dpdk-testpmd of DPDK 24.11. Ports, by testpmd's numbers:",
        );
        for port in self.ports {
            let line = format!("#   {} {}", port.number, port.name);
            self.line(&line);
        }
        let mut options = String::from("-i --disable-device-start");
        if self.ports.iter().any(|p| p.isolated) {
            options += " --flow-isolate-all";
        }
        let mut maps = BTreeSet::new();
        let mut queues = 1;
        for program in programs {
            if let Role::Transit {
                port,
                hairpins,
                software,
                ..
            } = &program.config.role
            {
                queues = queues.max(software.queues.len() as u16);
                for hairpin in hairpins {
                    let (from, to) = (self.number(*port), self.number(hairpin.egress));
                    if let (Some(from), Some(to)) = (from, to) {
                        maps.insert((from, hairpin.queue, to, hairpin.tx_queue));
                    }
                }
            }
        }
        if queues > 1 {
            let _ = write!(options, " --rxq={queues} --txq={queues}");
        }
        // Hairpin queues of a port stand behind those of software.
        let last = maps
            .iter()
            .map(|(_, queue, _, tx_queue)| queue.max(tx_queue));
        if let Some(last) = last.max() {
            // Bits 4 and 1: explicit rules on the way out, two ports.
            let each = (last + 1).saturating_sub(queues);
            let _ = write!(options, " --hairpinq={each} --hairpin-mode=0x12");
        }
        for (port, queue, to, tx_queue) in maps {
            let _ = write!(options, " --hairpin-map={port}:{queue}:{to}:{tx_queue}:1");
        }
        self.line(&format!("# After the ports: -- {options}"));
    }

    fn configure(&mut self, parts: &BTreeMap<PortId, Part<'_>>) {
        // testpmd configures ports when it starts them, and flow engines want them stopped again.
        self.line("port start all");
        self.line("port stop all");
        for (port, part) in parts {
            let Some(number) = self.number(*port) else {
                continue;
            };
            let counts = |rule: &&(usize, &Rule)| rule.1.does.actions.contains(&Action::Count);
            let counters = part.rules.iter().filter(counts).count();
            self.line(&format!(
                "flow configure {number} queues_number 1 queues_size {DEPTH} \
                 counters_number {counters} aging_counters_number 0 meters_number 0 flags 0"
            ));
        }
        self.line("port start all");
    }

    /// What one port gets.
    fn part(&mut self, port: PortId, part: &Part<'_>, programs: &[Copied]) {
        let Some(number) = self.number(port) else {
            return self.unsaid("a program", Unsaid::Port(port));
        };
        for (nth, (at, indirect)) in part.indirects.iter().enumerate() {
            let domain = domain(indirect.domain);
            let action = words::one(&indirect.action, self.names(*at));
            let said = action.and_then(|action| {
                self.say(&format!(
                    "flow queue {number} indirect_action 0 create {domain} action_id {nth} \
                     postpone no action {action} / end"
                ))
            });
            match said {
                Ok(()) => {
                    self.indirects.insert((*at, indirect.id), nth as u32);
                    self.script.indirects += 1;
                    self.line(&format!("flow pull {number} queue 0"));
                }
                Err(why) => self.unsaid("an indirect action", why),
            }
        }
        for (nth, (at, table)) in part.tables.iter().enumerate() {
            match self.table(number, nth as u32, *at, table) {
                Ok(()) => {
                    self.tables.insert((*at, table.id), nth as u32);
                    self.script.tables += 1;
                }
                Err(why) => {
                    self.missing.insert((*at, table.group));
                    self.unsaid(&format!("a table of group {}", table.group.0), why);
                }
            }
        }
        let mut open = 0;
        for (at, rule) in &part.rules {
            let Some(table) = parts::table(programs, *at, rule) else {
                continue;
            };
            match self.rule(number, *at, table, rule) {
                Ok(true) => {
                    self.script.rules += 1;
                    open += 1;
                }
                Ok(false) => {}
                Err(why) => self.unsaid(&format!("a rule of group {}", table.group.0), why),
            }
            if !self.wanted {
                return;
            }
            if open == BATCH {
                self.collect(number);
                open = 0;
            }
        }
        // One more for what comes late.
        self.collect(number);
        self.line(&format!("flow pull {number} queue 0"));
    }

    fn collect(&mut self, number: u16) {
        self.line(&format!("flow push {number} queue 0"));
        self.line(&format!("flow pull {number} queue 0"));
    }

    fn table(&mut self, number: u16, id: u32, at: usize, table: &Table) -> Result<(), Unsaid> {
        let domain = domain(table.domain);
        let relaxed = if table.pattern.relaxed { "yes" } else { "no" };
        let names = self.names(at);
        let pattern = words::template(&table.pattern, names)?;
        let mut lines = vec![format!(
            "flow pattern_template {number} create {domain} relaxed {relaxed} \
             pattern_template_id {id} template {pattern}"
        )];
        let insertion = match table.insertion {
            Insertion::Pattern => "",
            Insertion::Index(HashFunction::Crc32) => "insertion_type index hash_func crc32 ",
            Insertion::Index(HashFunction::Linear) => "insertion_type index hash_func linear ",
        };
        let mut create = format!(
            "flow template_table {number} create table_id {id} group {} priority {} {domain} \
             {insertion}rules_number {} pattern_template {id}",
            table.group.0, table.priority, table.size
        );
        for (nth, template) in table.actions.iter().enumerate() {
            // A table has 32 of them at most.
            let own = id * 32 + nth as u32;
            let (actions, masks) = words::actions_template(template, names)?;
            lines.push(format!(
                "flow actions_template {number} create {domain} actions_template_id {own} \
                 template {actions} mask {masks}"
            ));
            let _ = write!(create, " actions_template {own}");
        }
        lines.push(create);
        if let Some(line) = lines.iter().find(|line| line.len() > LINE) {
            return Err(Unsaid::Long(line.len()));
        }
        lines.iter().try_for_each(|line| self.say(line))
    }

    /// Whether the rule was said; not if its table was not.
    fn rule(&mut self, number: u16, at: usize, table: &Table, rule: &Rule) -> Result<bool, Unsaid> {
        let Some(id) = self.tables.get(&(at, rule.table)).copied() else {
            return Ok(false);
        };
        let names = self.names(at);
        let mut does = rule.does.actions.clone();
        for action in &mut does {
            match action {
                Action::Jump(group) if self.missing.contains(&(at, *group)) => *group = SOFTWARE,
                _ => {}
            }
        }
        let actions = words::actions(&does, names)?;
        let template = rule.does.template;
        let (place, pattern) = match &rule.place {
            Place::Index(row) => (format!("rule_index {row}"), "end".to_owned()),
            Place::Pattern { spec, last } => {
                let items = words::rule(&table.pattern, spec, last, names)?;
                ("pattern_template 0".to_owned(), items)
            }
        };
        self.say(&format!(
            "flow queue {number} create 0 template_table {id} {place} actions_template {template} \
             postpone yes pattern {pattern} actions {actions}"
        ))?;
        Ok(true)
    }

    fn finish(mut self) -> Script {
        let (tables, rules) = (self.script.tables, self.script.rules);
        self.line(&format!(
            "# {tables} tables, {rules} rules, {} indirect actions; \"succeeded\" adds up to {}",
            self.script.indirects,
            rules + self.script.indirects
        ));
        self.script
    }
}

const fn domain(domain: Domain) -> &'static str {
    match domain {
        Domain::Ingress => "ingress",
        Domain::Egress => "egress",
        Domain::Transfer => "transfer",
    }
}

#[cfg(test)]
mod tests;
