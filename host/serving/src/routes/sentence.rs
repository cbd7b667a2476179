//! Faults in a sentence, for protocols that have no place for a list.

use crate::fault::PredictFault;

/// The most faults of values that a sentence lists.
const LISTED: usize = 5;

/// Returns a fault in a sentence.
pub(super) fn sentence(fault: &PredictFault) -> String {
    let PredictFault::Rows { errors, is_cut } = fault else { return fault.to_string() };
    let mut told: Vec<String> = errors
        .iter()
        .take(LISTED)
        .map(|error| {
            let field = error.field.as_ref().map_or_else(String::new, |field| format!(", field `{field}`"));
            format!("row {}{field}: {}", error.row, error.message)
        })
        .collect();
    if *is_cut || errors.len() > LISTED {
        told.push("there are more".to_owned());
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::RowError;

    #[test]
    fn a_sentence_names_rows_and_fields_up_to_a_bound() {
        let error = |row| RowError { row, field: Some("tenure".into()), message: "too long".into() };
        let told = |rows, is_cut| sentence(&PredictFault::Rows { errors: (0..rows).map(error).collect(), is_cut });
        assert_eq!(told(1, false), "row 0, field `tenure`: too long");
        assert_eq!(told(9, false).matches("row").count(), 5);
        assert!(told(9, false).ends_with("; there are more"));
        assert!(told(1, true).ends_with("; there are more"));
        assert_eq!(sentence(&PredictFault::Overloaded), "too many requests wait");
    }
}
