//! Tables: monospaced with padded columns, or, where that is too wide, one record for each row.

use super::escape::{escape, guard_fences};
use super::split::Block;

/// What a monospaced line holds on a usual screen.
const WIDEST: usize = 80;

/// A table's cells as plain text, the header first.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// The table as a block.
    pub(super) fn into_block(self) -> Option<Block> {
        let columns = self.rows.iter().map(Vec::len).max()?;
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        if widths.iter().sum::<usize>() + 3 * columns.saturating_sub(1) <= WIDEST {
            Some(self.grid(&widths))
        } else {
            Some(self.records())
        }
    }

    fn grid(&self, widths: &[usize]) -> Block {
        let mut lines: Vec<String> = self.rows.iter().map(|row| line(row, widths)).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        lines.insert(1.min(lines.len()), rule.join("-+-"));
        Block::Code(guard_fences(&escape(&lines.join("\n"))))
    }

    fn records(&self) -> Block {
        let header = self.rows.first().cloned().unwrap_or_default();
        let field = |(column, cell): (usize, &String)| {
            let name = header.get(column).map_or("", String::as_str);
            let mut inline = super::inline::Inline::default();
            inline.text(&format!("{name}: {cell}"));
            inline.take()
        };
        let record = |row: &Vec<String>| row.iter().enumerate().map(field).collect::<Vec<_>>().join("\n");
        Block::Text(self.rows.iter().skip(1).map(record).collect::<Vec<_>>().join("\n\n"))
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cell = |(column, width): (usize, &usize)| {
        let text = row.get(column).map_or("", String::as_str);
        format!("{text}{}", " ".repeat(width - text.chars().count()))
    };
    widths.iter().enumerate().map(cell).collect::<Vec<_>>().join(" | ").trim_end().to_owned()
}
