//! Tables for people.

/// A line for each of `items` below a line of headings; `none` where there are none. The last column is as wide as its text.
pub(super) fn table<T>(items: &[T], none: &str, head: [&str; 7], row: fn(&T) -> [String; 7]) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    let rows: Vec<[String; 7]> = std::iter::once(head.map(str::to_owned)).chain(items.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 7]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  "));
        padded.chain([format!("{}\n", row[6])]).collect::<String>()
    };
    rows.iter().map(line).collect()
}
