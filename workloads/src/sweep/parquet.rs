//! The merged table as Apache Parquet: the columns of CSV, each with its type, nothing where a cell has no value.
//!
//! Left out: histograms, which JSON Lines have, and compression; columns of few values are kept as dictionaries.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::plan::Head;
use super::table::{Columns, Field, Kind};

/// Cells of a row group: so many are held in memory.
const GROUP: usize = 10_000;

/// A file that is being written.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    kinds: Vec<Kind>,
    cells: Vec<Vec<Field>>,
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error.to_string())
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file with these columns.
    pub fn new(head: &Head, columns: &Columns, out: W) -> io::Result<Writer<W>> {
        let (mut fields, mut kinds) = (Vec::new(), Vec::new());
        for column in columns.all() {
            let (physical, logical) = match column.kind {
                Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Kind::Whole => (Physical::INT64, None),
                Kind::Real => (Physical::DOUBLE, None),
            };
            let builder = Type::primitive_type_builder(&column.name, physical).with_logical_type(logical);
            let field = builder.with_repetition(Repetition::OPTIONAL).build().map_err(failed)?;
            fields.push(Arc::new(field));
            kinds.push(column.kind);
        }
        let schema = Type::group_type_builder("cell").with_fields(fields).build().map_err(failed)?;
        let about = [("shootdown.version", &head.version), ("shootdown.sweep", &head.name)];
        let about = about.map(|(key, value)| KeyValue::new(key.to_owned(), value.clone()));
        let properties = WriterProperties::builder().set_key_value_metadata(Some(about.to_vec())).build();
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Writer { file, kinds, cells: Vec::new() })
    }

    /// Adds a cell: a field for each column.
    pub fn add(&mut self, fields: Vec<Field>) -> io::Result<()> {
        self.cells.push(fields);
        if self.cells.len() < GROUP { Ok(()) } else { self.group().map_err(failed) }
    }

    /// Ends the file.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.cells.is_empty() {
            self.group().map_err(failed)?;
        }
        self.file.close().map_err(failed)?;
        Ok(())
    }

    fn group(&mut self) -> Result<(), ParquetError> {
        let cells = std::mem::take(&mut self.cells);
        let mut group = self.file.next_row_group()?;
        for (number, kind) in self.kinds.iter().enumerate() {
            let Some(writer) = group.next_column()? else { break };
            let fields = cells.iter().map(|cell| cell.get(number).unwrap_or(&Field::Nothing));
            match kind {
                Kind::Text => column::<ByteArrayType>(writer, fields.map(text))?,
                Kind::Whole => column::<Int64Type>(writer, fields.map(whole))?,
                Kind::Real => column::<DoubleType>(writer, fields.map(real))?,
            }
        }
        group.close()?;
        Ok(())
    }
}

/// Writes a column of a row group: values where there are some, and for each cell whether it has one.
fn column<T: DataType>(
    mut writer: SerializedColumnWriter<'_>,
    fields: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for field in fields {
        levels.push(i16::from(field.is_some()));
        values.extend(field);
    }
    writer.typed::<T>().write_batch(&values, Some(&levels), None)?;
    writer.close()
}

fn text(field: &Field) -> Option<ByteArray> {
    match field {
        Field::Text(text) => Some(text.as_str().into()),
        _ => None,
    }
}

fn whole(field: &Field) -> Option<i64> {
    match field {
        Field::Whole(n) => Some(*n),
        _ => None,
    }
}

fn real(field: &Field) -> Option<f64> {
    match field {
        Field::Real(x) => Some(*x),
        _ => None,
    }
}
