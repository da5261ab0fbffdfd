//! Aligned columns, and times as people read them.

/// A table under construction.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// One with this header.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Table {
            rows: vec![header.map(String::from).to_vec()],
            right: Vec::new(),
        }
    }

    /// Aligns these columns, counted from 0, to the right: numbers.
    pub fn right(&mut self, columns: impl IntoIterator<Item = usize>) {
        self.right.extend(columns);
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, two blanks between columns, none at the end; `empty` when there is no row.
    pub fn text(&self, empty: &str) -> String {
        if self.rows.len() == 1 {
            return format!("{empty}\n");
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| {
                let cells = self.rows.iter().filter_map(|row| row.get(c));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (c, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                let (before, after) = if self.right.contains(&c) {
                    (pad, String::new())
                } else {
                    (String::new(), pad)
                };
                line += &before;
                line += cell;
                line += &after;
                line += "  ";
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Nanoseconds since 1970 as `2026-11-21 09:50:41.123456`, UTC.
pub fn time(ns: u64) -> String {
    let (seconds, micros) = (ns / 1_000_000_000, ns % 1_000_000_000 / 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1970 to a civil date: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}.{micros:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["A", "NUMBER", "LAST"]);
        table.right([1]);
        table.row(["long cell", "7", ""].map(String::from));
        table.row(["é", "1234567", "x"].map(String::from));
        assert_eq!(
            table.text("none"),
            "A           NUMBER  LAST\nlong cell        7\né          1234567  x\n"
        );
        assert_eq!(Table::new(["A"]).text("none"), "none\n");
    }

    #[test]
    fn times_are_civil() {
        assert_eq!(time(0), "1970-01-01 00:00:00.000000");
        assert_eq!(time(951_782_400_000_000_000), "2000-02-29 00:00:00.000000");
        assert_eq!(
            time(1_795_254_641_123_456_789),
            "2026-11-21 09:50:41.123456"
        );
        assert_eq!(
            time(4_107_542_399_999_999_999),
            "2100-02-28 23:59:59.999999"
        );
        assert_eq!(
            time(4_107_542_400_000_000_000),
            "2100-03-01 00:00:00.000000"
        );
    }
}
