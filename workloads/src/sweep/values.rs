//! Values of a sweep file: one, a list, or a range of whole numbers. Every message is one line and names the key.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::file::MAX_CELLS;

/// One value as `--set` takes it.
pub(super) fn word(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(s) => Ok(s.trim().to_owned()),
        Value::Integer(n) => Ok(n.to_string()),
        Value::Float(x) => Ok(x.to_string()),
        Value::Boolean(b) => Ok(b.to_string()),
        Value::Array(_) | Value::Table(_) | Value::Datetime(_) => {
            Err(format!("{key}: accepted here is one text, number, true or false"))
        }
    }
}

/// A list that is not empty.
pub(super) fn list(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let Value::Array(items) = value else {
        return Err(format!("{key}: accepted here is a list"));
    };
    let words: Vec<String> = items.iter().map(|item| word(key, item)).collect::<Result<_, _>>()?;
    if words.is_empty() {
        return Err(format!("{key}: the list is empty; accepted is at least one value"));
    }
    Ok(words)
}

/// The values of an axis: a list without doubles, a range, or one value.
pub(super) fn values(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let words = match value {
        Value::Array(_) => list(key, value)?,
        Value::Table(range) => self::range(key, range)?,
        one => vec![word(key, one)?],
    };
    let mut seen = BTreeSet::new();
    if let Some(twice) = words.iter().find(|w| !seen.insert(w.as_str())) {
        return Err(format!("{key}: {twice} is named twice"));
    }
    Ok(words)
}

/// `{ from, to, step }` or `{ from, to, times }`, both ends included; whole numbers.
fn range(key: &str, table: &Table) -> Result<Vec<String>, String> {
    const ACCEPTED: &str =
        "accepted are { from = A, to = B, step = S } and { from = A, to = B, times = F } with whole numbers";
    let mut numbers = BTreeMap::new();
    for (name, value) in table {
        let (true, Value::Integer(n)) = (["from", "to", "step", "times"].contains(&name.as_str()), value)
        else {
            return Err(format!("{key}.{name} = {value}: {ACCEPTED}"));
        };
        numbers.insert(name.as_str(), *n);
    }
    let get = |name: &str| numbers.get(name).copied();
    let (Some(from), Some(to)) = (get("from"), get("to")) else {
        return Err(format!("{key}: a range without from and to; {ACCEPTED}"));
    };
    let next: Box<dyn Fn(i64) -> Option<i64>> = match (get("step"), get("times")) {
        (Some(_), Some(_)) => return Err(format!("{key}: step and times exclude each other; {ACCEPTED}")),
        (None, Some(times)) if times < 2 || from < 1 => {
            return Err(format!("{key}: times is at least 2, and from then at least 1"));
        }
        (None, Some(times)) => Box::new(move |n| n.checked_mul(times)),
        (Some(step), None) if step < 1 => return Err(format!("{key}: step is at least 1")),
        (step, None) => Box::new(move |n| n.checked_add(step.unwrap_or(1))),
    };
    let mut words = Vec::new();
    let mut at = Some(from);
    while let Some(n) = at.filter(|&n| n <= to) {
        if words.len() == MAX_CELLS {
            return Err(format!("{key}: more than {MAX_CELLS} values"));
        }
        words.push(n.to_string());
        at = next(n);
    }
    if words.is_empty() {
        return Err(format!("{key}: the range from {from} to {to} is empty; accepted is from <= to"));
    }
    Ok(words)
}
