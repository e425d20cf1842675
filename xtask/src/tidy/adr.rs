//! Decisions are numbered without a gap, and the index names each.

use super::Problem;
use crate::house::House;

const FOLDER: &str = "docs/adr/";
const INDEX: &str = "docs/adr/README.md";

pub(super) fn check(house: &House) -> Vec<Problem> {
    let Some(index) = house.text(INDEX) else {
        return vec![Problem::new(INDEX, 0, "is missing")];
    };
    let mut problems = Vec::new();
    let files = house
        .files()
        .filter_map(|(path, _)| path.strip_prefix(FOLDER));
    let decisions: Vec<&str> = files.filter(|name| *name != "README.md").collect();
    for (number, name) in (1..).zip(&decisions) {
        let path = format!("{FOLDER}{name}");
        if !name.starts_with(&format!("{number:04}-")) {
            problems.push(Problem::new(
                &path,
                0,
                format!("should have the number {number:04}"),
            ));
        }
        if !index.contains(&format!("]({name})")) {
            problems.push(Problem::new(INDEX, 0, format!("does not link to {name}")));
        }
    }
    for (line, text) in (1..).zip(index.lines()) {
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| link.ends_with(".md") && !link.contains('/')) {
            if !decisions.contains(&link) {
                problems.push(Problem::new(INDEX, line, format!("{link} does not exist")));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(index: &str, decisions: [&str; 2]) -> Vec<String> {
        let [first, second] = decisions.map(|name| format!("{FOLDER}{name}"));
        let house = House::of([(INDEX, index), (first.as_str(), ""), (second.as_str(), "")]);
        check(&house).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn index_and_folder_agree() {
        let index = "- [a](0001-a.md)\n- [b](0002-b.md)\n";
        assert_eq!(found(index, ["0001-a.md", "0002-b.md"]), [""; 0]);
        assert_eq!(
            found(
                "- [a](0001-a.md)\n- [c](0003-c.md)\n",
                ["0001-a.md", "0002-b.md"]
            ),
            [
                "docs/adr/README.md: does not link to 0002-b.md",
                "docs/adr/README.md:2: 0003-c.md does not exist"
            ]
        );
    }

    #[test]
    fn gap_in_the_numbers_is_found() {
        let index = "- [a](0001-a.md)\n- [b](0003-b.md)\n";
        assert_eq!(
            found(index, ["0001-a.md", "0003-b.md"]),
            ["docs/adr/0003-b.md: should have the number 0002"]
        );
    }

    #[test]
    fn missing_index_is_found() {
        assert_eq!(check(&House::of([])).len(), 1);
    }
}
