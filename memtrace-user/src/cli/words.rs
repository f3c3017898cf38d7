//! Values that are a word of a table: the table is the one place that lists them.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Reads a value by its word; the help lists all with what they mean. `words` gives the value, its word and its meaning.
pub(super) fn word_parser<T>(
    words: impl Iterator<Item = (T, &'static str, &'static str)>,
) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
{
    let words: Vec<_> = words.collect();
    let names: Vec<_> = words.iter().map(|(_, word, meaning)| PossibleValue::new(*word).help(*meaning)).collect();
    PossibleValuesParser::new(names).map(move |name| {
        let known = words.iter().find(|(_, word, _)| *word == name);
        known.expect("the parser lets the words through alone").0.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word gives its value, and any other is refused.
    #[test]
    fn words_give_their_values() {
        let command = || {
            let words = [(1, "one", "The first."), (2, "two", "The second.")].into_iter();
            clap::Command::new("x").arg(clap::Arg::new("n").value_parser(word_parser(words)))
        };
        let two = command().try_get_matches_from(["x", "two"]).expect("a known word");
        assert_eq!(two.get_one("n"), Some(&2));
        assert!(command().try_get_matches_from(["x", "three"]).is_err());
    }
}
