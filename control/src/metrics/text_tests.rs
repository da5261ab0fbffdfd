use super::*;

#[test]
fn labels_are_escaped_and_seconds_exact() {
    assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    let mut page = Page(String::new());
    page.sample("x", &[("port", "\"\n"), ("b", "")], 1);
    assert_eq!(page.0, "x{port=\"\\\"\\n\",b=\"\"} 1\n");
    for (us, text) in [
        (0, "0"),
        (1, "0.000001"),
        (500_000, "0.5"),
        (500_000_000, "500"),
        (10_000_000, "10"),
        (u64::MAX, "18446744073709.551615"),
    ] {
        assert_eq!(seconds(us), text);
    }
}
