//! How to reach an object store: `[lake.s3]`, and what it leaves open from the variables `AWS_…`.

use std::path::Path;

use funnel_lake::StorageOptions;

use super::Settings;
use crate::env_vars;
use crate::error::{CliError, Result};

const ACCESS_KEY: &str = "lake.s3.access_key_id";
const SECRET: &str = "lake.s3.secret_access_key";
const SECRET_FILE: &str = "lake.s3.secret_access_key_file";

/// Keys of the configuration, and what the store calls them.
const NAMES: [(&str, &str); 4] = [
    ("lake.s3.endpoint", "aws_endpoint_url"),
    ("lake.s3.region", "aws_region"),
    (ACCESS_KEY, "aws_access_key_id"),
    ("lake.s3.session_token", "aws_session_token"),
];
const FLAGS: [(&str, &str); 2] = [
    ("lake.s3.allow_http", "aws_allow_http"),
    (
        "lake.s3.virtual_hosted_style",
        "aws_virtual_hosted_style_request",
    ),
];

/// Other names under which the environment may say what a key says, so that one of them does not
/// win over the configuration. Keys of two places do not fit each other.
const INSTEAD: [(&str, &[&str]); 3] = [
    ("lake.s3.endpoint", &["aws_endpoint", "aws_endpoint_url_s3"]),
    ("lake.s3.region", &["aws_default_region"]),
    (
        ACCESS_KEY,
        &["aws_secret_access_key", "aws_session_token", "aws_token"],
    ),
];

impl Settings {
    /// How to reach the object store that a lake or a table may be in.
    pub(crate) fn storage(&self) -> Result<StorageOptions> {
        let mut options = StorageOptions::default();
        for (name, value) in env_vars::object_store() {
            options.set(name, value);
        }
        let set = |key: &str| self.values.contains_key(key);
        for (_, names) in INSTEAD.iter().filter(|(key, _)| set(key)) {
            names.iter().for_each(|name| options.remove(name));
        }
        for (key, name) in NAMES {
            if let Some(value) = self.text(key) {
                options.set(name, value);
            }
        }
        for (key, name) in FLAGS {
            if let Some(value) = self.flag(key) {
                options.set(name, value.to_string());
            }
        }
        if let Some(secret) = self.secret()? {
            options.set("aws_secret_access_key", secret);
        }
        Ok(options)
    }

    fn secret(&self) -> Result<Option<String>> {
        let known = (
            self.text(ACCESS_KEY),
            self.text(SECRET),
            self.text(SECRET_FILE),
        );
        match known {
            (_, Some(_), Some(_)) => Err(CliError::config(format!(
                "`{SECRET}` and `{SECRET_FILE}` are both set"
            ))
            .hint("keep the one that holds the secret")),
            (None, None, None) => Ok(None),
            (None, _, _) => Err(CliError::config(format!(
                "a secret is set without its `{ACCESS_KEY}`"
            ))
            .hint("write access_key_id beside it under [lake.s3]")),
            (Some(_), None, None) => Err(CliError::config(format!(
                "`{ACCESS_KEY}` is set without its secret"
            ))
            .hint("write secret_access_key_file or secret_access_key beside it under [lake.s3]")),
            (Some(_), Some(secret), None) => Ok(Some(secret.to_owned())),
            (Some(_), None, Some(file)) => {
                let read = std::fs::read_to_string(file).map_err(|error| {
                    CliError::config(format!("could not read `{SECRET_FILE}`, which is `{file}`"))
                        .because(error)
                        .hint("name a file that holds the secret and nothing else")
                })?;
                let secret = read.trim();
                if secret.is_empty() {
                    let file = Path::new(file).display();
                    return Err(CliError::config(format!("`{file}` holds no secret")));
                }
                Ok(Some(secret.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;

    fn storage(lines: &str) -> Result<StorageOptions> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("funnel.toml");
        std::fs::write(&path, format!("[lake.s3]\n{lines}")).unwrap();
        let overrides = Overrides {
            config: Some(path),
            values: Vec::new(),
        };
        Settings::load(&overrides)?.storage()
    }

    #[test]
    fn a_key_and_its_secret_come_together_and_from_one_place() {
        for (lines, words) in [
            ("access_key_id = \"a\"", "without its secret"),
            (
                "secret_access_key = \"hush\"",
                "without its `lake.s3.access_key_id`",
            ),
            (
                "access_key_id = \"a\"\nsecret_access_key = \"hush\"\n\
                 secret_access_key_file = \"f\"",
                "are both set",
            ),
            (
                "access_key_id = \"a\"\nsecret_access_key_file = \"/nowhere\"",
                "could not read",
            ),
        ] {
            let error = storage(lines).unwrap_err().render();
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        storage("access_key_id = \"a\"\nsecret_access_key = \"hush\"").unwrap();
    }
}
