//! Customers as columns: the fields of the table, and batches of it.

use std::ops::Range;

use stagewright_kit::{Batch, Column, DataType, Field, Strings, Values};

use crate::customer::{CONTRACT, Customer, EXTRA, FLAG, GENDER, INTERNET, LINES, PAYMENT};
use crate::draws::identifier;

/// The table's columns, in order.
#[must_use]
pub fn fields() -> Vec<Field> {
    use DataType::{Float64, Int64, Utf8};
    [
        ("customerID", Utf8),
        ("gender", Utf8),
        ("SeniorCitizen", Int64),
        ("Partner", Utf8),
        ("Dependents", Utf8),
        ("tenure", Int64),
        ("PhoneService", Utf8),
        ("MultipleLines", Utf8),
        ("InternetService", Utf8),
        ("OnlineSecurity", Utf8),
        ("OnlineBackup", Utf8),
        ("DeviceProtection", Utf8),
        ("TechSupport", Utf8),
        ("StreamingTV", Utf8),
        ("StreamingMovies", Utf8),
        ("Contract", Utf8),
        ("PaperlessBilling", Utf8),
        ("PaymentMethod", Utf8),
        ("MonthlyCharges", Float64),
        ("TotalCharges", Float64),
        ("Churn", Utf8),
    ]
    .map(|(name, data_type)| Field { name: name.to_owned(), data_type, nullable: name == "TotalCharges" })
    .into()
}

/// Returns the customers of some rows as the columns of [`fields`]. `drift` is from 0 to 1. Any
/// division of a range into batches gives the same rows.
#[must_use]
pub fn batch(seed: u64, rows: Range<u64>, drift: f64) -> Batch {
    let customers: Vec<Customer> = rows.clone().map(|row| Customer::draw(seed, row, drift)).collect();
    let text = |spellings: &[&str], code: &dyn Fn(&Customer) -> u8| spelled(spellings, customers.iter().map(code));
    let flag = |is: &dyn Fn(&Customer) -> bool| spelled(&FLAG, customers.iter().map(|customer| u8::from(is(customer))));
    let whole = |number: &dyn Fn(&Customer) -> i64| Column::from(customers.iter().map(number).collect::<Vec<i64>>());
    let extra = |service: usize| text(&EXTRA, &|customer| customer.extras[service]);

    let monthly: Vec<f64> = customers.iter().map(|customer| customer.monthly_charges).collect();
    let total: Vec<f64> = customers.iter().map(|customer| customer.total_charges.unwrap_or(0.0)).collect();
    let billed = customers.iter().map(|customer| customer.total_charges.is_some());
    let columns = vec![
        identifiers(seed, rows.clone()),
        text(&GENDER, &|customer| customer.gender),
        whole(&|customer| i64::from(customer.senior)),
        flag(&|customer| customer.partner),
        flag(&|customer| customer.dependents),
        whole(&|customer| i64::from(customer.tenure)),
        flag(&|customer| customer.phone),
        text(&LINES, &|customer| customer.lines),
        text(&INTERNET, &|customer| customer.internet),
        extra(0),
        extra(1),
        extra(2),
        extra(3),
        extra(4),
        extra(5),
        text(&CONTRACT, &|customer| customer.contract),
        flag(&|customer| customer.paperless),
        text(&PAYMENT, &|customer| customer.payment),
        Column::from(monthly),
        Column::from(total).with_validity(billed),
        flag(&|customer| customer.churn),
    ];
    Batch::new(customers.len() as u32, columns)
}

/// Creates a column of texts from their codes.
fn spelled(spellings: &[&str], codes: impl ExactSizeIterator<Item = u8>) -> Column {
    Values::Utf8(Strings::collect(codes.map(|code| spellings[usize::from(code)]))).into()
}

/// Returns customer numbers such as `1234-ABCDE`, which are distinct within a seed.
fn identifiers(seed: u64, rows: Range<u64>) -> Column {
    const LENGTH: usize = 10;
    let count = (rows.end - rows.start) as usize;
    let mut bytes = Vec::with_capacity(count * LENGTH);
    for row in rows {
        let number = identifier(seed, row);
        let (mut digits, mut letters) = (number / 11_881_376, number % 11_881_376);
        let mut text = [b'-'; LENGTH];
        for place in text[..4].iter_mut().rev() {
            *place = b'0' + (digits % 10) as u8;
            digits /= 10;
        }
        for place in text[5..].iter_mut().rev() {
            *place = b'A' + (letters % 26) as u8;
            letters /= 26;
        }
        bytes.extend_from_slice(&text);
    }
    let offsets = (0..=count).map(|row| (row * LENGTH) as i32).collect();
    Values::Utf8(Strings { offsets, bytes }).into()
}
