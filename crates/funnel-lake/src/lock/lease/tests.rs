use std::sync::Arc;

use object_store::memory::InMemory;

use super::*;

const FILE: &str = "_state/publish.lock";

/// For those who never lose a lease in a test, however slow the machine is.
const PATIENT: Pace = Pace {
    lease: Duration::from_secs(600),
    renew: Duration::from_millis(5),
    look: Duration::from_millis(1),
};

fn location() -> Location {
    Location::with_store("s3://bucket/lake", Arc::new(InMemory::new())).unwrap()
}

async fn take(pace: Pace, location: &Location) -> Result<Lease> {
    Lease::take_at(pace, "publish", location.clone(), FILE.to_owned()).await
}

/// As one that died left it.
async fn left_behind(location: &Location) {
    let note = Note {
        holder: Uuid::new_v4(),
        held: true,
        beat: 7,
    };
    let text = note.bytes().unwrap();
    location.replace(FILE, text).await.unwrap();
}

#[tokio::test]
async fn while_its_holder_lives_nobody_else_has_it_and_at_once_after() {
    let location = location();
    for _ in 0..2 {
        let lease = take(PATIENT, &location).await.unwrap();
        let meanwhile = lease.hold(take(PATIENT, &location)).await.unwrap();
        let error = meanwhile.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("another publish run"), "{error}");
    }
}

#[tokio::test]
async fn of_a_holder_that_died_it_is_taken_over() {
    let location = location();
    left_behind(&location).await;
    let hasty = Pace {
        lease: Duration::from_millis(20),
        ..PATIENT
    };
    let lease = take(hasty, &location).await.unwrap();
    assert_eq!(lease.hold(async { 5 }).await.unwrap(), 5);
}

#[tokio::test]
async fn one_that_lost_it_stops() {
    let location = location();
    let lease = take(PATIENT, &location).await.unwrap();
    let work = async {
        left_behind(&location).await;
        std::future::pending::<()>().await;
    };
    let error = lease.hold(work).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("lost its lock"), "{error}");
}

#[tokio::test]
async fn what_is_not_held_any_more_is_free_after_an_early_end() {
    let location = location();
    drop(take(PATIENT, &location).await.unwrap());
    // Its task lets go in its own time.
    loop {
        match take(PATIENT, &location).await {
            Ok(lease) => return lease.hold(async {}).await.unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
    }
}
