//! Which crate may depend on which: a crate only on lower layers, a heavy library only in the
//! crates that own it, one version of each library for all.

use toml::{Table, Value};

use super::Problem;
use crate::house::House;

/// The layer of each crate. Those of the last stand above all others and are not part of the
/// product.
const LAYERS: [(&str, u8); 13] = [
    ("funnel-events", 0),
    ("funnel-match", 0),
    ("funnel-lake", 1),
    ("funnel-engine", 1),
    ("funnel-datagen", 1),
    ("funnel-ingest", 2),
    ("funnel-query", 2),
    ("funnel-server", 3),
    ("funnel-cli", 4),
    ("funnel-bench", DEVELOPMENT),
    ("funnel-testkit", DEVELOPMENT),
    ("funnel-tests", DEVELOPMENT),
    ("xtask", DEVELOPMENT),
];

const DEVELOPMENT: u8 = 9;

/// Libraries that take minutes to build, or that would spread everywhere, and who may use them.
const OWNERS: [(&str, &[&str]); 5] = [
    (
        "rdkafka",
        &[
            "funnel-ingest",
            "funnel-cli",
            "funnel-testkit",
            "funnel-tests",
        ],
    ),
    ("deltalake", &["funnel-lake"]),
    (
        "datafusion",
        &[
            "funnel-lake",
            "funnel-engine",
            "funnel-query",
            "funnel-server",
            "funnel-cli",
            "funnel-tests",
        ],
    ),
    ("clap", &["funnel-cli"]),
    ("axum", &["funnel-ingest", "funnel-server"]),
];

pub(super) fn check(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    let shared = match house.text("Cargo.toml").map(str::parse::<Table>) {
        Some(Ok(root)) => {
            problems.extend(delta_without_datafusion(&root));
            root.get("workspace")
                .and_then(|workspace| workspace.get("dependencies"))
                .cloned()
        }
        Some(Err(error)) => return vec![Problem::new("Cargo.toml", 0, error.to_string())],
        None => return vec![Problem::new("Cargo.toml", 0, "is missing")],
    };
    for (path, text) in house
        .files()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"))
    {
        match text.parse::<Table>() {
            // A workspace of its own, such as the fuzz targets, is nobody's layer.
            Ok(manifest) if manifest.contains_key("workspace") => {}
            Ok(manifest) => problems.extend(manifest_problems(path, &manifest, shared.as_ref())),
            Err(error) => problems.push(Problem::new(path, 0, error.to_string())),
        }
    }
    problems
}

/// With its `datafusion` feature deltalake would bring a second table provider and 140 packages.
fn delta_without_datafusion(root: &Table) -> Option<Problem> {
    let deltalake = root
        .get("workspace")?
        .get("dependencies")?
        .get("deltalake")?;
    let features = deltalake.get("features").and_then(Value::as_array)?;
    features
        .iter()
        .any(|feature| feature.as_str() == Some("datafusion"))
        .then(|| {
            Problem::new(
                "Cargo.toml",
                0,
                "the feature `datafusion` of deltalake stays off",
            )
        })
}

fn manifest_problems(path: &str, manifest: &Table, shared: Option<&Value>) -> Vec<Problem> {
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name"));
    let Some(name) = name.and_then(Value::as_str) else {
        return vec![Problem::new(path, 0, "has no package name")];
    };
    let Some(layer) = layer(name) else {
        let message =
            format!("crate `{name}` has no layer; give it one in xtask/src/tidy/layers.rs");
        return vec![Problem::new(path, 0, message)];
    };
    let mut problems = Vec::new();
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if lints.and_then(Value::as_bool) != Some(true) {
        problems.push(Problem::new(
            path,
            0,
            "does not take the lints of the workspace",
        ));
    }
    for (kind, dependency, value) in dependencies(manifest) {
        let mut problem = |message: String| problems.push(Problem::new(path, 0, message));
        // Tests may look upwards: they are not part of what others build on.
        let above = self::layer(dependency).is_some_and(|other| other >= layer);
        let same_level_of_tools = layer == DEVELOPMENT;
        if kind != "dev-dependencies" && above && !same_level_of_tools {
            problem(format!(
                "`{name}` may depend on lower layers only, not on `{dependency}`"
            ));
        }
        if let Some((_, owners)) = OWNERS.iter().find(|(library, _)| *library == dependency)
            && !owners.contains(&name)
        {
            problem(format!(
                "`{dependency}` belongs to {}, not to `{name}`",
                owners.join(", ")
            ));
        }
        let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
        let pinned = shared.is_some_and(|shared| shared.get(dependency).is_some());
        if pinned && !inherited && dependency != name {
            problem(format!(
                "`{dependency}` has its version in the root; write `workspace = true`"
            ));
        }
    }
    problems
}

fn layer(name: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, layer)| *layer)
}

/// Kind, name and value of every dependency, those of single platforms too.
fn dependencies(manifest: &Table) -> Vec<(&'static str, &str, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in tables.chain([manifest]) {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let section = table.get(kind).and_then(Value::as_table);
            let entries = section.into_iter().flatten();
            found.extend(entries.map(|(name, value)| (kind, name.as_str(), value)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace.dependencies]\ntoml = \"1\"\ndeltalake = { version = \"1\", \
                        features = [\"rustls\"] }\n";

    fn messages(name: &str, dependencies: &str) -> Vec<String> {
        let manifest =
            format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{dependencies}");
        let house = House::of([("Cargo.toml", ROOT), ("crates/x/Cargo.toml", &manifest)]);
        check(&house)
            .into_iter()
            .map(|problem| problem.message)
            .collect()
    }

    #[test]
    fn lower_layers_and_owned_libraries_are_fine() {
        let lake = "[dependencies]\nfunnel-events.workspace = true\ndeltalake.workspace = true\n\
                    [dev-dependencies]\nfunnel-lake = { path = \".\" }";
        assert_eq!(messages("funnel-lake", lake), [""; 0]);
    }

    #[test]
    fn crates_of_the_same_or_a_higher_layer_are_refused() {
        for other in ["funnel-engine", "funnel-query", "funnel-testkit"] {
            let found = messages(
                "funnel-lake",
                &format!("[dependencies]\n{other}.workspace = true"),
            );
            let expected =
                format!("`funnel-lake` may depend on lower layers only, not on `{other}`");
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn heavy_libraries_are_refused_outside_of_their_owners() {
        let platform = "[target.'cfg(unix)'.dependencies]\nrdkafka.workspace = true";
        assert_eq!(messages("funnel-query", platform).len(), 1);
        let found = messages("funnel-events", "[dev-dependencies]\nclap.workspace = true");
        assert_eq!(
            found,
            ["`clap` belongs to funnel-cli, not to `funnel-events`"]
        );
    }

    #[test]
    fn own_version_of_a_shared_library_is_refused() {
        let found = messages("xtask", "[dependencies]\ntoml = \"0.8\"");
        assert_eq!(
            found,
            ["`toml` has its version in the root; write `workspace = true`"]
        );
    }

    #[test]
    fn crate_without_a_layer_is_refused() {
        assert!(messages("funnel-utils", "")[0].contains("`funnel-utils` has no layer"));
    }

    #[test]
    fn workspace_of_its_own_needs_no_layer() {
        assert_eq!(messages("funnel-fuzz", "[workspace]"), [""; 0]);
    }

    #[test]
    fn crate_with_lints_of_its_own_is_refused() {
        let manifest = "[package]\nname = \"xtask\"\n[lints.rust]\nunsafe_code = \"allow\"";
        let house = House::of([("Cargo.toml", ROOT), ("xtask/Cargo.toml", manifest)]);
        let found: Vec<String> = check(&house).iter().map(Problem::to_string).collect();
        assert_eq!(
            found,
            ["xtask/Cargo.toml: does not take the lints of the workspace"]
        );
    }

    #[test]
    fn datafusion_in_deltalake_is_refused() {
        let root = ROOT.replace("rustls", "datafusion");
        assert_eq!(check(&House::of([("Cargo.toml", &root)])).len(), 1);
        assert_eq!(check(&House::of([("Cargo.toml", ROOT)])), []);
    }
}
