//! What a mistyped name probably meant.

/// The one of `known` that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |s: &str| s.to_ascii_lowercase().replace('_', "-");
    let name = plain(name);
    let limit = (name.len() / 3).clamp(1, 3);
    known
        .iter()
        .map(|k| (distance(&name, &plain(k)), *k))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Edits (insert, remove, replace, swap neighbors) from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant() {
        let known = [
            "name",
            "device",
            "kernel",
            "mac",
            "mtu",
            "vlan",
            "source-ip",
            "buckets",
        ];
        for (typo, meant) in [
            ("nmae", Some("name")),
            ("devise", Some("device")),
            ("source_ip", Some("source-ip")),
            ("Kernel", Some("kernel")),
            ("bucket", Some("buckets")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typo, &known), meant, "{typo}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
