//! Finished cells as a table: a line for each cell, a column for each key that is set or varies, then the figures.
//!
//! A column has one kind: figures by the figure, keys by all their values in the plan. So CSV and Parquet have the same columns,
//! and Parquet has numbers where there are numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::plan::Plan;
use super::store::Finished;
use crate::figures::{Value, figures};
use crate::report::Row;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Whole numbers.
    Whole,
    /// Numbers.
    Real,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A field; shown as CSV has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// The cell has none: it failed, or does not set the key.
    Nothing,
    /// Text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A number.
    Real(f64),
}

/// The columns of a merge.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    keys: Vec<Column>,
    figures: Vec<Column>,
}

impl Columns {
    /// The columns of a plan; `row` is that of any cell, as all rows have the same figures. Without one there are none.
    pub fn new(plan: &Plan, row: Option<&Row>) -> Columns {
        let names: BTreeSet<&String> = plan.cells.iter().flat_map(|c| c.set.keys()).collect();
        let key = |name: &String| {
            let mut kind = Kind::Whole;
            for value in plan.cells.iter().filter_map(|c| c.set.get(name)) {
                kind = match kind {
                    Kind::Whole if whole(value).is_some() => Kind::Whole,
                    Kind::Whole | Kind::Real if real(value).is_some() => Kind::Real,
                    _ => Kind::Text,
                };
            }
            Column { name: name.clone(), kind }
        };
        let figure = |f: crate::figures::Figure| {
            let kind = match f.value {
                Value::Count(_) => Kind::Whole,
                Value::Real(_) => Kind::Real,
            };
            Column { name: f.metric, kind }
        };
        Columns {
            keys: names.into_iter().map(key).collect(),
            figures: row.map(figures).unwrap_or_default().into_iter().map(figure).collect(),
        }
    }

    /// All of them, in order.
    pub fn all(&self) -> impl Iterator<Item = Column> {
        let text = |name: &str| Column { name: name.into(), kind: Kind::Text };
        let first = ["id", "failure"].map(text).into_iter();
        first.chain(self.keys.iter().cloned()).chain(self.figures.iter().cloned())
    }

    /// The fields of a cell, one for each column.
    pub fn fields(&self, cell: &Finished) -> Vec<Field> {
        let failure = cell.failure.as_ref().map(|f| Field::Text(f.problems.join("; ")));
        let mut fields = vec![Field::Text(cell.id.clone()), failure.unwrap_or(Field::Nothing)];
        fields.extend(self.keys.iter().map(|column| match (cell.set.get(&column.name), column.kind) {
            (None, _) => Field::Nothing,
            (Some(text), Kind::Text) => Field::Text(text.clone()),
            (Some(text), Kind::Whole) => whole(text).map_or(Field::Nothing, Field::Whole),
            (Some(text), Kind::Real) => real(text).map_or(Field::Nothing, Field::Real),
        }));
        let row = cell.report.as_ref().and_then(|report| report.rows.first());
        let values: BTreeMap<String, Value> =
            row.map(figures).unwrap_or_default().into_iter().map(|f| (f.metric, f.value)).collect();
        fields.extend(self.figures.iter().map(|column| match values.get(&column.name) {
            // Counters end long before 2^63.
            Some(Value::Count(n)) => i64::try_from(*n).map_or(Field::Nothing, Field::Whole),
            Some(Value::Real(x)) => Field::Real(*x),
            None => Field::Nothing,
        }));
        fields
    }
}

/// A whole number that is shown as it was written.
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().filter(|n: &i64| n.to_string() == text)
}

/// A number that is shown as it was written.
fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && x.to_string() == text)
}

impl fmt::Display for Field {
    /// As a field of CSV (RFC 4180).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Nothing => Ok(()),
            Field::Text(text) if text.contains([',', '"', '\n']) => {
                write!(f, "\"{}\"", text.replace('"', "\"\""))
            }
            Field::Text(text) => f.write_str(text),
            Field::Whole(n) => n.fmt(f),
            Field::Real(x) => x.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Study;
    use super::*;
    use std::path::Path;

    #[test]
    fn keys_have_the_kind_of_all_their_values() {
        let study = Study::parse(
            Path::new("s"),
            "[vary]\nmem = [\"64M\", \"128M\"]\ncpus = [1, 2]\nslice = [0.5, 2]\n[set]\nseed = \"007\"\n",
        );
        let plan = Plan::new(Path::new("s"), &study.unwrap()).unwrap();
        let columns = Columns::new(&plan, None);
        let kinds: Vec<_> = columns.all().map(|c| (c.name, c.kind)).collect();
        let kind = |name: &str, kind| (name.to_owned(), kind);
        assert_eq!(
            kinds,
            [
                kind("id", Kind::Text),
                kind("failure", Kind::Text),
                kind("cpus", Kind::Whole),
                kind("mem", Kind::Text),
                kind("seed", Kind::Text),
                kind("slice", Kind::Real),
            ]
        );
    }

    #[test]
    fn fields_are_quoted_where_csv_wants_it() {
        let shown = |text: &str| Field::Text(text.into()).to_string();
        assert_eq!(shown("plain"), "plain");
        assert_eq!(shown("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(
            [Field::Nothing, Field::Whole(-3), Field::Real(0.5)].map(|f| f.to_string()),
            ["", "-3", "0.5"]
        );
    }
}
