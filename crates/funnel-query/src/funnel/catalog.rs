//! Funnels that are asked for by name: those that are shipped, and those of a directory.

use std::path::Path;
use std::sync::Arc;

use super::definition::{DefinitionError, FunnelDefinition};

/// The funnels that have a name in a session.
#[derive(Debug, Clone, Default)]
pub struct Funnels {
    /// In the order of their names.
    own: Arc<Vec<FunnelDefinition>>,
}

impl Funnels {
    /// The shipped ones and each `*.toml` of `directory`.
    ///
    /// # Errors
    /// A directory or file that cannot be read, a definition that is not valid, a name that is taken.
    pub fn with_directory(directory: &Path) -> Result<Self, DefinitionError> {
        let failed = |source| DefinitionError::Read {
            path: directory.display().to_string(),
            source,
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                paths.push(path);
            }
        }
        // Of two files with one name it is always the same that is refused.
        paths.sort();
        let mut own: Vec<FunnelDefinition> = Vec::with_capacity(paths.len());
        for path in &paths {
            let funnel = FunnelDefinition::from_file(path)?;
            let name = funnel.name.as_str();
            let is_shipped = FunnelDefinition::names().contains(&name);
            if is_shipped || own.iter().any(|other| other.name == name) {
                let whose = match is_shipped {
                    true => "a shipped funnel",
                    false => "a funnel of another file",
                };
                return Err(DefinitionError::Invalid {
                    file: path.display().to_string(),
                    key: "name".to_owned(),
                    problem: format!("`{name}` is the name of {whose}"),
                    hint: "give it another".to_owned(),
                });
            }
            own.push(funnel);
        }
        own.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { own: Arc::new(own) })
    }

    /// The funnel of this name.
    ///
    /// # Errors
    /// [`DefinitionError::Unknown`] lists the names there are.
    pub fn get(&self, name: &str) -> Result<FunnelDefinition, DefinitionError> {
        if let Some(funnel) = self.own.iter().find(|funnel| funnel.name == name) {
            return Ok(funnel.clone());
        }
        FunnelDefinition::shipped(name).map_err(|error| match error {
            DefinitionError::Unknown { name, mut known } => {
                for funnel in self.own.iter() {
                    known.push_str(&format!(", `{}`", funnel.name));
                }
                DefinitionError::Unknown { name, known }
            }
            other => other,
        })
    }

    /// All of them, the shipped ones first.
    ///
    /// # Errors
    /// None in a build whose shipped definitions are valid.
    pub fn all(&self) -> Result<Vec<FunnelDefinition>, DefinitionError> {
        let shipped = FunnelDefinition::names().into_iter();
        let shipped = shipped.map(FunnelDefinition::shipped);
        shipped.chain(self.own.iter().cloned().map(Ok)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str) -> String {
        let step = |name: &str, event: &str| {
            format!(
                "[[steps]]\nname = '{name}'\ntitle = '{name}'\nwhen = \"event_type = '{event}'\"\n"
            )
        };
        format!("name = '{name}'\nquestion = '?'\nunit = 'session'\n")
            + &step("shown", "engagement_impression")
            + &step("clicked", "engagement_click")
    }

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (file, text) in files {
            std::fs::write(directory.path().join(file), text).unwrap();
        }
        directory
    }

    #[test]
    fn funnels_of_a_directory_stand_beside_the_shipped_ones() {
        let files = [
            ("b.toml", &*own("two")),
            ("a.toml", &*own("own")),
            ("c.txt", ""),
        ];
        let funnels = Funnels::with_directory(directory(&files).path()).unwrap();
        let names: Vec<String> = funnels
            .all()
            .unwrap()
            .into_iter()
            .map(|one| one.name)
            .collect();
        let mut expected: Vec<&str> = FunnelDefinition::names();
        expected.extend(["own", "two"]);
        assert_eq!(names, expected);
        assert_eq!(funnels.get("two").unwrap().name, "two");
        assert_eq!(funnels.get("monitored").unwrap().name, "monitored");
        let error = funnels.get("three").unwrap_err().to_string();
        assert!(
            error.contains("`monitored`") && error.contains("`own`, `two`"),
            "{error}"
        );
    }

    #[test]
    fn a_name_has_one_funnel_and_a_file_that_is_wrong_is_named() {
        for (files, wanted) in [
            (
                vec![("a.toml", own("monitored"))],
                "a.toml: `name`: `monitored` is the name of a shipped funnel",
            ),
            (
                vec![("a.toml", own("own")), ("b.toml", own("own"))],
                "b.toml: `name`: `own` is the name of a funnel of another file",
            ),
            (
                vec![("a.toml", "name = ".to_owned())],
                "a.toml: the definition is not valid TOML",
            ),
        ] {
            let files: Vec<(&str, &str)> =
                files.iter().map(|(file, text)| (*file, &**text)).collect();
            let directory = directory(&files);
            let error = Funnels::with_directory(directory.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let error = Funnels::with_directory(Path::new("no/such"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("`no/such`"), "{error}");
    }
}
