//! Generates customers of a telephone company: a table of any size like IBM's Telco customer churn
//! data.
//!
//! The table has the 21 columns of that data, in order, with its types and spellings, its marginals
//! and dependencies, 26.5 % churn, and a label that cannot be predicted with an AUC above 0.855.
//! The stage needs no source. Rows depend on the parameters, the seed and their number only, so
//! they can be generated in any order and in any chunks. Their digits are the same natively and in
//! Wasm, since no mathematics of the platform is used (see `draws` and `label`).
//!
//! Parameters, all optional:
//!
//! - `rows` (7043): the number of customers.
//! - `seed` (the run's seed): the seed of the customers. The first rows of a larger table are those
//!   of a smaller one.
//! - `drift` (0.0), from 0 to 1: the change of customers, prices and reasons to leave.

#[cfg(test)]
mod calibration;
mod columns;
mod customer;
mod draws;
mod label;
mod marginals;
mod sampling;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::{Failure, FinishedTable, Ingestion, Settings, TableWriter, tracking};

pub use columns::{batch, fields};

/// The number of rows that are written at a time: about 4 MiB, half of the limit of a batch.
const ROWS_PER_BATCH: u64 = 8_192;

/// The parameters of the stage.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The number of customers; at most a hundred billion, since each has its own customer number.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub rows: u64,
    /// The seed of the customers. The default is the run's seed.
    pub seed: Option<u64>,
    /// The change of customers, prices and reasons to leave since the first table, from 0 (none) to
    /// 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub drift: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { rows: 7043, seed: None, drift: 0.0 }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), Failure> {
        if self.rows == 0 || self.rows > 100_000_000_000 {
            return Err(Failure::parameter("rows", format!("`{}` is not from 1 to 100000000000", self.rows)));
        }
        if !(0.0..=1.0).contains(&self.drift) {
            return Err(Failure::parameter("drift", format!("`{}` is not from 0 to 1", self.drift)));
        }
        Ok(())
    }
}

/// The stage.
#[derive(Debug)]
pub struct Customers;

impl Ingestion for Customers {
    type Parameters = Parameters;

    fn ingest(_sources: &[String], settings: &Settings<Parameters>) -> Result<FinishedTable, Failure> {
        let parameters = &settings.parameters;
        parameters.check()?;
        let seed = parameters.seed.unwrap_or(settings.seed);
        let mut writer = TableWriter::new(&fields());
        let mut start = 0;
        while start < parameters.rows {
            let end = parameters.rows.min(start + ROWS_PER_BATCH);
            writer.write(batch(seed, start..end, parameters.drift))?;
            tracking::progress(end, parameters.rows);
            start = end;
        }
        writer.finish()
    }
}

stagewright_kit::ingestion!(Customers);

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_kit::{DataType, Table};

    fn ingest(parameters: Parameters) -> Result<FinishedTable, Failure> {
        Customers::ingest(&[], &Settings { parameters, seed: 42, as_of: 0 })
    }

    fn column(table: &FinishedTable, name: &str) -> Vec<Option<String>> {
        let index = (table as &dyn Table).column_named(name).expect("the column exists");
        let batch = table.read(0, u32::MAX, Some(&[index])).expect("readable");
        (0..batch.len()).map(|row| batch.columns[0].display(row)).collect()
    }

    #[test]
    fn the_default_table_has_the_columns_of_the_telco_table() {
        let table = ingest(Parameters::default()).unwrap();
        assert_eq!(table.rows(), 7043);
        let names: Vec<String> = table.fields().into_iter().map(|field| field.name).collect();
        assert_eq!(
            names.join(","),
            "customerID,gender,SeniorCitizen,Partner,Dependents,tenure,PhoneService,MultipleLines,InternetService,\
             OnlineSecurity,OnlineBackup,DeviceProtection,TechSupport,StreamingTV,StreamingMovies,Contract,\
             PaperlessBilling,PaymentMethod,MonthlyCharges,TotalCharges,Churn"
        );
        let numbers: Vec<String> = table
            .fields()
            .into_iter()
            .filter(|field| field.data_type != DataType::Utf8)
            .map(|field| format!("{} {:?} {}", field.name, field.data_type, field.nullable))
            .collect();
        assert_eq!(
            numbers,
            [
                "SeniorCitizen DataType::Int64 false",
                "tenure DataType::Int64 false",
                "MonthlyCharges DataType::Float64 false",
                "TotalCharges DataType::Float64 true"
            ]
        );
    }

    #[test]
    fn total_charges_are_null_where_tenure_is_0() {
        let table = ingest(Parameters::default()).unwrap();
        let (tenure, total) = (column(&table, "tenure"), column(&table, "TotalCharges"));
        assert!(total.contains(&None));
        for (tenure, total) in tenure.iter().zip(&total) {
            assert_eq!(tenure.as_deref() == Some("0"), total.is_none());
        }
    }

    #[test]
    fn customers_have_numbers_like_1234_abcde() {
        let table = ingest(Parameters { rows: 500, ..Parameters::default() }).unwrap();
        for number in column(&table, "customerID").into_iter().flatten() {
            let (digits, letters) = number.split_once('-').expect("a hyphen");
            assert!(digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
            assert!(letters.len() == 5 && letters.bytes().all(|byte| byte.is_ascii_uppercase()), "{number}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_table_and_another_seed_another() {
        let parameters = Parameters { rows: 100, ..Parameters::default() };
        let read = |table: FinishedTable| table.read(0, 100, None).unwrap();
        let first = read(ingest(parameters.clone()).unwrap());
        assert_eq!(first, read(ingest(parameters.clone()).unwrap()));
        assert_eq!(first, batch(42, 0..100, 0.0));
        assert_ne!(first, read(ingest(Parameters { seed: Some(1), ..parameters }).unwrap()));
    }

    #[test]
    fn the_first_customer_of_seed_42_never_changes() {
        // Pinned, so that a change of the algorithm, or of the digits of a platform, is noticed.
        let first = batch(42, 0..1, 0.0);
        let row: Vec<String> = first.columns.iter().map(|column| column.display(0).unwrap_or_default()).collect();
        assert_eq!(row.join(","), FIRST_CUSTOMER);
    }

    const FIRST_CUSTOMER: &str = "2575-DXMTC,Female,0,No,No,2,Yes,No,No,No internet service,No internet service,\
        No internet service,No internet service,No internet service,No internet service,Month-to-month,Yes,\
        Electronic check,20.15,43.9,No";

    #[test]
    fn drift_outside_0_to_1_is_refused_by_name() {
        let failure = ingest(Parameters { drift: 1.5, ..Parameters::default() }).err();
        assert_eq!(failure, Some(Failure::parameter("drift", "`1.5` is not from 0 to 1")));
    }
}
