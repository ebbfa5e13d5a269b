//! A figure for a paper, in the three forms that papers take: SVG, a pgfplots fragment that compiles as it is
//! (`\usepackage{pgfplots}`), and data for gnuplot whose first lines hold the command that draws them.

use crate::plot::COLOURS;

/// A figure.
pub trait Figure {
    /// As an SVG document.
    fn svg(&self) -> String;

    /// As a pgfplots fragment.
    fn pgfplots(&self) -> String;

    /// As data for gnuplot; `file` is the name that it will have, for the command in it.
    fn gnuplot(&self, file: &str) -> String;
}

/// Text for LaTeX.
pub fn tex(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            _ => out.push(c),
        }
    }
    out
}

/// Ticks of an axis whose places are 0, 1, 2, ... and have names: braces keep commas together.
pub fn tex_ticks<'a>(axis: char, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("{{{}}}", tex(name))).collect();
    let places: Vec<_> = (0..names.len()).map(|n| n.to_string()).collect();
    format!("  {axis}tick={{{}}}, {axis}ticklabels={{{}}},\n", places.join(","), names.join(","))
}

/// Defines the colour `shootdownN` of the N-th line or bar.
pub fn tex_colour(number: usize) -> String {
    tex_colour_of(number, COLOURS[number % COLOURS.len()])
}

/// Defines the colour `shootdownN` as `#rrggbb`.
pub fn tex_colour_of(number: usize, colour: &str) -> String {
    let hex = colour.trim_start_matches('#').to_uppercase();
    format!("\\definecolor{{shootdown{number}}}{{HTML}}{{{hex}}}\n")
}

/// Text in double quotes for gnuplot.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace(['"', '\\', '\n'], "'"))
}

/// How many can be told apart; more are refused.
pub fn few<T>(what: &str, of: &[T]) -> Result<(), String> {
    match of.len() {
        n if n > crate::plot::MOST => Err(format!(
            "{n} {what} are too many to tell apart; accepted are {}, --only KEY=VALUE,... chooses",
            crate::plot::MOST
        )),
        _ => Ok(()),
    }
}
