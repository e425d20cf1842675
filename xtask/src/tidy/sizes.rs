//! What is too long to be read at once.

use super::Problem;
use crate::house::House;
use crate::rust::{code_only, functions, production_lines};

const FILE_LINES_MAX: usize = 500;
/// The same number as in `clippy.toml`; here it is seen in seconds, without building anything.
const FUNCTION_LINES_MAX: usize = 70;

pub(super) fn check(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in house.rust() {
        let lines = production_lines(text);
        // The files of a `tests` folder are tests from the first line on.
        let only_tests = path.starts_with("tests/") || path.contains("/tests/");
        if lines > FILE_LINES_MAX && !only_tests {
            let message = format!("{lines} lines before the tests, more than {FILE_LINES_MAX}");
            problems.push(Problem::new(path, 0, message));
        }
        for function in functions(&code_only(text)) {
            if function.length > FUNCTION_LINES_MAX {
                let (name, length) = (function.name, function.length);
                let message =
                    format!("`{name}` has {length} lines, more than {FUNCTION_LINES_MAX}");
                problems.push(Problem::new(path, function.line, message));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_file_is_found_unless_its_tests_make_it_long() {
        let long = "//\n".repeat(501);
        let tests = format!("//\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        let house = House::of([
            ("src/a.rs", &long),
            ("src/b.rs", &tests),
            ("tests/c.rs", &long),
        ]);
        let found: Vec<String> = check(&house).iter().map(Problem::to_string).collect();
        assert_eq!(
            found,
            ["src/a.rs: 501 lines before the tests, more than 500"]
        );
    }

    #[test]
    fn long_function_is_found() {
        let of = |lines| format!("\nfn work() {{\n{}}}\n", "    x();\n".repeat(lines));
        assert_eq!(check(&House::of([("a.rs", &of(70))])), []);
        let found: Vec<String> = check(&House::of([("a.rs", &of(71))]))
            .iter()
            .map(Problem::to_string)
            .collect();
        assert_eq!(found, ["a.rs:2: `work` has 71 lines, more than 70"]);
    }
}
