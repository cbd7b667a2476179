//! Tables of the contract as frames of polars, and back.
//!
//! A categorical column is text in a frame, and becomes categorical again where it is written. A
//! frame also knows of each column what the schema of polars does not say.

use std::collections::{BTreeMap, HashMap};

use polars::prelude::*;
use polars_arrow::bitmap::Bitmap;
use stagewright_kit::{Batch, Column, Failure, Field, FinishedTable, Role, Table, TableWriter, Values, tracking};

/// The rows of an output batch.
const PIECE: usize = 65_536;

/// The facts that are known of a column beside its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it may hold nulls, as the steps determine it and not as the rows happen to be.
    pub nullable: bool,
    /// Whether it is written as categories.
    pub categorical: bool,
    /// Whether it is computed from the target, or is the target.
    pub of_target: bool,
    /// Whether it is computed from rows of all times.
    pub of_all_time: bool,
    /// Whether it was made in rows that the target chose, so that it may tell which rows they are.
    pub of_chosen_rows: bool,
}

impl Facts {
    /// Returns the facts of a value that is computed from both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            nullable: self.nullable || other.nullable,
            categorical: self.categorical && other.categorical,
            of_target: self.of_target || other.of_target,
            of_all_time: self.of_all_time || other.of_all_time,
            of_chosen_rows: self.of_chosen_rows || other.of_chosen_rows,
        }
    }

    /// Returns the facts of a value from rows whose choice tells this.
    pub(crate) fn also_told(self, told: Told) -> Self {
        Self { of_target: self.of_target || told.target, of_all_time: self.of_all_time || told.all_time, ..self }
    }

    /// Returns the facts of a column that is made in the rows of a table.
    pub(crate) fn made_in(self, table: &Frame) -> Self {
        Self { of_chosen_rows: self.of_chosen_rows || table.rows_of_target, ..self }
    }

    /// Returns the facts of a column that may also be null.
    pub(crate) fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }
}

/// The knowledge that a choice or an order of rows gives away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whether it tells the target.
    pub target: bool,
    /// Whether it tells of later rows.
    pub all_time: bool,
}

impl Told {
    /// Returns what both tell.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { target: self.target || other.target, all_time: self.all_time || other.all_time }
    }
}

/// A table in memory.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The values.
    pub data: DataFrame,
    /// The facts of each column.
    pub facts: BTreeMap<String, Facts>,
    /// Whether the target decides which rows there are.
    pub rows_of_target: bool,
    /// Whether later rows decide which rows there are.
    pub rows_of_all_time: bool,
}

/// Returns a column by its name. That of polars reads `*` and `^...$` as patterns.
pub(crate) fn col(name: impl Into<PlSmallStr>) -> Expr {
    Expr::Column(name.into())
}

impl Frame {
    /// Reads a table.
    ///
    /// # Errors
    /// Those of the host.
    pub(crate) fn read(table: &dyn Table) -> Result<Self, Failure> {
        let fields = table.fields();
        let mut facts = BTreeMap::new();
        for (field, role) in fields.iter().zip(table.roles()) {
            let categorical = field.data_type == stagewright_kit::DataType::Categorical;
            let of_target = role == Role::Target;
            let found = Facts { nullable: field.nullable, categorical, of_target, ..Facts::default() };
            facts.insert(field.name.clone(), found);
        }
        let mut data: Option<DataFrame> = None;
        for batch in table.batches(None) {
            let (start, batch) = batch?;
            tracking::progress(start, table.rows());
            let rows = batch.len();
            let columns =
                batch.columns.into_iter().zip(&fields).map(|(column, field)| series(&field.name, column, rows));
            let piece = DataFrame::new(columns.collect::<Result<_, _>>()?).map_err(failed)?;
            match &mut data {
                Some(data) => {
                    data.vstack_mut(&piece).map_err(failed)?;
                }
                None => data = Some(piece),
            }
        }
        let data = match data {
            // Rows are gathered from one chunk in a third of the time that many take.
            Some(mut data) => {
                data.rechunk_mut();
                data
            }
            None => DataFrame::new(
                fields
                    .iter()
                    .map(|field| {
                        polars::prelude::Column::new_empty(field.name.as_str().into(), &dtype(field.data_type))
                    })
                    .collect(),
            )
            .map_err(failed)?,
        };
        Ok(Self { data, facts, rows_of_target: false, rows_of_all_time: false })
    }

    /// Returns the facts of a column.
    ///
    /// # Errors
    /// `parameter` if there is no such column; `parameter` names where it is asked for.
    pub(crate) fn facts_of(&self, column: &str, parameter: &str) -> Result<Facts, Failure> {
        self.facts.get(column).copied().ok_or_else(|| {
            let names = self.data.get_column_names_str().join("`, `");
            Failure::parameter(parameter, format!("there is no column `{column}`; the columns are `{names}`"))
        })
    }

    /// Returns the type of a column that exists.
    pub(crate) fn type_of(&self, column: &str, parameter: &str) -> Result<DataType, Failure> {
        self.facts_of(column, parameter)?;
        Ok(self.data.column(column).map_err(failed)?.dtype().clone())
    }

    /// # Errors
    /// `parameter` if a column is there that is not a timestamp, or may hold nulls in these rows.
    pub(crate) fn check_time(&self, column: &str, parameter: &str) -> Result<(), Failure> {
        if self.type_of(column, parameter)? != TIME {
            return Err(Failure::parameter(parameter, format!("the column `{column}` is no timestamp")));
        }
        let nulls = self.data.column(column).map_err(failed)?.null_count();
        if nulls > 0 {
            let message = format!("{nulls} rows have no time; filter them before this step");
            return Err(Failure::data(message).in_column(column));
        }
        Ok(())
    }

    /// Returns whether the frame has the target, or what is computed from it.
    pub(crate) fn has_target(&self) -> bool {
        self.facts.values().any(|facts| facts.of_target)
    }

    /// Returns what these columns tell, if rows are found or ordered by them.
    pub(crate) fn told_by<'a>(&self, columns: impl IntoIterator<Item = &'a String>) -> Told {
        let facts = columns.into_iter().filter_map(|name| self.facts.get(name));
        facts.fold(Told::default(), |told, facts| {
            told.and(Told { target: facts.of_target, all_time: facts.of_all_time })
        })
    }

    /// Returns what the choice of its rows tells.
    pub(crate) fn told_by_rows(&self) -> Told {
        Told { target: self.rows_of_target, all_time: self.rows_of_all_time }
    }

    /// # Errors
    /// `data` if sums of an integer column could pass the range of integers.
    pub(crate) fn check_sums(&self, column: &str) -> Result<(), Failure> {
        let values = self.data.column(column).map_err(failed)?;
        let Ok(integers) = values.as_materialized_series().i64() else { return Ok(()) };
        let most: f64 = integers.iter().flatten().map(|value| (value as f64).abs()).sum();
        if most >= 9.2e18 {
            return Err(Failure::data("the sum of the integers could pass their range").in_column(column));
        }
        Ok(())
    }

    /// Returns whether a column is a timestamp: then rows may be asked for what was known at their
    /// time.
    pub(crate) fn has_time(&self) -> bool {
        self.data.dtypes().contains(&TIME)
    }

    /// Writes the frame as the table that the stage returns.
    ///
    /// # Errors
    /// Those of the host.
    pub(crate) fn write(mut self) -> Result<FinishedTable, Failure> {
        let mut fields = Vec::new();
        for column in self.data.get_columns() {
            let facts = self.facts.get(column.name().as_str()).copied().unwrap_or_default().or_null_if(column);
            let data_type = match column.dtype() {
                DataType::Boolean => stagewright_kit::DataType::Boolean,
                DataType::Int64 => stagewright_kit::DataType::Int64,
                DataType::Float64 => stagewright_kit::DataType::Float64,
                DataType::String if facts.categorical => stagewright_kit::DataType::Categorical,
                DataType::String => stagewright_kit::DataType::Utf8,
                other if *other == TIME => stagewright_kit::DataType::Timestamp,
                other => return Err(Failure::internal(format!("the column `{}` has the type {other}", column.name()))),
            };
            let (name, nullable) = (column.name().to_string(), facts.nullable);
            fields.push(Field { name, data_type, nullable });
        }
        let mut writer = TableWriter::new(&fields);
        let rows = self.data.height();
        self.data.rechunk_mut();
        let wide = fields.len().max(1);
        // A batch has at most 8 MiB, and text may be long: pieces are halved until they fit.
        let mut piece = PIECE.min((1 << 19) / wide).max(1);
        let mut start = 0;
        while start < rows {
            let part = self.data.slice(start as i64, piece);
            if piece > 1 && part.estimated_size() > 4 << 20 {
                piece = piece.div_ceil(2);
                continue;
            }
            let columns = part.get_columns().iter().zip(&fields).map(|(column, field)| values(column, field));
            writer.write(Batch::new(part.height() as u32, columns.collect::<Result<_, _>>()?))?;
            start += part.height();
            tracking::progress(start as u64, rows as u64);
        }
        writer.finish()
    }
}

impl Facts {
    fn or_null_if(self, column: &polars::prelude::Column) -> Self {
        Self { nullable: self.nullable || column.null_count() > 0, ..self }
    }
}

/// The type of timestamps: microseconds, UTC without saying so.
pub(crate) const TIME: DataType = DataType::Datetime(TimeUnit::Microseconds, None);

fn dtype(data_type: stagewright_kit::DataType) -> DataType {
    match data_type {
        stagewright_kit::DataType::Boolean => DataType::Boolean,
        stagewright_kit::DataType::Int64 => DataType::Int64,
        stagewright_kit::DataType::Float64 => DataType::Float64,
        stagewright_kit::DataType::Utf8 | stagewright_kit::DataType::Categorical => DataType::String,
        stagewright_kit::DataType::Timestamp => TIME,
    }
}

/// Returns a column of the contract as one of polars. Numbers are moved.
fn series(name: &str, column: Column, rows: usize) -> Result<polars::prelude::Column, Failure> {
    let name = PlSmallStr::from_str(name);
    if let Some(text) = column.as_text()? {
        let strings: StringChunked = text.iter().collect_ca(name);
        return Ok(strings.into_column());
    }
    let validity = column.validity.map(|bits| Bitmap::from_u8_vec(bits, rows));
    Ok(match column.values {
        Values::Boolean(bits) => {
            let values = Bitmap::from_u8_vec(bits, rows);
            let array = polars_arrow::array::BooleanArray::new(ArrowDataType::Boolean, values, validity);
            BooleanChunked::with_chunk(name, array).into_column()
        }
        Values::Int64(values) => Int64Chunked::from_vec_validity(name, values, validity).into_column(),
        Values::Float64(values) => Float64Chunked::from_vec_validity(name, values, validity).into_column(),
        Values::Timestamp(values) => Int64Chunked::from_vec_validity(name, values, validity)
            .into_datetime(TimeUnit::Microseconds, None)
            .into_column(),
        Values::Utf8(_) | Values::Categorical(_) => return Err(Failure::internal("text is read as text")),
    })
}

/// Returns a column of polars as one of the contract.
fn values(column: &polars::prelude::Column, field: &Field) -> Result<Column, Failure> {
    let series = column.as_materialized_series();
    let made = match field.data_type {
        stagewright_kit::DataType::Boolean => {
            let values = series.bool().map_err(failed)?;
            Column::boolean(values.iter().map(|value| value.unwrap_or_default()))
        }
        stagewright_kit::DataType::Int64 => Column::from(
            series.i64().map_err(failed)?.iter().map(|value| value.unwrap_or_default()).collect::<Vec<i64>>(),
        ),
        stagewright_kit::DataType::Float64 => Column::from(
            series.f64().map_err(failed)?.iter().map(|value| value.unwrap_or_default()).collect::<Vec<f64>>(),
        ),
        stagewright_kit::DataType::Timestamp => {
            let values = series.datetime().map_err(failed)?;
            Column::timestamp(values.physical().iter().map(|value| value.unwrap_or_default()).collect())
        }
        stagewright_kit::DataType::Utf8 => return Ok(Column::utf8(series.str().map_err(failed)?.iter())),
        stagewright_kit::DataType::Categorical => {
            let (mut categories, mut known) = (Vec::new(), HashMap::new());
            let mut code = |text: Option<&str>| -> i32 {
                // The value at a null is not read, but has to be the number of a category.
                let text = text.unwrap_or_default().to_owned();
                *known.entry(text).or_insert_with_key(|text| {
                    categories.push(text.clone());
                    categories.len() as i32 - 1
                })
            };
            let codes = series.str().map_err(failed)?.iter().map(&mut code).collect();
            Column::categorical(codes, categories)
        }
    };
    if column.null_count() == 0 {
        return Ok(made);
    }
    Ok(made.with_validity(series.is_not_null().iter().map(|valid| valid == Some(true))))
}

/// Returns the rows in the order of these columns, the most significant first. Nulls come first,
/// and equal rows keep their order.
///
/// Sorts by one column after the other, from the least significant on. In a component, where polars
/// has one thread, its own sort by several columns takes twenty times as long.
pub(crate) fn sorted<'a>(
    data: &DataFrame,
    columns: impl DoubleEndedIterator<Item = &'a str>,
    descending: bool,
) -> Result<DataFrame, Failure> {
    let options = SortOptions { descending, maintain_order: true, ..SortOptions::default() };
    let mut order: Option<IdxCa> = None;
    for name in columns.rev() {
        let values = data.column(name).map_err(failed)?.as_materialized_series();
        order = Some(match order {
            None => values.arg_sort(options),
            Some(before) => {
                let next = values.take(&before).map_err(failed)?.arg_sort(options);
                before.take(&next).map_err(failed)?
            }
        });
    }
    match order {
        Some(order) => data.take(&order).map_err(failed),
        None => Ok(data.clone()),
    }
}

/// Returns the failure for an error of polars that no check before it foresaw.
pub(crate) fn failed(error: PolarsError) -> Failure {
    Failure::internal(error.to_string())
}
