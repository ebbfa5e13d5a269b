//! What is on the screen, as a file: text, SVG, CSV, JSON.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use std::fmt::Write as _;

/// The figures of a view.
#[derive(Debug, Default)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The lines; as many fields each as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[&str]) -> Table {
        Table { columns: columns.iter().map(|&c| c.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a line.
    pub fn row(&mut self, fields: impl IntoIterator<Item = String>) {
        self.rows.push(fields.into_iter().collect());
    }
}

/// The characters, without trailing blanks.
pub fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for line in buffer.content().chunks(usize::from(buffer.area.width.max(1))) {
        let line: String = line.iter().map(|c| c.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One record a line.
pub fn csv(table: &Table) -> String {
    let mut text = String::new();
    for row in std::iter::once(&table.columns).chain(&table.rows) {
        let fields: Vec<_> = row.iter().map(|f| quoted(f)).collect();
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}

/// An array of objects under the view's name; what is a number is written as one.
pub fn json(view: &str, table: &Table) -> String {
    let value = |field: &String| match field.parse::<serde_json::Number>() {
        Ok(number) => serde_json::Value::Number(number),
        Err(_) => serde_json::Value::String(field.clone()),
    };
    let object = |row: &Vec<String>| {
        let pairs = table.columns.iter().zip(row).map(|(c, f)| (c.clone(), value(f)));
        serde_json::Value::Object(pairs.collect())
    };
    let rows: Vec<_> = table.rows.iter().map(object).collect();
    let mut text = format!("{:#}", serde_json::json!({ "view": view.to_lowercase(), "rows": rows }));
    text.push('\n');
    text
}

/// Width and height of a character cell, in the picture's units.
const CELL: (u32, u32) = (9, 18);
const GROUND: &str = "#101418";
const TEXT: &str = "#d8dee4";

/// A picture: cells as text in a fixed-width font, blocks as rectangles, so that these meet in any font.
pub fn svg(buffer: &Buffer) -> String {
    let (w, h) = (u32::from(buffer.area.width) * CELL.0, u32::from(buffer.area.height) * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\">\n\
         <rect width=\"{w}\" height=\"{h}\" fill=\"{GROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
    );
    for y in 0..buffer.area.height {
        line(&mut svg, buffer, y);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn line(svg: &mut String, buffer: &Buffer, y: u16) {
    let cells: Vec<_> = (0..buffer.area.width).map(|x| look(buffer, x, y)).collect();
    let mut x = 0;
    while x < cells.len() {
        let first = &cells[x];
        let length =
            cells[x..].iter().take_while(|c| c.style == first.style && c.block == first.block).count();
        let (px, py) = (x as u32 * CELL.0, u32::from(y) * CELL.1);
        let width = length as u32 * CELL.0;
        // Writing to a String cannot fail.
        if let Some(ground) = &first.style.ground {
            let _ = writeln!(
                svg,
                "<rect x=\"{px}\" y=\"{py}\" width=\"{width}\" height=\"{}\" fill=\"{ground}\"/>",
                CELL.1
            );
        }
        if let Some((dx, dy, dw, dh)) = first.block {
            // Partial blocks stand alone, full ones run together.
            let count = if (dx, dw) == (0, 8) { 1 } else { length as u32 };
            for n in 0..count {
                let bx = f64::from(px + n * CELL.0) + f64::from(dx * CELL.0) / 8.0;
                let bw = if count == 1 { f64::from(width * dw) / 8.0 } else { f64::from(CELL.0 * dw) / 8.0 };
                let by = f64::from(py) + f64::from(dy * CELL.1) / 8.0;
                let bh = f64::from(CELL.1 * dh) / 8.0;
                let _ = writeln!(
                    svg,
                    "<rect x=\"{bx}\" y=\"{by}\" width=\"{bw}\" height=\"{bh}\" fill=\"{}\"/>",
                    first.style.ink
                );
            }
        } else {
            let text: String = cells[x..x + length].iter().map(|c| c.symbol.as_str()).collect();
            if !text.trim().is_empty() {
                let weight = if first.style.bold { " font-weight=\"bold\"" } else { "" };
                let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let _ = writeln!(
                    svg,
                    "<text x=\"{px}\" y=\"{}\" fill=\"{}\"{weight} textLength=\"{width}\">{escaped}</text>",
                    py + 14,
                    first.style.ink
                );
            }
        }
        x += length;
    }
}

#[derive(PartialEq)]
struct Paint {
    ink: String,
    ground: Option<String>,
    bold: bool,
}

struct Look {
    symbol: String,
    style: Paint,
    /// Of block characters: left, top, width, height in eighths of the cell.
    block: Option<(u32, u32, u32, u32)>,
}

fn look(buffer: &Buffer, x: u16, y: u16) -> Look {
    let Some(cell) = buffer.cell((x, y)) else {
        return Look {
            symbol: " ".into(),
            style: Paint { ink: TEXT.into(), ground: None, bold: false },
            block: None,
        };
    };
    let mut ink = colour(cell.fg, TEXT);
    let mut ground = (cell.bg != Color::Reset).then(|| colour(cell.bg, GROUND));
    if cell.modifier.contains(Modifier::REVERSED) {
        let back = std::mem::replace(&mut ink, ground.unwrap_or_else(|| GROUND.into()));
        ground = Some(back);
    }
    if cell.modifier.contains(Modifier::DIM) {
        ink = "#8a929a".into();
    }
    Look {
        symbol: cell.symbol().into(),
        style: Paint { ink, ground, bold: cell.modifier.contains(Modifier::BOLD) },
        block: block(cell.symbol()),
    }
}

fn block(symbol: &str) -> Option<(u32, u32, u32, u32)> {
    let c = symbol.chars().next()?;
    match c {
        // Lower blocks of one to eight eighths, the full block last.
        '▁'..='█' => {
            let n = c as u32 - '▁' as u32 + 1;
            Some((0, 8 - n, 8, n))
        }
        // Left blocks of seven eighths to one.
        '▉'..='▏' => Some((0, 0, 7 - (c as u32 - '▉' as u32), 8)),
        _ => None,
    }
}

fn colour(colour: Color, reset: &str) -> String {
    let hex = |r: u8, g: u8, b: u8| format!("#{r:02x}{g:02x}{b:02x}");
    match colour {
        Color::Rgb(r, g, b) => hex(r, g, b),
        Color::Indexed(n @ 16..=231) => {
            let step = |v: u8| if v == 0 { 0 } else { 55 + 40 * v };
            let n = n - 16;
            hex(step(n / 36), step(n / 6 % 6), step(n % 6))
        }
        Color::Indexed(n @ 232..) => {
            let v = 8 + 10 * (n - 232);
            hex(v, v, v)
        }
        Color::Green => hex(0, 158, 115),
        Color::Yellow | Color::LightYellow => hex(230, 159, 0),
        Color::LightCyan => hex(86, 180, 233),
        Color::LightBlue => hex(0, 114, 178),
        Color::LightRed => hex(213, 94, 0),
        Color::LightMagenta => hex(204, 121, 167),
        Color::DarkGray => hex(110, 110, 110),
        Color::Gray => hex(150, 150, 150),
        _ => reset.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    #[test]
    fn text_has_no_trailing_blanks() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 2));
        buffer.set_string(1, 0, "ab", Style::new());
        assert_eq!(text(&buffer), " ab\n\n");
    }

    #[test]
    fn records_are_quoted_and_numbers_are_numbers() {
        let mut table = Table::new(&["name", "n"]);
        table.row(["a,\"b\"".to_owned(), "12".into()]);
        assert_eq!(csv(&table), "name,n\n\"a,\"\"b\"\"\",12\n");
        let json: serde_json::Value = serde_json::from_str(&json("X", &table)).unwrap();
        assert_eq!(json["rows"][0], serde_json::json!({"name": "a,\"b\"", "n": 12}));
    }

    #[test]
    fn pictures_hold_text_and_blocks() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 6, 1));
        buffer.set_string(0, 0, "<a>██▌", Style::new().fg(Color::Rgb(1, 2, 3)));
        let svg = svg(&buffer);
        assert!(svg.contains("&lt;a&gt;") && svg.contains("fill=\"#010203\""), "{svg}");
        // Two full blocks are one rectangle of 18 units, the half one is 4.5 wide.
        assert!(svg.contains("width=\"18\"") && svg.contains("width=\"4.5\""), "{svg}");
    }
}
