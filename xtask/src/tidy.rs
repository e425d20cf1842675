//! All checks, and what they say.

use std::fmt;

use crate::house::House;

mod adr;
mod layers;
mod lock;
mod sizes;
mod words;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// What every check finds.
pub(crate) fn problems(house: &House) -> Vec<Problem> {
    [
        layers::check,
        lock::check,
        sizes::check,
        words::check,
        adr::check,
    ]
    .iter()
    .flat_map(|check| check(house))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let house = House::of_this_repository().unwrap();
        let found: Vec<String> = problems(&house).iter().map(Problem::to_string).collect();
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }

    #[test]
    fn this_repository_is_seen() {
        let house = House::of_this_repository().unwrap();
        assert!(house.text("Cargo.toml").is_some());
        assert!(house.rust().any(|(path, _)| path == "xtask/src/tidy.rs"));
    }
}
