//! Tables: monospaced with padded columns, or, where that is too wide, one record for each row.

use pulldown_cmark::Alignment;

use super::escape::escape;
use super::inline::Inline;
use super::split::Block;
use super::width::width;

/// What a monospaced line holds on a usual screen.
const WIDEST: usize = 80;

/// A table's cells as plain text, the header first: in a code block nothing can be emphasised, and a link's address stands behind its words.
#[derive(Debug)]
pub(super) struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
    /// The text of the cell that is being read.
    pub(super) cell: String,
}

impl Table {
    pub(super) fn new(alignments: Vec<Alignment>) -> Self {
        Self { alignments, rows: Vec::new(), cell: String::new() }
    }

    pub(super) fn start_row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(super) fn end_cell(&mut self) {
        let cell = std::mem::take(&mut self.cell);
        if let Some(row) = self.rows.last_mut() {
            row.push(cell.trim().to_owned());
        }
    }

    /// The table as a block.
    pub(super) fn into_block(self) -> Block {
        let widest = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
        let widths: Vec<usize> = (0..self.alignments.len()).map(|column| widest(column).unwrap_or(0)).collect();
        let fits = widths.iter().sum::<usize>() + 3 * widths.len().saturating_sub(1) <= WIDEST;
        // A header alone has no records.
        if fits || self.rows.len() == 1 { self.grid(&widths) } else { self.records() }
    }

    fn grid(&self, widths: &[usize]) -> Block {
        let mut lines: Vec<String> = self.rows.iter().map(|row| self.line(row, widths)).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        lines.insert(1.min(lines.len()), rule.join("-+-"));
        Block::Code(escape(&lines.join("\n")))
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row.iter().zip(widths).zip(&self.alignments).map(|((cell, widest), alignment)| {
            let padding = " ".repeat(widest - width(cell));
            if *alignment == Alignment::Right { padding + cell } else { format!("{cell}{padding}") }
        });
        cells.collect::<Vec<_>>().join(" | ").trim_end().to_owned()
    }

    fn records(&self) -> Block {
        let header = self.rows.first().map_or(&[][..], Vec::as_slice);
        let field = |(name, cell): (&String, &String)| {
            let mut inline = Inline::default();
            inline.text(&format!("{name}: {cell}"));
            inline.take()
        };
        let record = |row: &Vec<String>| header.iter().zip(row).map(field).collect::<Vec<_>>().join("\n");
        Block::Text(self.rows.iter().skip(1).map(record).collect::<Vec<_>>().join("\n\n"))
    }
}
