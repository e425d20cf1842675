//! What a table has gained since one of its versions.

use crate::error::{LakeError, Result};
use crate::log::LogEntry;
use crate::table::{DeltaLog, Snapshot};

impl DeltaLog {
    /// The files whose rows came into the table after version `since`, up to `to`; `None` where
    /// the log does not tell: entries were cleaned away, rows were taken out, or a file that was
    /// sorted into others since is gone.
    pub async fn appended(&self, since: i64, to: &Snapshot) -> Result<Option<Snapshot>> {
        let mut files = Vec::new();
        for version in since + 1..=to.version() {
            let number = u64::try_from(version).map_err(|e| {
                LakeError::corrupt(format!("version {version} is negative")).with_source(e)
            })?;
            let Some(entry) = LogEntry::read(self.location(), number).await? else {
                return Ok(None);
            };
            if entry.removes_rows() {
                return Ok(None);
            }
            let added = entry.adds.iter().filter(|add| add.data_change);
            files.extend(added.map(|add| add.to_file()));
        }
        for file in &files {
            let is_there = to.files().iter().any(|kept| kept.path == file.path)
                || self.location().exists(&file.path).await?;
            if !is_there {
                return Ok(None);
            }
        }
        Ok((since <= to.version()).then(|| to.with_files(files)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::CompactOptions;
    use crate::table::FileEntry;
    use crate::testing::{TestLake, append, write_entry};

    /// The batches that came after `since`, by the names of their files.
    async fn gained(lake: &TestLake, since: i64) -> Option<Vec<String>> {
        let events = lake.lake.events();
        let now = events.load().await.unwrap();
        let gained = events.appended(since, &now).await.unwrap()?;
        assert_eq!(gained.version(), now.version());
        let batch = |file: &FileEntry| {
            let name = file.path.rsplit('/').next().unwrap();
            name.split('-').next().unwrap().to_owned()
        };
        Some(gained.files().iter().map(batch).collect())
    }

    #[tokio::test]
    async fn what_came_since_is_told_after_it_was_sorted_too() {
        let lake = TestLake::new().await;
        append(&lake.lake, 0, 0..5, "one").await;
        let since = append(&lake.lake, 0, 5..9, "two").await;
        append(&lake.lake, 0, 9..12, "three").await;
        assert_eq!(gained(&lake, since).await.unwrap(), ["three"]);
        let day = lake.lake.event_days().await.unwrap().remove(0).date;
        let options = CompactOptions::default();
        let sorted = lake.lake.compact_day(day, &options, &|_| {}).await;
        assert!(sorted.unwrap().is_some());
        assert_eq!(gained(&lake, since).await.unwrap(), ["three"]);
        append(&lake.lake, 0, 12..13, "four").await;
        assert_eq!(gained(&lake, since).await.unwrap(), ["three", "four"]);
        assert_eq!(gained(&lake, 0).await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_log_that_does_not_tell_gives_nothing() {
        let lake = TestLake::new().await;
        let since = append(&lake.lake, 0, 0..5, "one").await;
        let last = append(&lake.lake, 0, 5..9, "two").await;
        assert_eq!(gained(&lake, last + 1).await, None, "a version to come");
        let entry = |version: i64| lake.path(&format!("events/_delta_log/{version:020}.json"));
        let now = lake.lake.events().load().await.unwrap();
        let text = std::fs::read(entry(last)).unwrap();
        std::fs::remove_file(entry(last)).unwrap();
        let told = lake.lake.events().appended(since, &now).await.unwrap();
        assert!(told.is_none(), "{told:?}");
        std::fs::write(entry(last), text).unwrap();
        let path = now.files()[0].path.clone();
        let remove = json!({"remove": {"path": path, "dataChange": true, "deletionTimestamp": 1}});
        write_entry(&lake, "events", &[remove]).await;
        assert_eq!(gained(&lake, since).await, None, "rows were taken out");
    }
}
