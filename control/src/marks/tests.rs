use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().expect(text)
}

fn book(slots: usize, led: &[&str]) -> Book {
    let led: Vec<_> = led.iter().map(|p| (prefix(p), GroupId(1))).collect();
    Book::new(slots, led.into_iter())
}

fn commit(book: &mut Book, changes: &[(&str, u32)]) -> Vec<Edit> {
    let changes = changes.iter().map(|(p, g)| (prefix(p), GroupId(*g)));
    book.follow(&changes.collect::<Vec<_>>())
}

#[test]
fn only_a_prefix_without_a_longer_one_has_a_mark() {
    let mut book = book(
        4,
        &["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32"],
    );
    for p in ["10.0.0.0/8", "0.0.0.0/0", "10.9.0.0/16"] {
        book.wish(prefix(p));
    }
    assert_eq!(commit(&mut book, &[]), [], "covers, default, unknown");
    book.wish(prefix("10.1.0.0/16"));
    book.wish(prefix("2001:db8::/32"));
    let edits = commit(&mut book, &[]);
    let [
        Edit::Set(one, p, GroupId(1)),
        Edit::Set(other, q, GroupId(1)),
    ] = edits[..]
    else {
        panic!("{edits:?}");
    };
    assert_eq!((p, q), (prefix("10.1.0.0/16"), prefix("2001:db8::/32")));
    assert_eq!(book.rules(), [Rule::Put(one, p), Rule::Put(other, q)]);
    // Another group: workers are told, the NIC need not be.
    assert_eq!(
        commit(&mut book, &[("10.1.0.0/16", 7)]),
        [Edit::Set(one, p, GroupId(7))]
    );
    assert_eq!(book.rules(), []);
    // A longer one: at once, and its slot's next mark is another.
    let gone = commit(&mut book, &[("10.1.128.0/17", 3)]);
    assert_eq!(gone.len(), 1);
    assert!(matches!(gone[0], Edit::Clear(_)));
    assert_eq!(book.rules(), [Rule::Take(one)]);
    book.wish(prefix("10.1.128.0/17"));
    let [Edit::Set(next, ..)] = commit(&mut book, &[])[..] else {
        panic!("no slot");
    };
    assert!(next != one && next != other);
    // The longer one goes: the shorter one may have one again.
    book.wish(prefix("10.1.0.0/16"));
    let edits = commit(&mut book, &[("10.1.128.0/17", 0)]);
    assert!(
        matches!(edits[..], [Edit::Clear(_), Edit::Set(..)]),
        "{edits:?}"
    );
    book.refused(prefix("10.1.0.0/16"));
    assert!(!book.has(prefix("10.1.0.0/16")));
}

#[test]
fn a_longer_one_of_the_same_commit_counts() {
    let mut book = book(4, &["10.0.0.0/8"]);
    book.wish(prefix("10.0.0.0/8"));
    assert_eq!(commit(&mut book, &[("10.255.0.0/16", 2)]), []);
    assert_eq!(book.rules(), []);
}

#[test]
fn who_has_more_packets_has_the_mark_as_far_as_there_is_room() {
    let names: Vec<String> = (0..8).map(|n| format!("10.{n}.0.0/16")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut book = book(4, &names);
    let second = |book: &mut Book, counts: &[(usize, usize)]| {
        for (n, count) in counts {
            (0..*count).for_each(|_| book.seen(prefix(names[*n])));
        }
        book.settle();
        commit(book, &[]);
        let has = |n: &usize| book.has(prefix(names[*n]));
        (0..8).filter(has).collect::<Vec<_>>()
    };
    let first = [(0, 10), (1, 9), (2, 8), (3, 7), (4, 6)];
    assert_eq!(second(&mut book, &first), [0, 1, 2, 3]);
    // Not for a little more.
    assert_eq!(second(&mut book, &[(4, 4)]), [0, 1, 2, 3]);
    assert_eq!(second(&mut book, &[(4, 40)]), [0, 1, 2, 4]);
    // The NIC has less room, and no IPv6.
    book.limit(Some(2), [true, false]);
    assert_eq!(second(&mut book, &[]), [0, 4]);
    // It does not say so any more: those that have most packets are back.
    book.limit(None, [true, false]);
    assert_eq!(second(&mut book, &[]), [0, 1, 2, 4]);
    book.limit(Some(2), [false, true]);
    assert_eq!(second(&mut book, &[]), Vec::<usize>::new());
    assert_eq!(book.counts(), (4, 0, 2));
}
