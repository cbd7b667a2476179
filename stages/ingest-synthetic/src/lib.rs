//! Generates customers of a telephone company, a table of any size like IBM's Telco customer churn
//! data; or the purchases and events of a shop's users (`retail`).
//!
//! The table of customers has the 21 columns of that data, in order, with its types and spellings,
//! its marginals and dependencies, 26.5 % churn, and a label that cannot be predicted with an AUC
//! above 0.855. The stage needs no source. Rows depend on the parameters, the seed and their number
//! only, so they can be generated in any order and in any chunks. Their digits are the same
//! natively and in Wasm, since no mathematics of the platform is used (see `draws` and `label`).
//!
//! Parameters, all optional:
//!
//! - `table` (`customers`): the table; or `transactions`, or `user_events`.
//! - `rows` (7043): the number of rows.
//! - `seed` (the run's seed): the first rows of a larger table are those of a smaller one.
//! - `drift` (0.0), from 0 to 1: the change of people, prices and reasons to leave.
//! - `period` (`history`): the people; those of `live` are others, who come later.

#[cfg(test)]
mod calibration;
mod columns;
mod customer;
mod draws;
mod label;
mod marginals;
mod retail;
mod sampling;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::{Failure, FinishedTable, Ingestion, Settings, TableWriter, tracking};

pub use columns::{batch, fields};
use retail::Shop;

/// The number of the first live customer.
const FIRST_LIVE_CUSTOMER: u64 = 50_000_000_000;

/// The most rows: each customer has a number of its own.
const MOST_ROWS: u64 = 100_000_000_000;

/// The most rows of a table beside which there may be another one.
const MOST_ROWS_OF_A_PERIOD: u64 = 50_000_000_000;

/// The number of rows that are written at a time: about 4 MiB, half of the limit of a batch.
const ROWS_PER_BATCH: u64 = 8_192;

/// A table that can be generated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// Customers of a telephone company.
    #[default]
    Customers,
    /// The purchases of a shop's users, eight of each. `churn` says whether the user buys nothing
    /// in the 30 days after.
    Transactions,
    /// The events of these users, 24 of each: their registration, and sessions.
    UserEvents,
}

/// The people of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Those that models learn from.
    #[default]
    History,
    /// Others, who come later.
    Live,
}

/// The parameters of the stage.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The table.
    pub table: Made,
    /// The number of rows: at most a hundred billion, since each customer has a number; half of it
    /// of transactions, of events and of live customers.
    #[schemars(range(min = 1, max = 100_000_000_000_u64))]
    pub rows: u64,
    /// The seed. The default is the run's seed. Transactions and events of one seed belong
    /// together.
    pub seed: Option<u64>,
    /// The change of people, prices and reasons to leave since the first table, from 0 (none) to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub drift: f64,
    /// The people.
    pub period: Period,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { table: Made::Customers, rows: 7043, seed: None, drift: 0.0, period: Period::History }
    }
}

impl Parameters {
    fn check(&self) -> Result<(), Failure> {
        let all = self.table == Made::Customers && self.period == Period::History;
        let most = if all { MOST_ROWS } else { MOST_ROWS_OF_A_PERIOD };
        if self.rows == 0 || self.rows > most {
            return Err(Failure::parameter("rows", format!("`{}` is not from 1 to {most}", self.rows)));
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
        let (drift, live) = (parameters.drift, parameters.period == Period::Live);
        let shop = Shop { seed, drift, live };
        let first = if live { FIRST_LIVE_CUSTOMER } else { 0 };
        let mut writer = TableWriter::new(&match parameters.table {
            Made::Customers => fields(),
            Made::Transactions => retail::purchase_fields(),
            Made::UserEvents => retail::event_fields(),
        });
        let mut start = 0;
        while start < parameters.rows {
            let end = parameters.rows.min(start + ROWS_PER_BATCH);
            writer.write(match parameters.table {
                Made::Customers => batch(seed, first + start..first + end, drift),
                Made::Transactions => shop.purchases(start..end),
                Made::UserEvents => shop.events(start..end),
            })?;
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
    fn live_customers_are_others_and_fewer_are_possible() {
        let live = Parameters { rows: 100, period: Period::Live, ..Parameters::default() };
        let (history, live) = (ingest(Parameters { rows: 100, ..Parameters::default() }), ingest(live));
        let numbers = |table: Result<FinishedTable, Failure>| column(&table.unwrap(), "customerID");
        let history = numbers(history);
        assert!(numbers(live).iter().all(|number| !history.contains(number)));
        for parameters in [
            Parameters { period: Period::Live, rows: MOST_ROWS, ..Parameters::default() },
            Parameters { table: Made::UserEvents, rows: MOST_ROWS, ..Parameters::default() },
        ] {
            assert_eq!(
                ingest(parameters).err(),
                Some(Failure::parameter("rows", "`100000000000` is not from 1 to 50000000000"))
            );
        }
    }

    #[test]
    fn tables_of_a_shop_are_those_of_its_seed() {
        let of = |table: Made, seed| ingest(Parameters { table, rows: 20_000, seed, ..Parameters::default() }).unwrap();
        let bought = of(Made::Transactions, None);
        assert_eq!((bought.rows(), bought.fields().len()), (20_000, 6));
        let amounts = column(&bought, "amount");
        assert_eq!(column(&of(Made::Transactions, Some(42)), "amount"), amounts, "the run's seed is the default");
        assert_ne!(column(&of(Made::Transactions, Some(7)), "amount"), amounts);
        let events = of(Made::UserEvents, None);
        assert_eq!((events.rows(), events.fields().len()), (20_000, 5));
        assert!(column(&events, "user_id").contains(&column(&bought, "user_id")[0]), "the users are the same");
    }

    #[test]
    fn drift_outside_0_to_1_is_refused_by_name() {
        let failure = ingest(Parameters { drift: 1.5, ..Parameters::default() }).err();
        assert_eq!(failure, Some(Failure::parameter("drift", "`1.5` is not from 0 to 1")));
    }
}
