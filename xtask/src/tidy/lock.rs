//! One arrow, one datafusion: two versions in a tree are two `RecordBatch` types.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::Problem;
use crate::house::House;

/// Beginnings of the names that must be there in one version.
const SINGLE: [&str; 5] = [
    "arrow",
    "datafusion",
    "deltalake",
    "object_store",
    "parquet",
];

pub(super) fn check(house: &House) -> Vec<Problem> {
    const PATH: &str = "Cargo.lock";
    let Some(text) = house.text(PATH) else {
        return vec![Problem::new(
            PATH,
            0,
            "is missing: builds would differ from day to day",
        )];
    };
    let lock = match text.parse::<Table>() {
        Ok(lock) => lock,
        Err(error) => return vec![Problem::new(PATH, 0, error.to_string())],
    };
    let mut versions = BTreeMap::<&str, Vec<&str>>::new();
    for package in lock
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let field = |name: &str| package.get(name).and_then(Value::as_str);
        if let (Some(name), Some(version)) = (field("name"), field("version")) {
            versions.entry(name).or_default().push(version);
        }
    }
    let several = versions.into_iter().filter(|(name, versions)| {
        versions.len() > 1 && SINGLE.iter().any(|single| name.starts_with(single))
    });
    several
        .map(|(name, versions)| {
            let message = format!("`{name}` is there in versions {}", versions.join(", "));
            Problem::new(PATH, 0, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(packages: &[(&str, &str)]) -> Vec<String> {
        let package = |(name, version): &(&str, &str)| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n")
        };
        let lock: String = packages.iter().map(package).collect();
        let problems = check(&House::of([("Cargo.lock", &lock)]));
        problems
            .into_iter()
            .map(|problem| problem.message)
            .collect()
    }

    #[test]
    fn second_arrow_is_found_and_other_libraries_may_come_twice() {
        let packages = [
            ("arrow-array", "59.3.2"),
            ("arrow-array", "58.0.0"),
            ("datafusion", "55.2.0"),
            ("rand", "0.8.0"),
            ("rand", "0.9.0"),
        ];
        assert_eq!(
            found(&packages),
            ["`arrow-array` is there in versions 59.3.2, 58.0.0"]
        );
    }

    #[test]
    fn missing_lock_is_found() {
        assert_eq!(check(&House::of([])).len(), 1);
    }
}
