//! Fits a model to a CSV file of numbers without a header, whose last column is the target (0 or
//! 1). Prints the coefficients and then the intercept as JSON, and the cost of the fit on standard
//! error. For measurements of parity and speed.
//!
//!     cargo run --release -p train-logistic --example fit_csv -- FILE [C]

use std::time::Instant;

use ndarray::Array2;
use train_logistic::solver::LogisticRegression;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: fit_csv FILE [C]")?;
    let c = arguments.next().map_or(Ok(1.0), |c| c.parse())?;
    let text = std::fs::read_to_string(file)?;
    let rows: Vec<Vec<f64>> =
        text.lines().map(|line| line.split(',').map(str::parse).collect::<Result<_, _>>()).collect::<Result<_, _>>()?;
    let features = rows.first().map_or(0, |row| row.len() - 1);
    let values = Array2::from_shape_fn((features, rows.len()), |(feature, row)| rows[row][feature]).reversed_axes();
    let target: Vec<bool> = rows.iter().map(|row| row[features] == 1.0).collect();
    let solver = LogisticRegression { c, max_iterations: 200, tolerance: 1e-6, fit_intercept: true };
    let start = Instant::now();
    let fitted = solver.fit_weighted(values.view(), &target, None)?;
    eprintln!("{} steps, converged {}, {:?}", fitted.iterations, fitted.converged, start.elapsed());
    let mut numbers = fitted.coefficients;
    numbers.push(fitted.intercept);
    println!("{numbers:?}");
    Ok(())
}
