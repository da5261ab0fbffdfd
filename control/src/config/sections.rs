//! From TOML to [`Config`], section by section.

use super::metrics::metrics;
use super::offload::offload;
use super::problem::{Kind, Problems};
use super::reader::{At, Findings, Section, number};
use super::{
    Answer, Api, Config, Cores, DealBy, Eal, Fpm, Hash, Hugepages, Icmp, Port, Resilient, State,
    Tables, check, port, profile,
};
use fastpath::hash::{Field, Fields};
use std::path::PathBuf;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

const TOP: &[&str] = &[
    "eal",
    "port",
    "fpm",
    "hash",
    "hash-profile",
    "resilient",
    "tables",
    "icmp",
    "api",
    "metrics",
    "offload",
    "state",
    "address",
    "neighbor",
    "route",
];
const PATH: &str = "an absolute path";
pub(super) fn parse(text: &str) -> Result<Config, Problems> {
    let mut out = Findings::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in &errors {
            let line = out.line(error.span().map_or(0, |s| s.start));
            out.add(line, "", Kind::Syntax(error.message().replace('\n', ", ")));
        }
        return Err(sorted(out));
    }
    let root = Section::root(document.get_ref());
    root.only(TOP, &mut out);
    let mut config = Config::default();
    if let Some(s) = root.table("eal", &mut out) {
        config.eal = eal(&s, &mut out);
    }
    if let Some(s) = root.table("fpm", &mut out) {
        config.fpm = fpm(&s, &mut out);
    }
    if let Some(s) = root.table("hash", &mut out) {
        config.hash = hash(&s, &mut out);
    }
    config.hash_profiles = profile::profiles(&root, config.hash.fields, &mut out);
    if let Some(s) = root.table("resilient", &mut out) {
        config.resilient = resilient(&s, &mut out);
    }
    if let Some(s) = root.table("tables", &mut out) {
        config.tables = tables(&s, &mut out);
    }
    if let Some(s) = root.table("icmp", &mut out) {
        s.only(&["rate"], &mut out);
        let rate = number_u32(
            &s,
            "rate",
            0,
            1_000_000,
            "0..1000000",
            Icmp::default().rate,
            &mut out,
        );
        config.icmp = Icmp { rate };
    }
    if let Some(s) = root.table("api", &mut out) {
        s.only(&["socket"], &mut out);
        let words = "an absolute path of at most 107 bytes";
        let socket = s.get("socket", words, &mut out, |v| {
            absolute(v).filter(|p| p.as_os_str().len() <= 107)
        });
        config.api = socket.map_or_else(Api::default, |at| Api { socket: at.value });
    }
    if let Some(s) = root.table("metrics", &mut out) {
        config.metrics = metrics(&s, &mut out);
    }
    if let Some(s) = root.table("offload", &mut out) {
        config.offload = offload(&s, &mut out);
    }
    if let Some(s) = root.table("state", &mut out) {
        s.only(&["directory"], &mut out);
        let directory = s.get("directory", PATH, &mut out, absolute);
        config.state = directory.map_or_else(State::default, |at| State {
            directory: at.value,
        });
    }
    let sections = root.tables("port", &mut out);
    let ports: Vec<At<Port>> = sections
        .iter()
        .map(|s| At {
            value: port::port(s, &mut out),
            line: s.line,
        })
        .collect();
    check::ports(&ports, &mut out);
    config.ports = ports.into_iter().map(|at| at.value).collect();
    check::facts(&root, &mut config, &mut out);
    if out.problems.is_empty() {
        Ok(config)
    } else {
        Err(sorted(out))
    }
}

fn sorted(out: Findings<'_>) -> Problems {
    let mut problems = out.problems;
    problems.sort_by_key(|p| p.line);
    Problems(problems)
}

fn eal(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Eal {
    s.only(&["cores", "hugepages", "memory", "plugins"], out);
    let default = Eal::default();
    let words = "\"auto\", or cores such as \"1-3\" or \"1,3\", each 0..1023";
    let cores = s.get("cores", words, out, |v| core_list(v.as_str()?));
    let words = "\"auto\", \"always\" or \"never\"";
    let hugepages = s.get("hugepages", words, out, |v| match v.as_str()? {
        "auto" => Some(Hugepages::Auto),
        "always" => Some(Hugepages::Always),
        "never" => Some(Hugepages::Never),
        _ => None,
    });
    let memory = s.get("memory", "\"auto\" or 32..1048576 MiB", out, |v| {
        if v.as_str() == Some("auto") {
            return Some(None);
        }
        let mib = u32::try_from(number(v)?).ok()?;
        (32..=1_048_576).contains(&mib).then_some(Some(mib))
    });
    let words = "a list of paths of shared libraries";
    let plugins = s.get("plugins", words, out, |v| {
        let paths = v.as_array()?.iter();
        let path = |v: &toml::Spanned<DeValue<'_>>| {
            let path = v.get_ref().as_str()?;
            let fit = !path.is_empty() && !path.contains('\0');
            fit.then(|| path.to_owned())
        };
        paths.map(path).collect::<Option<Vec<String>>>()
    });
    Eal {
        plugins: plugins.map(|at| at.value).unwrap_or_default(),
        cores: cores.map_or(default.cores, |at| at.value),
        hugepages: hugepages.map_or(default.hugepages, |at| at.value),
        memory_mib: memory.map_or(default.memory_mib, |at| at.value),
    }
}

fn core_list(text: &str) -> Option<Cores> {
    if text == "auto" {
        return Some(Cores::Auto);
    }
    let core = |t: &str| t.trim().parse::<u16>().ok().filter(|c| *c < 1024);
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (core(first)?, core(last)?),
            None => (core(part)?, core(part)?),
        };
        if first > last {
            return None;
        }
        cores.extend(first..=last);
    }
    cores.sort_unstable();
    cores.dedup();
    Some(Cores::List(cores))
}

fn fpm(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Fpm {
    let known = &[
        "enable",
        "listen",
        "sentinel",
        "settle",
        "hold-below",
        "restart-hold",
        "answer",
    ];
    s.only(known, out);
    let default = Fpm::default();
    let words = "ADDRESS:PORT, e.g. \"127.0.0.1:2620\" or \"[::1]:2620\"";
    let listen = s.get("listen", words, out, |v| v.as_str()?.parse().ok());
    let sentinel = match s.get("sentinel", "", out, |v| Some(v.as_str() == Some("none"))) {
        None => default.sentinel,
        Some(At { value: true, .. }) => None,
        Some(_) => s.prefix("sentinel", out).map(|at| at.value),
    };
    let settle = s.number(
        "settle",
        1..=3600,
        "1..3600 seconds",
        default.settle.as_secs(),
        out,
    );
    let hold = u64::from(default.hold_below_percent);
    let hold = s.number("hold-below", 0..=100, "0..100 percent", hold, out);
    let restart = default.restart_hold.as_secs();
    let restart = s.number("restart-hold", 0..=3600, "0..3600 seconds", restart, out);
    let answer = s.get("answer", "offload, offload-trap, trap or none", out, |v| {
        let name = v.as_str()?;
        Answer::ALL.into_iter().find(|a| a.name() == name)
    });
    Fpm {
        enable: s.flag("enable", default.enable, out),
        listen: listen.map_or(default.listen, |at| at.value),
        sentinel,
        settle: Duration::from_secs(settle),
        hold_below_percent: u8::try_from(hold).unwrap_or(default.hold_below_percent),
        restart_hold: Duration::from_secs(restart),
        answer: answer.map_or(default.answer, |at| at.value),
    }
}

/// The keys of `[hash]`: all fields, then the rest.
pub(super) const HASH: [&str; 18] = {
    let mut keys = [""; 18];
    let mut i = 0;
    while i < Field::ALL.len() {
        keys[i] = Field::ALL[i].name();
        i += 1;
    }
    keys[15] = "symmetric";
    keys[16] = "seed";
    keys[17] = "algorithm";
    keys
};

fn hash(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Hash {
    s.only(&HASH, out);
    let default = Hash::default();
    let mut fields = Fields::EMPTY;
    for field in Field::ALL {
        let on = profile::field_of(s, field, out);
        fields = fields.with(field, on.unwrap_or(field.default_on()));
    }
    if fields == Fields::EMPTY {
        let words = "no field is on, so that all packets would take one member; turn one on";
        out.add(s.line, s.name.clone(), Kind::Conflict(words));
    }
    Hash {
        fields,
        symmetric: s.flag("symmetric", default.symmetric, out),
        seed: profile::seed(s, out).unwrap_or(default.seed),
        algorithm: profile::algorithm(s, out).unwrap_or(default.algorithm),
    }
}

const RESILIENT: &[&str] = &[
    "enable",
    "buckets",
    "active-timer",
    "unbalanced-timer",
    "recovery",
    "hold-down",
    "start-timer",
    "weight-error",
    "deal",
    "deal-seed",
];

fn resilient(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Resilient {
    s.only(RESILIENT, out);
    let default = Resilient::default();
    let words = "64, 128, 256, 512, 1024, 2048 or 4096";
    let buckets = s.get("buckets", words, out, |v| Resilient::buckets_of(number(v)?));
    let never = u64::from(u32::MAX);
    let active = default.active_timer.as_secs();
    let active = s.number("active-timer", 1..=65_535, "1..65535 seconds", active, out);
    let words = "1..4294967295 seconds, the last: never";
    let unbalanced = default.unbalanced_timer.map_or(never, |t| t.as_secs());
    let unbalanced = s.number("unbalanced-timer", 1..=never, words, unbalanced, out);
    let recovery = s.get("recovery", "auto, immediate, idle or never", out, |v| {
        Resilient::recovery_of(v.as_str()?)
    });
    let hold_down = default.hold_down.as_secs();
    let hold_down = s.number("hold-down", 0..=65_535, "0..65535 seconds", hold_down, out);
    let start = default.start_timer.as_secs();
    let start = s.number("start-timer", 0..=3600, "0..3600 seconds", start, out);
    let weight_error = s.get("weight-error", "0.01..100 percent", out, |v| {
        let percent = match v.as_float() {
            Some(float) => float.as_str().replace('_', "").parse::<f64>().ok()?,
            None => u32::try_from(number(v)?).ok()?.into(),
        };
        Resilient::weight_error_of(percent)
    });
    let deal = s.get("deal", "round-robin or rendezvous", out, |v| {
        match v.as_str()? {
            "round-robin" => Some(DealBy::RoundRobin),
            "rendezvous" => Some(DealBy::Rendezvous),
            _ => None,
        }
    });
    let deal_seed = s.get("deal-seed", "0..4294967295", out, |v| {
        u32::try_from(number(v)?).ok()
    });
    let enable = s.flag("enable", default.enable, out);
    if let Some(deal) = deal
        .as_ref()
        .filter(|d| enable && d.value == DealBy::Rendezvous)
    {
        let words = "rendezvous deals by what the members are now, enable by what they were; \
                     one of the two";
        out.add(deal.line, s.path("deal"), Kind::Conflict(words));
    }
    Resilient {
        enable,
        buckets: buckets.map_or(default.buckets, |at| at.value),
        active_timer: Duration::from_secs(active),
        unbalanced_timer: (unbalanced != never).then(|| Duration::from_secs(unbalanced)),
        recovery: recovery.and_then(|at| at.value),
        hold_down: Duration::from_secs(hold_down),
        start_timer: Duration::from_secs(start),
        weight_error: weight_error.map_or(default.weight_error, |at| at.value),
        deal: deal.map_or(default.deal, |at| at.value),
        deal_seed: deal_seed.map(|at| at.value),
    }
}

fn tables(s: &Section<'_, '_>, out: &mut Findings<'_>) -> Tables {
    let known = &[
        "routes-ipv4",
        "routes-ipv6",
        "groups",
        "buckets",
        "adjacencies",
    ];
    s.only(known, out);
    let d = Tables::default();
    let (v4, v6) = (d.routes_ipv4, d.routes_ipv6);
    Tables {
        routes_ipv4: number_u32(s, "routes-ipv4", 1, 4_000_000, "1..4000000", v4, out),
        routes_ipv6: number_u32(s, "routes-ipv6", 1, 1_000_000, "1..1000000", v6, out),
        groups: number_u32(s, "groups", 64, 65_536, "64..65536", d.groups, out),
        buckets: number_u32(
            s,
            "buckets",
            4096,
            1 << 24,
            "4096..16777216",
            d.buckets,
            out,
        ),
        adjacencies: number_u32(
            s,
            "adjacencies",
            256,
            1 << 20,
            "256..1048576",
            d.adjacencies,
            out,
        ),
    }
}

fn number_u32(
    s: &Section<'_, '_>,
    key: &str,
    least: u32,
    most: u32,
    allowed: &'static str,
    default: u32,
    out: &mut Findings<'_>,
) -> u32 {
    let n = s.number(
        key,
        least.into()..=most.into(),
        allowed,
        default.into(),
        out,
    );
    u32::try_from(n).unwrap_or(default)
}

pub(super) fn absolute(value: &DeValue<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(value.as_str()?);
    path.is_absolute().then_some(path)
}
