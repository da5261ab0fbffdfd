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

#[test]
fn marks_have_their_families_where_there_are_any() {
    let mut metrics = Metrics::default();
    assert!(!exposition(&metrics).contains("evenpath_marks"));
    metrics.marks = Some(OffloadMarks {
        slots: 64,
        prefixes: 2,
        room: 3,
        lookups_skipped: 17_174,
    });
    let page = exposition(&metrics);
    for line in [
        "\nevenpath_marks 2\n",
        "\nevenpath_marks_room 3\n",
        "# TYPE evenpath_lookups_skipped_total counter\nevenpath_lookups_skipped_total 17174\n",
    ] {
        assert!(page.contains(line), "{line}");
    }
}
