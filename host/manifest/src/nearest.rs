//! Suggestions for mistyped words.

/// Returns the candidate nearest to `word`, if at most a third of its letters differ. Case is
/// ignored, and `_` equals `-`.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are not mistyped names, and computing the distance takes quadratic time.
    const LONGEST: usize = 64;
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    if word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the words in backticks, separated by commas.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Returns a hint for a word that is not among `candidates`: the nearest one, or the whole list.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("use one of {}", listed(candidates)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognised_and_an_unrelated_word_is_not() {
        let words = ["learning_rate", "max_depth", "as-of"];
        assert_eq!(nearest("learnin_rate", words), Some("learning_rate"));
        assert_eq!(nearest("Learning-Rate", words), Some("learning_rate"));
        assert_eq!(nearest("as_of", words), Some("as-of"));
        assert_eq!(nearest("colour", words), None);
    }
}
